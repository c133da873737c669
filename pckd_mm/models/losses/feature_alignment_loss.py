"""Feature alignment, L_FA of PCKD."""

from typing import Optional, Tuple

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
        anneal_to (float): What the weight is multiplied by at the end of the training,
            linearly from 1 at its beginning: by 1 + (anneal_to - 1) e / E in epoch e of
            E. It is an option of this project. Defaults to 1.0, a constant weight.

    Raises:
        ValueError: For a negative factor.
    """

    def __init__(self, loss_weight: float = 1.0, anneal_to: float = 1.0) -> None:
        super().__init__()
        if not anneal_to >= 0:
            raise ValueError(
                f"FeatureAlignmentLoss found anneal_to={anneal_to}; expected what its "
                "weight is multiplied by in the end, such as 0 to let the loss fade."
            )
        self.loss_weight = loss_weight
        self.anneal_to = anneal_to

    @property
    def needed_arguments(self) -> Tuple[str, ...]:
        """tuple[str]: Optional arguments that these settings need."""
        return () if self.anneal_to == 1 else ("progress",)

    def forward(
        self, s_feat: Tensor, t_feat: Tensor, progress: Optional[float] = None
    ) -> Tensor:
        """Compute the loss; see :func:`feature_alignment`.

        Args:
            s_feat (Tensor): The student's features behind a connector, shape (N, D).
            t_feat (Tensor): The teacher's features, shape (N, D).
            progress (float, optional): Share of the training done, in (0, 1]; epoch e
                of E counts as e / E. A loss that is annealed needs it.

        Returns:
            Tensor: Scalar.

        Raises:
            ValueError: Where a loss that is annealed gets no progress.
        """
        return self._weight(progress) * feature_alignment(s_feat, t_feat)

    def _weight(self, progress: Optional[float]) -> float:
        if self.anneal_to == 1:
            return self.loss_weight
        if progress is None:
            raise ValueError(
                f"FeatureAlignmentLoss has anneal_to={self.anneal_to} and found no "
                "progress; expected the share of the training done, in (0, 1]: pass it "
                "as progress."
            )
        return self.loss_weight * (1 + (self.anneal_to - 1) * progress)
