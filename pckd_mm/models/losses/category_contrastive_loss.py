"""Category contrast, L_CC of PCKD."""

from typing import Any, Optional, Tuple

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from pckd_mm.registry import MODELS
from pckd_mm.utils.processes import gather_rows, mean_over_processes

from .utils import full_precision, require_group, views_per_image

# Entries of the matrix of similarities that are in memory at a time: 16 MiB in float32.
_BLOCK = 2**22


class _SupervisedContrast(torch.autograd.Function):
    """:func:`supervised_contrast` over tau / base_tau, a block of rows at a time.

    The backward pass computes the similarities again, so that memory grows with the
    number of anchors and not with its square. A single block is kept instead.
    """

    @staticmethod
    def forward(
        ctx: Any, anchors: Tensor, labels: Tensor, tau: float, own: slice
    ) -> Tensor:
        ctx.tau = tau
        rows = max(1, _BLOCK // max(len(anchors), 1))
        ctx.blocks = [
            slice(start, min(start + rows, own.stop))
            for start in range(own.start, own.stop, rows)
        ]
        losses = torch.empty_like(anchors[:, 0])
        totals = torch.empty_like(losses)
        kept = None
        for block in ctx.blocks:
            similarity = _similarity(anchors, block, tau)
            positive = _positive(labels, block)
            attraction = similarity.where(positive, 0).sum(dim=1)
            totals[block] = similarity.logsumexp(dim=1)
            losses[block] = totals[block] - attraction / positive.sum(dim=1)
            if len(ctx.blocks) == 1:
                kept = similarity
        ctx.own = own
        ctx.save_for_backward(anchors, labels, totals, kept)
        return losses[own]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, own_grad: Tensor) -> Tuple[Tensor, None, None, None]:
        anchors, labels, totals, kept = ctx.saved_tensors
        result = torch.zeros_like(anchors)
        grad = torch.zeros_like(totals)
        grad[ctx.own] = own_grad
        for block in ctx.blocks:
            similarity = kept
            if similarity is None:
                similarity = _similarity(anchors, block, ctx.tau)
            positive = _positive(labels, block).to(anchors.dtype)
            share = (similarity - totals[block, None]).exp_()
            share -= positive / positive.sum(dim=1, keepdim=True)
            share *= grad[block, None] / ctx.tau
            # An anchor has a row of similarities, and is in those of all others.
            result[block].addmm_(share, anchors)
            result.addmm_(share.T, anchors[block])
        return result, None, None, None


def _similarity(anchors: Tensor, block: slice, tau: float) -> Tensor:
    """Some rows of <a, a'> / tau, less their largest; -inf for an anchor and itself.

    The loss does not depend on what is subtracted from a row. Of numbers around 1e8, as
    large correlations give them, float32 could not hold the logarithm of a sum.
    """
    similarity = (anchors[block] @ anchors.T).div_(tau)
    similarity.diagonal(block.start).fill_(-torch.inf)
    return similarity.sub_(similarity.amax(dim=1, keepdim=True))


def _positive(labels: Tensor, block: slice) -> Tensor:
    """Some rows of whether two anchors have one label and are not the same."""
    positive = labels[block, None] == labels
    positive.diagonal(block.start).fill_(False)
    return positive


def supervised_contrast(
    anchors: Tensor,
    labels: Tensor,
    tau: float,
    base_tau: float,
    own: Optional[slice] = None,
) -> Tensor:
    """Supervised contrastive loss of anchors against all others.

    Khosla et al., NeurIPS 2020, "L_out", with a base temperature. Exact, in memory that
    grows linearly with the number of anchors.

    Args:
        anchors (Tensor): Anchors, shape (M, C). Each needs another of its label.
        labels (Tensor): Labels of the anchors, shape (M,).
        tau (float): Temperature.
        base_tau (float): Base temperature; the loss is scaled by tau / base_tau.
        own (slice, optional): Which anchors' losses are asked for, as by a process that
            has a part of the batch. Defaults to all of them.

    Returns:
        Tensor: Losses, shape (M,), or of as many as are asked for.
    """
    if own is None:
        own = slice(0, len(anchors))
    return tau / base_tau * _SupervisedContrast.apply(anchors, labels, tau, own)


def correlation(
    embed: Tensor, centers: Tensor, group: Optional[Tensor] = None
) -> Tensor:
    """Scalar products of embeddings with category centers.

    Args:
        embed (Tensor): Embeddings, shape (N, D).
        centers (Tensor): One set of centers for all, shape (C, D), or several, shape
            (G, C, D).
        group (Tensor, optional): Which of several sets is each row's, shape (N,).

    Returns:
        Tensor: Shape (N, C).
    """
    if centers.ndim == 2:
        return embed @ centers.T
    require_group(group, centers, "CategoryContrastiveLoss")
    # With all sets: centers gathered for each row would be far more numbers.
    products = (embed @ centers.flatten(0, 1).T).unflatten(1, centers.shape[:2])
    return products[torch.arange(len(embed), device=embed.device), group]


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
    group: Optional[Tensor] = None,
) -> Tensor:
    """Contrast the correlations of embeddings with category centers.

    Each of the N = V * B rows gives two anchors, its correlations with the student's
    and with the teacher's centers; positives are all other anchors of its label. In
    several processes the anchors are those of all of them
    (:func:`pckd_mm.utils.processes.gather_rows`).

    Args:
        s_embed (Tensor): Embeddings in the student's space, shape (N, D_s).
        t_embed (Tensor): Embeddings in the teacher's space, shape (N, D_t).
        s_centers (Tensor): Weight of the student's classifier, shape (C, D_s), or of
            several, such as a detector's for each anchor, shape (G, C, D_s).
        t_centers (Tensor): Weight of the teacher's classifier, shape (C, D_t) or
            (G, C, D_t); it gets no gradient.
        labels (Tensor): Labels of the images, shape (B,).
        weight (Tensor, optional): Preview weights of the images, shape (B,). Defaults
            to ones.
        tau (float): Temperature. Defaults to 4.0.
        base_tau (float): Base temperature. Defaults to 0.07.
        group (Tensor, optional): Which of several classifiers is each image's, shape
            (B,). Defaults to None, for a single one.

    Returns:
        Tensor: Scalar, the mean over rows of the weighted losses of both anchors, of
        several processes this one's share; 0 for no rows.

    Raises:
        ValueError: Where rows, labels and weights do not go together.
    """
    views = views_per_image(s_embed, labels, weight, "CategoryContrastiveLoss")
    if group is not None:
        group = group.repeat_interleave(views, output_size=len(s_embed))
    s_correlation = correlation(s_embed, s_centers, group)
    t_correlation = correlation(t_embed, t_centers.detach(), group)
    anchors = torch.cat([s_correlation, t_correlation])
    row_labels = labels.repeat_interleave(views, output_size=len(s_embed))
    (anchors, row_labels), own = gather_rows(anchors, row_labels.repeat(2))
    losses = supervised_contrast(anchors, row_labels, tau, base_tau, own)
    losses = losses.view(2, len(labels), views).sum(dim=0)
    if weight is not None:
        losses = losses * weight.detach()[:, None]
    return mean_over_processes(losses)


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
        group: Optional[Tensor] = None,
    ) -> Tensor:
        """Compute the loss; see :func:`category_contrast`.

        Args:
            s_embed (Tensor): Embeddings in the student's space, shape (N, D_s).
            t_embed (Tensor): Embeddings in the teacher's space, shape (N, D_t).
            s_centers (Tensor): Weight of the student's classifier, shape (C, D_s) or,
                of several, (G, C, D_s).
            t_centers (Tensor): Weight of the teacher's classifier, shape (C, D_t) or
                (G, C, D_t).
            labels (Tensor): Labels of the images, shape (B,).
            weight (Tensor, optional): Preview weights, shape (B,).
            group (Tensor, optional): Which of several classifiers is each image's,
                shape (B,).

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
            group=group,
        )
        return self.loss_weight * loss
