"""Decoupled distillation of logits."""

from typing import Optional

import torch
import torch.nn.functional as F
from mmrazor.models.losses import DKDLoss
from torch import Tensor

from pckd_mm.registry import MODELS

from .utils import full_precision, views_per_image, weight_of_rows


@MODELS.register_module()
class DecoupledKDLoss(DKDLoss):
    """MMRazor's DKDLoss with a warm-up, in float32.

    alpha * TCKD + beta * NCKD (Zhao et al., CVPR 2022, eq. 7), each tau^2 KL(teacher
    // student) at temperature tau: TCKD of the pair (target, all others), NCKD of the
    distribution over the others. With the preview weights of the images (an option of
    this project) it is L_KD of PCKD in this form: sum_i v_i l_i / B, where l_i is the
    loss of image i.

    MMRazor's loss differs: it has no warm-up, follows autocast to half precision, sums
    over the batch for every ``reduction`` but ``'batchmean'``, the only one here, and
    is infinite or NaN where a probability underflows, as it does for logits that are
    hundreds apart; here logarithms of probabilities are never of a zero.

    Args:
        tau (float): Temperature. Defaults to 4.0.
        alpha (float): Weight of TCKD. Defaults to 1.0.
        beta (float): Weight of NCKD. Defaults to 8.0.
        warmup (float): Share of the training over which the loss grows linearly to
            its full weight; 0 for none. Defaults to 20 / 240, the authors' 20 epochs
            of 240.
        loss_weight (float): Weight of the loss. Defaults to 1.0.

    Raises:
        ValueError: For a warm-up that is no share of the training.
    """

    def __init__(
        self,
        tau: float = 4.0,
        alpha: float = 1.0,
        beta: float = 8.0,
        warmup: float = 20 / 240,
        loss_weight: float = 1.0,
    ) -> None:
        super().__init__(tau=tau, alpha=alpha, beta=beta, loss_weight=loss_weight)
        if not 0 <= warmup <= 1:
            raise ValueError(
                f"DecoupledKDLoss found warmup={warmup}; expected a share of the "
                "training in [0, 1], such as 20 / 240 for 20 epochs of 240."
            )
        self.warmup = warmup

    @full_precision
    def forward(
        self,
        preds_S: Tensor,
        preds_T: Tensor,
        gt_labels: Tensor,
        progress: Optional[float] = None,
        weight: Optional[Tensor] = None,
    ) -> Tensor:
        """Compute the loss.

        Args:
            preds_S (Tensor): The student's logits, shape (N, C), of one view or, in
                sample-major order, of all views of each image.
            preds_T (Tensor): The teacher's logits, shape (N, C); they get no gradient.
            gt_labels (Tensor): Labels of the images, shape (B,).
            progress (float, optional): Share of the training done, in (0, 1]; epoch e
                of E counts as e / E. Defaults to None, the end of the warm-up.
            weight (Tensor, optional): Preview weights of the images, shape (B,).
                Defaults to ones.

        Returns:
            Tensor: Scalar; 0 for no rows.

        Raises:
            ValueError: Where rows, labels and weights do not go together.
        """
        views = views_per_image(preds_S, gt_labels, weight, "DecoupledKDLoss")
        gt_labels = gt_labels.repeat_interleave(views, output_size=len(preds_S))
        losses = super().forward(preds_S, preds_T.detach(), gt_labels)
        if weight is not None:
            losses = losses * weight_of_rows(weight, preds_S, "DecoupledKDLoss")
        loss = losses.sum() / max(len(losses), 1)
        if progress is not None and progress < self.warmup:
            loss = loss * (progress / self.warmup)
        return loss

    def _get_tckd_loss(
        self, preds_S: Tensor, preds_T: Tensor, gt_labels: Tensor, gt_mask: Tensor
    ) -> Tensor:
        return self._kl_loss(
            *(_target_and_others(x / self.tau, gt_mask) for x in (preds_S, preds_T))
        )

    def _get_nckd_loss(
        self, preds_S: Tensor, preds_T: Tensor, gt_mask: Tensor
    ) -> Tensor:
        return self._kl_loss(
            *(_among_others(x / self.tau, gt_mask) for x in (preds_S, preds_T))
        )

    def _kl_loss(self, preds_S: Tensor, preds_T: Tensor) -> Tensor:
        """Of each row, shape (N,): weights come before the mean."""
        divergence = F.kl_div(preds_S, preds_T, reduction="none", log_target=True)
        return self.tau**2 * divergence.sum(dim=1)


def _target_and_others(logits: Tensor, gt_mask: Tensor) -> Tensor:
    """Log-probabilities of the target and of all others together, shape (B, 2)."""
    target = logits.masked_fill(~gt_mask, -torch.inf).logsumexp(dim=1)
    others = logits.masked_fill(gt_mask, -torch.inf).logsumexp(dim=1)
    return F.log_softmax(torch.stack([target, others], dim=1), dim=1)


def _among_others(logits: Tensor, gt_mask: Tensor) -> Tensor:
    """Log-probabilities given that it is not the target, shape (B, C); 0 for it."""
    others = F.log_softmax(logits.masked_fill(gt_mask, -torch.inf), dim=1)
    # On both sides, so that it has no part in the divergence.
    return others.masked_fill(gt_mask, 0)
