"""Feature alignment, L_FA of PCKD."""

from torch import Tensor, nn

from pckd_mm.registry import MODELS
from pckd_mm.utils.processes import mean_over_processes

from .utils import full_precision, l2_normalize


@full_precision
def feature_alignment(s_feat: Tensor, t_feat: Tensor) -> Tensor:
    """Mean of 2 - 2 cos between the features of student and teacher.

    Args:
        s_feat (Tensor): The student's features, in the teacher's space, shape (N, D).
        t_feat (Tensor): The teacher's features, shape (N, D).

    Returns:
        Tensor: Scalar in [0, 4]; 0 for no rows. The cosine with a feature of zeros
        counts as 0.

    Raises:
        ValueError: For unequal shapes.
    """
    if s_feat.shape != t_feat.shape:
        raise ValueError(
            f"FeatureAlignmentLoss found student features of shape "
            f"{tuple(s_feat.shape)} and teacher features of shape "
            f"{tuple(t_feat.shape)}; expected equal shapes: set the connector's "
            "out_channels to the teacher's width."
        )
    cosine = (l2_normalize(s_feat) * l2_normalize(t_feat.detach())).sum(dim=1)
    return mean_over_processes(2 - 2 * cosine)


@MODELS.register_module()
class FeatureAlignmentLoss(nn.Module):
    """Turn the student's features towards the teacher's (PCKD, L_FA).

    Args:
        loss_weight (float): Weight of the loss, phi in the paper. Defaults to 1.0.
    """

    def __init__(self, loss_weight: float = 1.0) -> None:
        super().__init__()
        self.loss_weight = loss_weight

    def forward(self, s_feat: Tensor, t_feat: Tensor) -> Tensor:
        """Compute the loss; see :func:`feature_alignment`.

        Args:
            s_feat (Tensor): The student's features behind a connector, shape (N, D).
            t_feat (Tensor): The teacher's features, shape (N, D).

        Returns:
            Tensor: Scalar.
        """
        return self.loss_weight * feature_alignment(s_feat, t_feat)
