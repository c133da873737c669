"""Learn from images without labels: the teacher says what is in them.

Losses that need no label are left: docs/networks.md has the table.
"""

import torch
from letters import SHAPE, hits, loaders, network, train_alone

import pckd_mm


def main(epochs: int = 20, per_class: int = 24) -> float:
    torch.manual_seed(0)
    loader, val = loaders(per_class)
    teacher, student = train_alone(network(32), loader, epochs), network(8)

    model = pckd_mm.distill(
        student,
        teacher,
        method="kd",
        input_shape=SHAPE,
        calculate_student_loss=False,  # it would ask for labels
    )
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    for epoch in range(epochs):
        model.train()
        for images, _ in loader:
            loss, _ = model.losses_of(images)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        print(f"epoch {epoch + 1}: {loss.item():.3f}")
    print(f"teacher {hits(teacher, val):.1f} %, student {hits(student, val):.1f} %")
    return hits(student, val)


if __name__ == "__main__":
    main()
