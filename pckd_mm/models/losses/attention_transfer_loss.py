"""Attention transfer (AT)."""

from functools import reduce
from typing import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pckd_mm.registry import MODELS

from .utils import full_precision, l2_normalize


@full_precision
def attention_transfer(s_feature: Tensor, t_feature: Tensor) -> Tensor:
    """Mean squared difference of two spatial attention maps.

    The map of an image is the mean over channels of its squared feature, scaled to
    length one (Zagoruyko and Komodakis, ICLR 2017, eq. 2, with means as in the authors'
    program). Where sizes differ, the larger feature is average-pooled to the smaller.

    Args:
        s_feature (Tensor): The student's feature map, shape (B, C_s, H_s, W_s).
        t_feature (Tensor): The teacher's, shape (B, C_t, H_t, W_t); it gets no
            gradient.

    Returns:
        Tensor: Scalar.
    """
    t_feature = t_feature.detach()
    sizes = s_feature.shape[2:], t_feature.shape[2:]
    if sizes[0] != sizes[1]:
        height, width = (min(pair) for pair in zip(*sizes, strict=True))
        s_feature = F.adaptive_avg_pool2d(s_feature, (height, width))
        t_feature = F.adaptive_avg_pool2d(t_feature, (height, width))
    s_map, t_map = (
        l2_normalize(feature.square().mean(dim=1).flatten(1))
        for feature in (s_feature, t_feature)
    )
    return (s_map - t_map).square().mean()


@MODELS.register_module()
class AttentionTransferLoss(nn.Module):
    """Attention transfer over all stages, of any size.

    Sum over the stages of :func:`attention_transfer`; of networks with different
    numbers of stages, the first ones of both.

    MMRazor's ATLoss has the same formula for a single stage, of one size on both sides,
    and follows autocast to half precision.

    Args:
        loss_weight (float): Weight of the loss. Defaults to 1.0.
    """

    def __init__(self, loss_weight: float = 1.0) -> None:
        super().__init__()
        self.loss_weight = loss_weight

    def forward(
        self, s_feature: Sequence[Tensor], t_feature: Sequence[Tensor]
    ) -> Tensor:
        """Compute the loss.

        Args:
            s_feature (Sequence[Tensor]): The student's stages, shapes (B, C, H, W).
            t_feature (Sequence[Tensor]): The teacher's stages, shapes (B, C, H, W).

        Returns:
            Tensor: Scalar.
        """
        stages = zip(s_feature, t_feature, strict=False)
        losses = (attention_transfer(s, t) for s, t in stages)
        return self.loss_weight * reduce(torch.add, losses)
