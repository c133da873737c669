"""Networks of tests/zoo.py, converted."""

from typing import Optional, Tuple

import torch
from torch import nn

from pckd_mm.utils.conversion import build_classifier
from pckd_mm.utils.zoo_names import convert_state_dict
from tests.zoo import Case

SOURCE = "The checkpoint a.pth"


def randomised(case: Case) -> nn.Module:
    """Build the published network, with nothing constant in it, as after training.

    What begins as a constant is filled; then the norms' statistics are those of some
    images, nearly, so that no image is lost in the noise of those that do not fit.
    """
    torch.manual_seed(0)
    network = case.build()
    with torch.no_grad():
        for name, tensor in network.named_parameters():
            if name.endswith("bias"):
                tensor.normal_(std=0.1)
            elif tensor.dim() == 1 or "scale" in name or "gamma" in name:
                tensor.uniform_(0.5, 1.5)
            elif tensor.numel() < 1e5 and tensor.std() < 0.05:
                tensor.normal_(std=0.3 if tensor.dim() == 3 else 0.1)
        norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
        momenta = [norm.momentum for norm in norms]
        for norm in norms:
            norm.momentum = 1.0
        if norms:
            network.train()(torch.randn(4, 3, 64, 64))
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
            norm.running_mean += 0.1 * norm.running_var.sqrt() * torch.randn(1)
            norm.running_var *= torch.rand_like(norm.running_var) + 0.5
    return network.eval()


def logits_of_both(
    case: Case, dtype: torch.dtype = torch.float64
) -> Tuple[torch.Tensor, torch.Tensor]:
    """Logits of the published network, and of mmpretrain's with its tensors."""
    published = randomised(case).to(dtype)
    classifier = build_classifier(case.config()).to(dtype)
    convert_state_dict(published.state_dict(), classifier, SOURCE)
    images = torch.randn(2, 3, case.size, case.size, dtype=dtype)
    with torch.no_grad():
        return published(images), classifier.eval()(images)


def converted(case: Case, state: Optional[dict] = None, **backbone) -> dict:
    """Convert tensors, of the case's network by default, with settings changed."""
    cfg = case.config()
    cfg.backbone.update(backbone)
    torch.manual_seed(0)
    state = case.build().state_dict() if state is None else state
    return convert_state_dict(state, build_classifier(cfg), SOURCE)
