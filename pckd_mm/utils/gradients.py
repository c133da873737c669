"""How strongly losses pull at parameters."""

from typing import Dict, Mapping, Sequence

import torch
from torch import Tensor

__all__ = ["gradient_norms"]


def gradient_norms(
    losses: Mapping[str, Tensor], parameters: Sequence[Tensor], scale: float = 1.0
) -> Dict[str, Tensor]:
    """Euclidean norm of each loss's gradient with respect to all parameters.

    The graph of the losses stays, and so do the gradients that parameters have.

    Args:
        losses (Mapping[str, Tensor]): Scalars by name.
        parameters (Sequence[Tensor]): What the gradients are of.
        scale (float): What losses are multiplied by meanwhile, so that gradients in
            float16 do not vanish. Defaults to 1.

    Returns:
        dict[str, Tensor]: Scalars, float32; 0 for a loss that depends on none.
    """
    norms = {}
    for name, loss in losses.items():
        norm = loss.new_zeros((), dtype=torch.float32)
        if loss.requires_grad:
            found = torch.autograd.grad(
                scale * loss, parameters, retain_graph=True, allow_unused=True
            )
            parts = [grad.float().norm() for grad in found if grad is not None]
            if parts:
                norm = torch.stack(parts).norm() / scale
        norms[name] = norm.detach()
    return norms
