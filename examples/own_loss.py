"""Put a loss of your own beside PCKD's.

A loss is a module. The mapping says which record each of its arguments is.
"""

import torch
from letters import SHAPE, hits, loaders, network, train_alone
from torch import Tensor, nn

from pckd_mm.registry import MODELS
from pckd_mm.utils.methods import load_method


@MODELS.register_module()
class ConfidenceLoss(nn.Module):
    """The student's confidence is to be the teacher's, whatever the category."""

    def __init__(self, loss_weight: float = 1.0) -> None:
        super().__init__()
        self.loss_weight = loss_weight

    def forward(self, preds_S: Tensor, preds_T: Tensor) -> Tensor:
        of_student, of_teacher = (x.softmax(1).amax(1) for x in (preds_S, preds_T))
        return self.loss_weight * (of_student - of_teacher).square().mean()


def main(epochs: int = 12, per_class: int = 24) -> float:
    torch.manual_seed(0)
    loader, val = loaders(per_class)
    teacher, student = train_alone(network(32), loader, epochs), network(8)

    method = load_method("pckd").model  # the whole method, as a config
    method.distiller.distill_losses.loss_confidence = dict(type="ConfidenceLoss")
    method.distiller.loss_forward_mappings.loss_confidence = dict(
        preds_S=dict(recorder="logits", from_student=True, view=0),  # the upright view
        preds_T=dict(recorder="logits", from_student=False, view=0),
    )
    networks = dict(architecture=student, teacher=teacher, input_shape=SHAPE)
    method.data_preprocessor = dict()  # the loader normalises
    model = MODELS.build({**method, **networks})

    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    for epoch in range(epochs):
        model.train()
        model.progress = (epoch + 1) / epochs
        for images, labels in loader:
            loss, each = model.losses_of(images, labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        print(f"epoch {epoch + 1}: {each['distill.loss_confidence']:.4f}")
    print(f"student {hits(student, val):.1f} %")
    return each["distill.loss_confidence"].item()


if __name__ == "__main__":
    main()
