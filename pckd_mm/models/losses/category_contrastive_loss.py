"""Category contrast, L_CC of PCKD."""

from typing import Optional, Tuple

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from pckd_mm.registry import MODELS

from .utils import full_precision, mean_or_zero, views_per_image

# Entries of the matrix of similarities that are in memory at a time: 16 MiB in float32.
_BLOCK = 2**22


class _SupervisedContrast(torch.autograd.Function):
    """:func:`supervised_contrast` over tau / base_tau, a block of rows at a time.

    The backward pass computes the similarities again, so that memory grows with the
    number of anchors and not with its square. A single block is kept instead.
    """

    @staticmethod
    def forward(ctx, anchors: Tensor, labels: Tensor, tau: float) -> Tensor:
        ctx.tau = tau
        ctx.rows = max(1, _BLOCK // max(len(anchors), 1))
        losses = torch.empty_like(anchors[:, 0])
        totals = torch.empty_like(losses)
        kept = None
        for start in range(0, len(anchors), ctx.rows):
            block = slice(start, start + ctx.rows)
            similarity = _similarity(anchors, start, ctx.rows, tau)
            positive = _positive(labels, start, ctx.rows)
            attraction = similarity.where(positive, 0).sum(dim=1)
            totals[block] = similarity.logsumexp(dim=1)
            losses[block] = totals[block] - attraction / positive.sum(dim=1)
            if len(similarity) == len(anchors):
                kept = similarity
        ctx.save_for_backward(anchors, labels, totals, kept)
        return losses

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor) -> Tuple[Tensor, None, None]:
        anchors, labels, totals, kept = ctx.saved_tensors
        result = torch.zeros_like(anchors)
        for start in range(0, len(anchors), ctx.rows):
            block = slice(start, start + ctx.rows)
            similarity = kept
            if similarity is None:
                similarity = _similarity(anchors, start, ctx.rows, ctx.tau)
            positive = _positive(labels, start, ctx.rows).to(anchors.dtype)
            share = (similarity - totals[block, None]).exp_()
            share -= positive / positive.sum(dim=1, keepdim=True)
            share *= grad[block, None] / ctx.tau
            # An anchor has a row of similarities, and is in those of all others.
            result[block].addmm_(share, anchors)
            result.addmm_(share.T, anchors[block])
        return result, None, None


def _similarity(anchors: Tensor, start: int, rows: int, tau: float) -> Tensor:
    """Some rows of <a, a'> / tau, -inf for an anchor and itself."""
    similarity = (anchors[start : start + rows] @ anchors.T).div_(tau)
    similarity.diagonal(start).fill_(-torch.inf)
    return similarity


def _positive(labels: Tensor, start: int, rows: int) -> Tensor:
    """Some rows of whether two anchors have one label and are not the same."""
    positive = labels[start : start + rows, None] == labels
    positive.diagonal(start).fill_(False)
    return positive


def supervised_contrast(
    anchors: Tensor, labels: Tensor, tau: float, base_tau: float
) -> Tensor:
    """Supervised contrastive loss of every anchor against all others.

    Khosla et al., NeurIPS 2020, "L_out", with a base temperature. Exact, in memory that
    grows linearly with the number of anchors.

    Args:
        anchors (Tensor): Anchors, shape (M, C). Each needs another of its label.
        labels (Tensor): Labels of the anchors, shape (M,).
        tau (float): Temperature.
        base_tau (float): Base temperature; the loss is scaled by tau / base_tau.

    Returns:
        Tensor: Losses, shape (M,).
    """
    return tau / base_tau * _SupervisedContrast.apply(anchors, labels, tau)


@full_precision
def category_contrast(
    s_embed: Tensor,
    t_embed: Tensor,
    s_centers: Tensor,
    t_centers: Tensor,
    labels: Tensor,
    weight: Optional[Tensor] = None,
    tau: float = 4.0,
    base_tau: float = 0.07,
) -> Tensor:
    """Contrast the correlations of embeddings with category centers.

    Each of the N = V * B rows gives two anchors, its correlations with the student's
    and with the teacher's centers; positives are all other anchors of its label.

    Args:
        s_embed (Tensor): Embeddings in the student's space, shape (N, D_s).
        t_embed (Tensor): Embeddings in the teacher's space, shape (N, D_t).
        s_centers (Tensor): Weight of the student's classifier, shape (C, D_s).
        t_centers (Tensor): Weight of the teacher's classifier, shape (C, D_t); it
            gets no gradient.
        labels (Tensor): Labels of the images, shape (B,).
        weight (Tensor, optional): Preview weights of the images, shape (B,). Defaults
            to ones.
        tau (float): Temperature. Defaults to 4.0.
        base_tau (float): Base temperature. Defaults to 0.07.

    Returns:
        Tensor: Scalar, the mean over rows of the weighted losses of both anchors; 0 for
        no rows.

    Raises:
        ValueError: Where rows, labels and weights do not go together.
    """
    views = views_per_image(s_embed, labels, weight, "CategoryContrastiveLoss")
    s_correlation = s_embed @ s_centers.T
    t_correlation = t_embed @ t_centers.detach().T
    anchors = torch.cat([s_correlation, t_correlation])
    row_labels = labels.repeat_interleave(views, output_size=len(s_embed))
    losses = supervised_contrast(anchors, row_labels.repeat(2), tau, base_tau)
    losses = losses.view(2, len(labels), views).sum(dim=0)
    if weight is not None:
        losses = losses * weight.detach()[:, None]
    return mean_or_zero(losses)


@MODELS.register_module()
class CategoryContrastiveLoss(nn.Module):
    """Contrast views by their correlation with category centers (PCKD, L_CC).

    Args:
        tau (float): Temperature. Defaults to 4.0.
        base_tau (float): Base temperature. Defaults to 0.07.
        loss_weight (float): Weight of the loss, beta in the paper. Defaults to 1.0.
    """

    def __init__(
        self, tau: float = 4.0, base_tau: float = 0.07, loss_weight: float = 1.0
    ) -> None:
        super().__init__()
        self.tau = tau
        self.base_tau = base_tau
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
        """Compute the loss; see :func:`category_contrast`.

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
        loss = category_contrast(
            s_embed,
            t_embed,
            s_centers,
            t_centers,
            labels,
            weight,
            tau=self.tau,
            base_tau=self.base_tau,
        )
        return self.loss_weight * loss
