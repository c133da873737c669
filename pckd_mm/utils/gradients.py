"""How strongly losses pull at parameters, and which way."""

from typing import Dict, List, Mapping, NamedTuple, Optional, Sequence

import torch
from torch import Tensor

__all__ = ["Pull", "compare_gradients"]

Gradient = List[Optional[Tensor]]


class Pull(NamedTuple):
    """What a loss does to parameters.

    Attributes:
        norm (Tensor): Euclidean norm of its gradient over all of them, a scalar.
        cosine (Tensor): Cosine of the angle between its gradient and the reference's, a
            scalar; 0 where either has none.
    """

    norm: Tensor
    cosine: Tensor


def compare_gradients(
    losses: Mapping[str, Tensor],
    parameters: Sequence[Tensor],
    reference: str,
    scale: float = 1.0,
) -> Dict[str, Pull]:
    """Compute each loss's gradient alone, and compare it with one of them.

    The graph of the losses stays, and so do the gradients that parameters have.

    Args:
        losses (Mapping[str, Tensor]): Scalars by name.
        parameters (Sequence[Tensor]): What the gradients are of.
        reference (str): Name of the loss that the others are compared with; one that is
            not there has no gradient.
        scale (float): What losses are multiplied by meanwhile, so that gradients in
            float16 do not vanish. Defaults to 1.

    Returns:
        dict[str, Pull]: Norm and cosine of each, float32.
    """

    def gradient(loss: Optional[Tensor]) -> Gradient:
        if loss is None or not loss.requires_grad:
            return [None] * len(parameters)
        found = torch.autograd.grad(
            scale * loss, parameters, retain_graph=True, allow_unused=True
        )
        return [None if part is None else part.float() / scale for part in found]

    def inner(one: Gradient, other: Gradient) -> Tensor:
        total = parameters[0].new_zeros((), dtype=torch.float32)
        for a, b in zip(one, other, strict=True):
            if a is not None and b is not None:
                total = total + (a * b).sum()
        return total

    wanted = gradient(losses.get(reference))
    length = inner(wanted, wanted).sqrt()
    pulls = {}
    for name, loss in losses.items():
        found = wanted if name == reference else gradient(loss)
        norm = inner(found, found).sqrt()
        both = norm * length
        cosine = inner(found, wanted) / torch.where(both > 0, both, 1)
        pulls[name] = Pull(norm, cosine.clamp(-1, 1))
    return pulls
