"""Category alignment, L_CA of PCKD."""

from typing import Optional

from torch import Tensor, cat, nn

from pckd_mm.registry import MODELS

from .utils import full_precision


@full_precision
def category_alignment(
    s_centers: Tensor,
    t_centers: Tensor,
    s_bias: Optional[Tensor] = None,
    t_bias: Optional[Tensor] = None,
) -> Tensor:
    """Mean squared difference of the category centers, biases as one more column.

    Args:
        s_centers (Tensor): Weight of the student's classifier, shape (C, D).
        t_centers (Tensor): Weight of the teacher's classifier, shape (C, D).
        s_bias (Tensor, optional): Bias of the student's classifier, shape (C,).
        t_bias (Tensor, optional): Bias of the teacher's classifier, shape (C,).

    Returns:
        Tensor: Scalar.

    Raises:
        ValueError: For unequal shapes, or a bias on one side only.
    """
    if s_centers.shape != t_centers.shape:
        raise ValueError(
            "CategoryAlignmentLoss found student centers of shape "
            f"{tuple(s_centers.shape)} and teacher centers of shape "
            f"{tuple(t_centers.shape)}; expected equal shapes: leave the loss out of "
            "distill_losses (set it to None) for this pair."
        )
    if (s_bias is None) != (t_bias is None):
        missing = "student" if s_bias is None else "teacher"
        raise ValueError(
            f"CategoryAlignmentLoss found no bias of the {missing} beside the other "
            "one's; expected both or neither: drop s_bias and t_bias from "
            "loss_forward_mappings."
        )
    if s_bias is not None:
        s_centers = cat([s_centers, s_bias[:, None]], dim=1)
        t_centers = cat([t_centers, t_bias[:, None]], dim=1)
    return (s_centers - t_centers.detach()).square().mean()


@MODELS.register_module()
class CategoryAlignmentLoss(nn.Module):
    """Pull the student's category centers to the teacher's (PCKD, L_CA).

    Args:
        loss_weight (float): Weight of the loss, alpha in the paper. Defaults to 1.0.
    """

    def __init__(self, loss_weight: float = 1.0) -> None:
        super().__init__()
        self.loss_weight = loss_weight

    def forward(
        self,
        s_centers: Tensor,
        t_centers: Tensor,
        s_bias: Optional[Tensor] = None,
        t_bias: Optional[Tensor] = None,
    ) -> Tensor:
        """Compute the loss; see :func:`category_alignment`.

        Args:
            s_centers (Tensor): Weight of the student's classifier, shape (C, D).
            t_centers (Tensor): Weight of the teacher's classifier, shape (C, D).
            s_bias (Tensor, optional): Bias of the student's, shape (C,).
            t_bias (Tensor, optional): Bias of the teacher's, shape (C,).

        Returns:
            Tensor: Scalar.
        """
        loss = category_alignment(s_centers, t_centers, s_bias, t_bias)
        return self.loss_weight * loss
