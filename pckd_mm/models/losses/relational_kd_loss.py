"""Relational distillation (RKD) of distances and angles between images."""

from typing import Tuple

import torch
import torch.nn.functional as F
from mmrazor.models.losses import AngleWiseRKD, DistanceWiseRKD
from torch import Tensor

from pckd_mm.registry import MODELS

from .utils import full_precision, l2_normalize

# Between equal features, whose mean distance must not be zero; as MMRazor has it.
_LEAST_DISTANCE = 1e-6


@MODELS.register_module()
class DistanceRKDLoss(DistanceWiseRKD):
    """MMRazor's DistanceWiseRKD in float32, without waiting for the device.

    Smooth L1 between the pairwise distances of the features, each side's divided by
    their mean (Park et al., CVPR 2019, eq. 3 to 5).

    MMRazor's loss differs: it takes distances as differences of products, in half
    precision under autocast, of which nothing is left where features are large and
    close; it counts the positive distances on the host in every step, and scales
    features to length one by default, which the publication and the CRD benchmark do
    not.

    Args:
        loss_weight (float): Weight of the loss. Defaults to 25.0.
        with_l2_norm (bool): Whether to scale features to length one. Defaults to
            False.
    """

    #: int: Images that it compares, at least.
    min_rows = 2

    def __init__(self, loss_weight: float = 25.0, with_l2_norm: bool = False) -> None:
        super().__init__(loss_weight, with_l2_norm)

    def distance_loss(self, preds_S: Tensor, preds_T: Tensor) -> Tensor:
        """Compute the loss without its weight.

        Args:
            preds_S (Tensor): The student's features, shape (B, D_s).
            preds_T (Tensor): The teacher's features, shape (B, D_t).

        Returns:
            Tensor: Scalar.
        """
        return F.smooth_l1_loss(
            _relative_distances(preds_S), _relative_distances(preds_T)
        )

    @full_precision
    def forward(self, preds_S: Tensor, preds_T: Tensor) -> Tensor:
        """Compute the loss.

        Args:
            preds_S (Tensor): The student's features, shape (B, D_s), B >= 2.
            preds_T (Tensor): The teacher's features, shape (B, D_t); they get no
                gradient.

        Returns:
            Tensor: Scalar.

        Raises:
            ValueError: For a single image, or unequal numbers of images.
        """
        return super().forward(
            *_check_rows(preds_S, preds_T, self.min_rows, "DistanceRKDLoss")
        )


@MODELS.register_module()
class AngleRKDLoss(AngleWiseRKD):
    """MMRazor's AngleWiseRKD in float32.

    Smooth L1 between the cosines of the angles that three images form (Park et al.,
    CVPR 2019, eq. 6 and 7).

    MMRazor's loss differs: it follows autocast to half precision, gives two equal
    features, between which no direction is defined, gradients of 1e12 times the
    others', and scales features to length one by default, which the publication and the
    CRD benchmark do not.

    Args:
        loss_weight (float): Weight of the loss. Defaults to 50.0.
        with_l2_norm (bool): Whether to scale features to length one. Defaults to
            False.
    """

    def __init__(self, loss_weight: float = 50.0, with_l2_norm: bool = False) -> None:
        super().__init__(loss_weight, with_l2_norm)

    def angle_loss(self, preds_S: Tensor, preds_T: Tensor) -> Tensor:
        """Compute the loss without its weight.

        Args:
            preds_S (Tensor): The student's features, shape (B, D_s).
            preds_T (Tensor): The teacher's features, shape (B, D_t).

        Returns:
            Tensor: Scalar.
        """
        return F.smooth_l1_loss(_cosines(preds_S), _cosines(preds_T))

    @full_precision
    def forward(self, preds_S: Tensor, preds_T: Tensor) -> Tensor:
        """Compute the loss.

        Args:
            preds_S (Tensor): The student's features, shape (B, D_s).
            preds_T (Tensor): The teacher's features, shape (B, D_t); they get no
                gradient.

        Returns:
            Tensor: Scalar.

        Raises:
            ValueError: For unequal numbers of images.
        """
        return super().forward(*_check_rows(preds_S, preds_T, 1, "AngleRKDLoss"))


def _relative_distances(rows: Tensor) -> Tensor:
    """Distances between rows over their mean but for the diagonal's, shape (B, B)."""
    distance = torch.cdist(
        rows, rows, compute_mode="donot_use_mm_for_euclid_dist"
    ).clamp_min(_LEAST_DISTANCE)
    distance = distance - distance.diagonal().diag()
    pairs = len(rows) * (len(rows) - 1)
    return distance * (pairs / distance.sum())


def _cosines(rows: Tensor) -> Tensor:
    """Cosines of the angles at each row between any two, shape (B, B, B)."""
    difference = rows[None] - rows[:, None]
    direction = l2_normalize(difference.flatten(0, 1)).view_as(difference)
    return direction @ direction.transpose(1, 2)


def _check_rows(
    preds_S: Tensor, preds_T: Tensor, least: int, loss: str
) -> Tuple[Tensor, Tensor]:
    if len(preds_S) != len(preds_T) or len(preds_S) < least:
        raise ValueError(
            f"{loss} found {len(preds_S)} features of the student and {len(preds_T)} "
            f"of the teacher; expected one of each image, and at least {least}: record "
            "both of the same images, or set drop_last=True."
        )
    return preds_S, preds_T.detach()
