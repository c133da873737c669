"""Contrast with the category centers themselves, another form of L_CC."""

from typing import Optional

import torch.nn.functional as F
from torch import Tensor, nn

from pckd_mm.registry import MODELS
from pckd_mm.utils.processes import mean_over_processes

from .utils import full_precision, l2_normalize, views_per_image, weight_of_rows


@full_precision
def center_contrast(
    s_embed: Tensor,
    t_embed: Tensor,
    s_centers: Tensor,
    t_centers: Tensor,
    labels: Tensor,
    weight: Optional[Tensor] = None,
    tau: float = 0.07,
) -> Tensor:
    """Contrast embeddings with the category centers.

    Each of the N = V * B rows is drawn to the center of its label and away from all
    others: l_n = CE(cos(s_embed_n, s_centers) / tau, y) + CE(cos(t_embed_n, t_centers)
    / tau, y), the embedding in the student's space with the student's centers and the
    one in the teacher's space with the teacher's. The loss is the mean of v l_n over
    the rows, where the views of an image share its label y and its weight v. Rows do
    not depend on each other. The cosine with zeros counts as 0.

    Args:
        s_embed (Tensor): Embeddings in the student's space, shape (N, D_s).
        t_embed (Tensor): Embeddings in the teacher's space, shape (N, D_t).
        s_centers (Tensor): Weight of the student's classifier, shape (C, D_s).
        t_centers (Tensor): Weight of the teacher's classifier, shape (C, D_t); it
            gets no gradient.
        labels (Tensor): Labels of the images, shape (B,).
        weight (Tensor, optional): Preview weights of the images, shape (B,). Defaults
            to ones.
        tau (float): Temperature of the cosines. Defaults to 0.07.

    Returns:
        Tensor: Scalar, of several processes this one's share; 0 for no rows.

    Raises:
        ValueError: Where rows, labels and weights do not go together.
    """
    views = views_per_image(s_embed, labels, weight, "CenterContrastiveLoss")
    labels = labels.repeat_interleave(views, output_size=len(s_embed))
    s_loss, t_loss = (
        F.cross_entropy(
            l2_normalize(embed) @ l2_normalize(centers).T / tau,
            labels,
            reduction="none",
        )
        for embed, centers in ((s_embed, s_centers), (t_embed, t_centers.detach()))
    )
    losses = s_loss + t_loss
    if weight is not None:
        losses = losses * weight_of_rows(weight, s_embed, "CenterContrastiveLoss")
    return mean_over_processes(losses)


@MODELS.register_module()
class CenterContrastiveLoss(nn.Module):
    """Contrast views with the category centers, as PCKD's figure draws L_CC.

    An option beside :class:`CategoryContrastiveLoss`, which is the authors' program and
    takes the same records. The figure shows the student's feature against the centers
    and gives no formula: this one, with its temperature, is this project's reading.

    Args:
        tau (float): Temperature of the cosines; 0.07 is the base temperature of the
            program's contrast. Defaults to 0.07.
        loss_weight (float): Weight of the loss. Defaults to 1.0.
    """

    def __init__(self, tau: float = 0.07, loss_weight: float = 1.0) -> None:
        super().__init__()
        self.tau = tau
        self.loss_weight = loss_weight

    def forward(
        self,
        s_embed: Tensor,
        t_embed: Tensor,
        s_centers: Tensor,
        t_centers: Tensor,
        labels: Tensor,
        weight: Optional[Tensor] = None,
    ) -> Tensor:
        """Compute the loss; see :func:`center_contrast`.

        Args:
            s_embed (Tensor): Embeddings in the student's space, shape (N, D_s).
            t_embed (Tensor): Embeddings in the teacher's space, shape (N, D_t).
            s_centers (Tensor): Weight of the student's classifier, shape (C, D_s).
            t_centers (Tensor): Weight of the teacher's classifier, shape (C, D_t).
            labels (Tensor): Labels of the images, shape (B,).
            weight (Tensor, optional): Preview weights, shape (B,).

        Returns:
            Tensor: Scalar.
        """
        loss = center_contrast(
            s_embed, t_embed, s_centers, t_centers, labels, weight, tau=self.tau
        )
        return self.loss_weight * loss
