"""Distillation of logits with preview weights, L_KD of PCKD."""

from typing import Optional

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pckd_mm.registry import MODELS
from pckd_mm.utils.processes import mean_over_processes

from .utils import full_precision


@full_precision
def preview_kl_divergence(
    preds_S: Tensor,
    preds_T: Tensor,
    weight: Optional[Tensor] = None,
    tau: float = 4.0,
    use_sigmoid: bool = False,
) -> Tensor:
    """Weighted mean of tau^2 KL(teacher // student) at temperature tau.

    With ``use_sigmoid`` each class is a distribution of its own, over having it or not,
    and their divergences are added.

    Args:
        preds_S (Tensor): The student's logits, shape (B, C).
        preds_T (Tensor): The teacher's logits, shape (B, C); they get no gradient.
        weight (Tensor, optional): Preview weights of the images, shape (B,). Defaults
            to ones, which gives the distillation of Hinton et al. (2015).
        tau (float): Temperature. Defaults to 4.0.
        use_sigmoid (bool): Whether the probabilities are those of several labels, by
            a sigmoid, or of one class, by a softmax. Defaults to False.

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
    preds_S, preds_T = preds_S / tau, preds_T.detach() / tau
    if use_sigmoid:
        # (logarithms of) a class's probability and of its absence
        log_S, log_T = (
            F.logsigmoid(torch.stack([preds, -preds], dim=-1)).flatten(1)
            for preds in (preds_S, preds_T)
        )
    else:
        log_S, log_T = F.log_softmax(preds_S, dim=1), F.log_softmax(preds_T, dim=1)
    divergence = F.kl_div(log_S, log_T, reduction="none", log_target=True).sum(dim=1)
    if weight is not None:
        divergence = divergence * weight.detach()
    return tau**2 * mean_over_processes(divergence)


@MODELS.register_module()
class PreviewKLDivergence(nn.Module):
    """Match the teacher's class probabilities, hard images less (PCKD, L_KD).

    Args:
        tau (float): Temperature. Defaults to 4.0.
        loss_weight (float): Weight of the loss, delta in the paper. Defaults to 1.0.
        use_sigmoid (bool): Whether an image may have several labels: each class is then
            a distribution of its own. Defaults to False.
    """

    def __init__(
        self, tau: float = 4.0, loss_weight: float = 1.0, use_sigmoid: bool = False
    ) -> None:
        super().__init__()
        self.tau = tau
        self.use_sigmoid = use_sigmoid
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
        loss = preview_kl_divergence(
            preds_S, preds_T, weight, self.tau, self.use_sigmoid
        )
        return self.loss_weight * loss
