"""Distillation of logits with preview weights, L_KD of PCKD."""

from typing import Optional

import torch.nn.functional as F
from torch import Tensor, nn

from pckd_mm.registry import MODELS
from pckd_mm.utils.processes import mean_over_processes

from .utils import full_precision


@full_precision
def preview_kl_divergence(
    preds_S: Tensor, preds_T: Tensor, weight: Optional[Tensor] = None, tau: float = 4.0
) -> Tensor:
    """Weighted mean of tau^2 KL(teacher // student) at temperature tau.

    Args:
        preds_S (Tensor): The student's logits, shape (B, C).
        preds_T (Tensor): The teacher's logits, shape (B, C); they get no gradient.
        weight (Tensor, optional): Preview weights of the images, shape (B,). Defaults
            to ones, which gives the distillation of Hinton et al. (2015).
        tau (float): Temperature. Defaults to 4.0.

    Returns:
        Tensor: Scalar; 0 for no rows.

    Raises:
        ValueError: For unequal shapes.
    """
    if preds_S.shape != preds_T.shape:
        raise ValueError(
            f"PreviewKLDivergence found student logits of shape "
            f"{tuple(preds_S.shape)} and teacher logits of shape "
            f"{tuple(preds_T.shape)}; expected equal shapes: take the upright view of "
            "both (view=0) and the same categories."
        )
    divergence = F.kl_div(
        F.log_softmax(preds_S / tau, dim=1),
        F.log_softmax(preds_T.detach() / tau, dim=1),
        reduction="none",
        log_target=True,
    ).sum(dim=1)
    if weight is not None:
        divergence = divergence * weight.detach()
    return tau**2 * mean_over_processes(divergence)


@MODELS.register_module()
class PreviewKLDivergence(nn.Module):
    """Match the teacher's class probabilities, hard images less (PCKD, L_KD).

    Args:
        tau (float): Temperature. Defaults to 4.0.
        loss_weight (float): Weight of the loss, delta in the paper. Defaults to 1.0.
    """

    def __init__(self, tau: float = 4.0, loss_weight: float = 1.0) -> None:
        super().__init__()
        self.tau = tau
        self.loss_weight = loss_weight

    def forward(
        self, preds_S: Tensor, preds_T: Tensor, weight: Optional[Tensor] = None
    ) -> Tensor:
        """Compute the loss; see :func:`preview_kl_divergence`.

        Args:
            preds_S (Tensor): The student's logits, shape (B, C).
            preds_T (Tensor): The teacher's logits, shape (B, C).
            weight (Tensor, optional): Preview weights, shape (B,).

        Returns:
            Tensor: Scalar.
        """
        loss = preview_kl_divergence(preds_S, preds_T, weight, tau=self.tau)
        return self.loss_weight * loss
