"""Train a student from a teacher in a training loop of your own.

The networks are plain modules of PyTorch. Any classifier will do.
"""

import torch
from letters import SHAPE, hits, loaders, network, train_alone

import pckd_mm


def main(epochs: int = 12, per_class: int = 24) -> float:
    torch.manual_seed(0)
    loader, val = loaders(per_class)
    teacher = train_alone(network(32), loader, epochs)

    student = network(8)
    model = pckd_mm.distill(student, teacher, method="pckd", input_shape=SHAPE)
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    for epoch in range(epochs):
        model.train()
        model.progress = (epoch + 1) / epochs  # the preview follows it
        for images, labels in loader:
            loss, each = model.losses_of(images, labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        print(
            f"epoch {epoch + 1}: {', '.join(f'{k} {v:.2f}' for k, v in each.items())}"
        )

    print(f"teacher {hits(teacher, val):.1f} %, student {hits(student, val):.1f} %")
    torch.save(student.state_dict(), "student.pth")  # the student alone, as it was
    return hits(student, val)


if __name__ == "__main__":
    main()
