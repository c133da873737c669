"""Hints (FitNet): features of an inner stage."""

from mmrazor.models.losses import L2Loss
from torch import Tensor

from pckd_mm.registry import MODELS

from .utils import full_precision


@MODELS.register_module()
class HintLoss(L2Loss):
    """MMRazor's L2Loss as a mean squared error in float32.

    The squared difference of regressed student and teacher features (Romero et al.,
    ICLR 2015, eq. 3), as a mean over all elements as in the CRD benchmark.

    MMRazor's loss differs: by default it scales features to length one and divides by
    the images only; it takes the difference in half precision under autocast.

    Args:
        loss_weight (float): Weight of the loss. Defaults to 1.0.
    """

    def __init__(self, loss_weight: float = 1.0) -> None:
        super().__init__(loss_weight, normalize=False, div_element=True)

    @full_precision
    def forward(self, s_feature: Tensor, t_feature: Tensor) -> Tensor:
        """Compute the loss.

        Args:
            s_feature (Tensor): The student's features behind a regressor, shape
                (B, C, H, W).
            t_feature (Tensor): The teacher's features, shape (B, C, H, W); they get
                no gradient.

        Returns:
            Tensor: Scalar.

        Raises:
            ValueError: For unequal shapes.
        """
        if s_feature.shape != t_feature.shape:
            raise ValueError(
                f"HintLoss found student features of shape {tuple(s_feature.shape)} "
                f"and teacher features of shape {tuple(t_feature.shape)}; expected "
                "equal shapes: pass the student's through a HintConnector, and set the "
                "model's input_shape to that of the images."
            )
        return super().forward(s_feature, t_feature.detach())
