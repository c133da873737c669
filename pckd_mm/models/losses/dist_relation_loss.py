"""Correlation of class probabilities (DIST)."""

from typing import Optional

import torch
from mmrazor.models.losses import DISTLoss
from mmrazor.models.losses.dist_loss import cosine_similarity, pearson_correlation
from torch import Tensor

from pckd_mm.registry import MODELS

from .utils import full_precision, weight_of_rows


@MODELS.register_module()
class DISTRelationLoss(DISTLoss):
    """MMRazor's DISTLoss in float32, under autocast as well.

    tau^2 times one minus the mean Pearson correlation of student and teacher: of the
    rows (images, inter-class) and of the columns (classes, intra-class) of their class
    probabilities (Huang et al., NeurIPS 2022, eq. 8 to 10). As there, 1e-8 is added to
    what a correlation is divided by.

    With the preview weights v_i of the images (an option of this project) it is L_KD of
    PCKD in this form. The inter-class relation is the mean of v_i times that of image
    i. The intra-class relation takes the weighted correlation of a class over the
    images, whose means, variances and covariance are weighted by v_i over the mean of
    all v: it does not depend on how large the weights are altogether. Weights that are
    all zero make that correlation 0.

    Args:
        inter_loss_weight (float): Weight of the inter-class relation. Defaults to 2.0.
        intra_loss_weight (float): Weight of the intra-class relation. Defaults to 2.0.
        tau (float): Temperature. Defaults to 4.0.
        loss_weight (float): Weight of the loss. Defaults to 1.0.
    """

    def __init__(
        self,
        inter_loss_weight: float = 2.0,
        intra_loss_weight: float = 2.0,
        tau: float = 4.0,
        loss_weight: float = 1.0,
    ) -> None:
        super().__init__(inter_loss_weight, intra_loss_weight, tau, loss_weight)

    @full_precision
    def forward(
        self, logits_S: Tensor, logits_T: Tensor, weight: Optional[Tensor] = None
    ) -> Tensor:
        """Compute the loss.

        Args:
            logits_S (Tensor): The student's logits, shape (N, C), of one view or, in
                sample-major order, of all views of each image.
            logits_T (Tensor): The teacher's logits, shape (N, C); they get no
                gradient.
            weight (Tensor, optional): Preview weights of the images, shape (B,).
                Defaults to ones.

        Returns:
            Tensor: Scalar.

        Raises:
            ValueError: For weights that are not one for each image.
        """
        if weight is None:
            return super().forward(logits_S, logits_T)
        weight = weight_of_rows(weight, logits_S, "DISTRelationLoss")
        y_s, y_t = (
            (logits / self.tau).softmax(dim=1)
            for logits in (logits_S, logits_T.detach())
        )
        inter = (weight * (1 - pearson_correlation(y_s, y_t))).mean()
        intra = 1 - _weighted_correlation(y_s.T, y_t.T, weight).mean()
        relations = self.inter_loss_weight * inter + self.intra_loss_weight * intra
        return self.loss_weight * self.tau**2 * relations


def _weighted_correlation(a: Tensor, b: Tensor, weight: Tensor) -> Tensor:
    """Pearson correlation of rows whose columns have weights.

    Args:
        a (Tensor): Rows, shape (C, N).
        b (Tensor): Rows, shape (C, N).
        weight (Tensor): Weights, shape (N,), none of them negative.

    Returns:
        Tensor: Shape (C,); of weights of one that of MMRazor.
    """
    share = weight / weight.mean().clamp_min(torch.finfo(weight.dtype).tiny)
    a, b = (
        (rows - (share * rows).mean(dim=1, keepdim=True)) * share.sqrt()
        for rows in (a, b)
    )
    return cosine_similarity(a, b)
