"""Correlation of class probabilities (DIST)."""

from mmrazor.models.losses import DISTLoss
from torch import Tensor

from pckd_mm.registry import MODELS

from .utils import full_precision


@MODELS.register_module()
class DISTRelationLoss(DISTLoss):
    """MMRazor's DISTLoss in float32, under autocast as well.

    tau^2 times one minus the mean Pearson correlation of student and teacher: of the
    rows (images, inter-class) and of the columns (classes, intra-class) of their class
    probabilities (Huang et al., NeurIPS 2022, eq. 8 to 10).

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
    def forward(self, logits_S: Tensor, logits_T: Tensor) -> Tensor:
        """Compute the loss.

        Args:
            logits_S (Tensor): The student's logits, shape (B, C).
            logits_T (Tensor): The teacher's logits, shape (B, C); they get no
                gradient.

        Returns:
            Tensor: Scalar.
        """
        return super().forward(logits_S, logits_T)
