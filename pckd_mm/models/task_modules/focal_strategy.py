"""Weights of the focal loss, which prefer what the preview holds back."""

import torch
from torch import Tensor

from pckd_mm.registry import TASK_UTILS


@TASK_UTILS.register_module()
class FocalStrategy:
    """Weight images as the focal loss does (Lin et al., ICCV 2017, eq. 4).

    The weight is (1 - p)^gamma with p = exp(-loss), the probability of the right
    category: hard images count most. It stands where a :class:`PreviewStrategy` may, to
    be compared with it.

    Args:
        gamma (float): Focusing parameter; 0 makes all weights 1. Defaults to 2.0.

    Raises:
        ValueError: For a negative gamma.
    """

    def __init__(self, gamma: float = 2.0) -> None:
        if gamma < 0:
            raise ValueError(f"FocalStrategy found gamma={gamma}; expected 0 or more.")
        self.gamma = gamma

    def weight(self, sample_loss: Tensor, progress: float) -> Tensor:
        """Weight of each image.

        Args:
            sample_loss (Tensor): Cross-entropy of each image, shape (N,).
            progress (float): Not used: these weights do not follow a schedule.

        Returns:
            Tensor: Weights in [0, 1], shape (N,), detached, float32 or wider; 0 for a
            loss that is not finite.
        """
        loss = sample_loss.detach()
        if loss.dtype in (torch.float16, torch.bfloat16):
            loss = loss.float()
        weight = (-torch.expm1(-loss)).clamp_min(0) ** self.gamma
        return weight.masked_fill(~loss.isfinite(), 0)
