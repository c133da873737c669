"""Distillation of logits with preview weights, L_KD of PCKD."""

import math
from typing import Optional

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pckd_mm.registry import MODELS
from pckd_mm.utils.processes import mean_over_processes

from .utils import full_precision, l2_normalize, weight_of_rows


@full_precision
def preview_kl_divergence(
    preds_S: Tensor,
    preds_T: Tensor,
    weight: Optional[Tensor] = None,
    tau: float = 4.0,
    use_sigmoid: bool = False,
    standardize: bool = False,
) -> Tensor:
    """Weighted mean of tau^2 KL(teacher // student) at temperature tau.

    With ``use_sigmoid`` each class is a distribution of its own, over having it or not,
    and their divergences are added. With ``standardize`` the logits are
    :func:`standardized` first, the student's and the teacher's.

    Args:
        preds_S (Tensor): The student's logits, shape (N, C), of the N = B upright views
            or, in sample-major order, of all N = V * B.
        preds_T (Tensor): The teacher's logits, shape (N, C); they get no gradient.
        weight (Tensor, optional): Preview weights of the images, shape (B,), which the
            views of an image share. Defaults to ones, which gives the distillation of
            Hinton et al. (2015).
        tau (float): Temperature. Defaults to 4.0.
        use_sigmoid (bool): Whether the probabilities are those of several labels, by
            a sigmoid, or of one class, by a softmax. Defaults to False.
        standardize (bool): Whether to standardize the logits of each row. Defaults to
            False.

    Returns:
        Tensor: Scalar; 0 for no rows.

    Raises:
        ValueError: For unequal shapes, weights that are not one for each image, or
            standardized logits of several labels.
    """
    _refuse_standardized_sigmoid(use_sigmoid, standardize)
    if preds_S.shape != preds_T.shape:
        raise ValueError(
            f"PreviewKLDivergence found student logits of shape "
            f"{tuple(preds_S.shape)} and teacher logits of shape "
            f"{tuple(preds_T.shape)}; expected equal shapes: take the same view of "
            "both (view=0 is the upright one), or all, and the same categories."
        )
    preds_T = preds_T.detach()
    if standardize:
        preds_S, preds_T = standardized(preds_S), standardized(preds_T)
    preds_S, preds_T = preds_S / tau, preds_T / tau
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
        weight = weight_of_rows(weight, divergence, "PreviewKLDivergence")
        divergence = divergence * weight
    return tau**2 * mean_over_processes(divergence)


def standardized(logits: Tensor) -> Tensor:
    """Bring each row to mean 0 and standard deviation 1.

    Sun et al., CVPR 2024, "Logit Standardization in Knowledge Distillation", with the
    standard deviation of the authors' program, which divides the sum of squares by
    C - 1. That program adds 1e-7 to it; here nothing is added, and a row of equal
    logits, which has none, becomes zeros, with gradient zero.

    Args:
        logits (Tensor): Logits, shape (N, C).

    Returns:
        Tensor: Standardized logits, shape (N, C).
    """
    # Of equal logits the difference is exactly zero, and so is its mean.
    logits = logits - logits.detach().amax(dim=1, keepdim=True)
    centered = logits - logits.mean(dim=1, keepdim=True)
    return math.sqrt(logits.shape[1] - 1) * l2_normalize(centered)


def _refuse_standardized_sigmoid(use_sigmoid: bool, standardize: bool) -> None:
    if use_sigmoid and standardize:
        raise ValueError(
            "PreviewKLDivergence found use_sigmoid=True and standardize=True; expected "
            "one of them, since each logit says by itself how sure a label is: set "
            "standardize=False."
        )


@MODELS.register_module()
class PreviewKLDivergence(nn.Module):
    """Match the teacher's class probabilities, hard images less (PCKD, L_KD).

    Args:
        tau (float): Temperature. Defaults to 4.0.
        loss_weight (float): Weight of the loss, delta in the paper. Defaults to 1.0.
        use_sigmoid (bool): Whether an image may have several labels: each class is then
            a distribution of its own. Defaults to False.
        standardize (bool): Whether to bring the logits of each image to mean 0 and
            standard deviation 1 before the temperature (:func:`standardized`). Its
            authors take tau=2 and a loss_weight of 9. Defaults to False.

    Raises:
        ValueError: For ``use_sigmoid`` and ``standardize`` together.
    """

    def __init__(
        self,
        tau: float = 4.0,
        loss_weight: float = 1.0,
        use_sigmoid: bool = False,
        standardize: bool = False,
    ) -> None:
        super().__init__()
        _refuse_standardized_sigmoid(use_sigmoid, standardize)
        self.tau = tau
        self.use_sigmoid = use_sigmoid
        self.standardize = standardize
        self.loss_weight = loss_weight

    def forward(
        self, preds_S: Tensor, preds_T: Tensor, weight: Optional[Tensor] = None
    ) -> Tensor:
        """Compute the loss; see :func:`preview_kl_divergence`.

        Args:
            preds_S (Tensor): The student's logits, shape (N, C), of one view or of
                all views of each image.
            preds_T (Tensor): The teacher's logits, shape (N, C).
            weight (Tensor, optional): Preview weights, shape (B,).

        Returns:
            Tensor: Scalar.
        """
        loss = preview_kl_divergence(
            preds_S, preds_T, weight, self.tau, self.use_sigmoid, self.standardize
        )
        return self.loss_weight * loss
