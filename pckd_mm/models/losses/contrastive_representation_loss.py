"""Contrastive representation distillation (CRD)."""

import math
from typing import Any, Optional, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pckd_mm.registry import MODELS

from .utils import full_precision, l2_normalize


def draw_negatives(labels: Tensor, sample_idx: Tensor, neg_num: int) -> Tensor:
    """Draw images of other classes, uniformly and without repetition.

    Args:
        labels (Tensor): Labels of the whole training set, shape (S,).
        sample_idx (Tensor): Places of the anchors in it, shape (B,).
        neg_num (int): How many to draw for each anchor; there must be as many.

    Returns:
        Tensor: Their places, in no particular order, shape (B, neg_num).
    """
    keys = torch.rand(len(sample_idx), len(labels), device=labels.device)
    keys.masked_fill_(labels[sample_idx, None] == labels, -1)
    return keys.topk(neg_num, dim=1, sorted=False).indices


def contrast_logits(
    feature: Tensor, memory: Tensor, drawn: Tensor, temperature: float
) -> Tensor:
    """<feature, memory> / temperature for some rows of a memory.

    One product with the whole memory is far less work than to gather thousands of rows
    for each anchor.

    Args:
        feature (Tensor): Anchors of length one, shape (B, D).
        memory (Tensor): Features of all images, shape (S, D).
        drawn (Tensor): Rows of the memory for each anchor, shape (B, K).
        temperature (float): Temperature.

    Returns:
        Tensor: Logarithms of the scores, shape (B, K).
    """
    return (feature @ memory.T).gather(1, drawn) / temperature


def noise_contrast(log_ratio: Tensor, sample_n: int, eps: float = 1e-7) -> Tensor:
    """Tell the first entry of each row from the others, which are noise.

    Tian et al., ICLR 2020, eq. 17 and 18, with the authors' eps. By logarithms, since
    the exponential of a large logit overflows, and that of a small one has none.

    Args:
        log_ratio (Tensor): Logarithms of scores over their normalising constant, shape
            (B, K + 1).
        sample_n (int): Images in the training set.
        eps (float): What is added to the noise. Defaults to 1e-7.

    Returns:
        Tensor: Scalar, a mean over rows of sums.
    """
    noise = (log_ratio.shape[1] - 1) / sample_n
    odds = log_ratio - math.log(noise + eps)
    loss = -F.logsigmoid(odds[:, 0]) - F.logsigmoid(-odds[:, 1:]).sum(dim=1)
    least = (log_ratio.shape[1] - 1) * math.log1p(eps / noise)
    return loss.mean() + least


@MODELS.register_module()
class ContrastiveRepresentationLoss(nn.Module):
    """Tell an image's pair of features from those of other classes (CRD).

    Tian et al., ICLR 2020, eq. 17 and 18: the student's feature against a memory of the
    teacher's, plus the teacher's against a memory of the student's; first the image's
    own row, then ``neg_num`` different ones of other classes, drawn anew for each
    image. The memories follow the features by momentum, in training mode only. The
    normalising constants are those of the first batch.

    MMRazor's CRDLoss differs: it ignores its ``loss_weight``, takes negatives from the
    data samples or else from all classes, with repetition, copies ``neg_num`` rows of
    both memories for every image, waits for the device several times in every step,
    and overflows where features are not of length one.

    Memories, constants and labels are buffers, so that a resumed run of one process
    goes on as if it had not been cut off. Each process of a distributed run follows
    the images it sees in memories of its own; a checkpoint holds those of the first.

    The labels of the training set must be handed over before the first step, which
    :class:`pckd_mm.engine.SampleLabelsHook` does.

    Args:
        sample_n (int, optional): Images in the training set; None for as many as there
            are labels, where a class with fewer than ``neg_num`` images of others has
            as many negatives as there are. Defaults to 50000.
        neg_num (int): Negatives of each image. Defaults to 16384.
        dim_out (int): Width of the features. Defaults to 128.
        temperature (float): Temperature. Defaults to 0.07.
        momentum (float): Share of a memory's row that stays. Defaults to 0.5.
        loss_weight (float): Weight of the loss. Defaults to 1.0.
    """

    labels: Tensor
    s_memory: Tensor
    t_memory: Tensor
    s_constant: Tensor
    t_constant: Tensor

    def __init__(
        self,
        sample_n: Optional[int] = 50000,
        neg_num: int = 16384,
        dim_out: int = 128,
        temperature: float = 0.07,
        momentum: float = 0.5,
        loss_weight: float = 1.0,
    ) -> None:
        super().__init__()
        self.sample_n = sample_n
        self.neg_num = neg_num
        self.temperature = temperature
        self.momentum = momentum
        self.loss_weight = loss_weight
        for who in ("s", "t"):
            self.register_buffer(f"{who}_memory", torch.empty(0, dim_out))
            # Below zero until the first batch has set it.
            self.register_buffer(f"{who}_constant", torch.tensor(-1.0))
        self.register_buffer("labels", torch.empty(0, dtype=torch.long))
        self._make_room(sample_n or 0)
        self._has_labels = False

    def _make_room(self, images: int) -> None:
        """Begin memories of so many images."""
        for memory in (self.s_memory, self.t_memory):
            bound = math.sqrt(3 / memory.shape[1])
            # Whoever knows the buffer, such as a wrapper of several GPUs, keeps it.
            memory.data = memory.new_empty(images, memory.shape[1])
            memory.uniform_(-bound, bound)
        self.labels.data = self.labels.new_full((images,), -1)

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args: Any) -> None:
        stored = state_dict.get(f"{prefix}labels")
        if self.sample_n is None and stored is not None and not len(self.labels):
            self._make_room(len(stored))
        own = self.labels.clone()
        super()._load_from_state_dict(state_dict, prefix, *args)
        if self._has_labels:  # which the data set says, and no checkpoint
            self.labels.copy_(own)
        if stored is not None and len(stored) != len(self.labels):
            for constant in (self.s_constant, self.t_constant):
                constant.fill_(-1)  # that of other images says nothing of these

    def set_labels(self, labels: Sequence[int]) -> None:
        """Take the labels of the training set, in the order of ``sample_idx``.

        Args:
            labels (Sequence[int]): Labels, ``sample_n`` of them.

        Raises:
            ValueError: For another number of labels than the memories have, or fewer
                images of other classes than ``neg_num``, where ``sample_n`` is given,
                or none.
        """
        known = torch.as_tensor(labels)
        if self.sample_n is None and not len(self.labels):
            self._make_room(len(known))
        if len(known) != len(self.labels):
            said = f"sample_n={self.sample_n}"
            advice = "set the loss's sample_n, or leave it None"
            if self.sample_n is None:
                said = f"memories of {len(self.labels)} images, as of a checkpoint,"
                advice = "begin without that checkpoint"
            raise ValueError(
                f"ContrastiveRepresentationLoss found {said} and a training set of "
                f"{len(known)} images; expected the same: {advice}."
            )
        others = len(known) - int(known.unique(return_counts=True)[1].max())
        if not others:
            raise ValueError(
                f"ContrastiveRepresentationLoss found {len(known)} images of one "
                "class; expected others too, to take negatives from: leave it out."
            )
        if self.sample_n is None:
            self.neg_num = min(self.neg_num, others)
        if others < self.neg_num:
            raise ValueError(
                f"ContrastiveRepresentationLoss found neg_num={self.neg_num} and a "
                f"class with {others} images of other classes; expected as many as "
                "negatives at least: set a smaller neg_num."
            )
        self.labels.copy_(known)
        self._has_labels = True

    @full_precision
    def forward(self, s_feat: Tensor, t_feat: Tensor, sample_idx: Tensor) -> Tensor:
        """Compute the loss and, in training mode, move the memories.

        Args:
            s_feat (Tensor): The student's features of length one, shape (B, dim_out).
            t_feat (Tensor): The teacher's features of length one, shape (B, dim_out).
            sample_idx (Tensor): Places of the images in the training set, shape (B,).

        Returns:
            Tensor: Scalar.

        Raises:
            RuntimeError: Where the labels were not handed over.
            ValueError: For features that are not one of each image.
        """
        if not len(s_feat) == len(t_feat) == len(sample_idx):
            raise ValueError(
                f"ContrastiveRepresentationLoss found {len(s_feat)} features of the "
                f"student, {len(t_feat)} of the teacher and {len(sample_idx)} images; "
                "expected one feature of each image: take one view of each, view=0 in "
                "loss_forward_mappings."
            )
        if not self._has_labels:
            raise RuntimeError(
                "ContrastiveRepresentationLoss does not know the labels of the "
                "training set, from which it takes negatives; expected them before the "
                "first step: add dict(type='pckd_mm.SampleLabelsHook') to "
                "custom_hooks, or call set_labels."
            )
        negatives = draw_negatives(self.labels, sample_idx, self.neg_num)
        drawn = torch.cat([sample_idx[:, None], negatives], dim=1)
        loss = self._contrast("t", s_feat, drawn) + self._contrast("s", t_feat, drawn)
        if self.training:
            self._follow(self.s_memory, s_feat, sample_idx)
            self._follow(self.t_memory, t_feat, sample_idx)
        return self.loss_weight * loss

    def _contrast(self, memory: str, anchors: Tensor, drawn: Tensor) -> Tensor:
        """Loss of the anchors against the memory of the other network."""
        # A copy, since the memory moves on before the backward pass.
        rows = getattr(self, f"{memory}_memory").clone()
        logits = contrast_logits(anchors, rows, drawn, self.temperature)
        stored = getattr(self, f"{memory}_constant")
        log_mean = logits.detach().flatten().logsumexp(0) - math.log(logits.numel())
        log_constant = torch.where(
            stored < 0, log_mean + math.log(len(self.labels)), stored.log()
        )
        if self.training:
            limits = torch.finfo(stored.dtype)
            constant = log_constant.exp().clamp(limits.tiny, limits.max)
            stored.copy_(torch.where(stored < 0, constant, stored))
        return noise_contrast(logits - log_constant, len(self.labels))

    @torch.no_grad()
    def _follow(self, memory: Tensor, feature: Tensor, sample_idx: Tensor) -> None:
        rows = self.momentum * memory[sample_idx] + (1 - self.momentum) * feature
        memory.index_copy_(0, sample_idx, l2_normalize(rows).to(memory.dtype))
