"""Which images of a batch the student learns, and which it only previews."""

import math

import torch
from torch import Tensor

from pckd_mm.registry import TASK_UTILS
from pckd_mm.utils.processes import gather_rows


@TASK_UTILS.register_module()
class PreviewStrategy:
    """Weight images by their difficulty for the student (PCKD, preview strategy).

    An image whose loss is at most ``threshold`` times the mean of its batch has weight
    1, a harder one exp(-difficulty^2). The threshold grows as training goes on, from
    1.005 to 3.31 by default, so ever fewer images are merely previewed.

    Args:
        growth (float): Factor of the threshold from one reference epoch to the next.
            Defaults to 1.005.
        reference_epochs (int): Epochs of the run for which ``growth`` is meant; a run
            of any other length sweeps the same thresholds. Defaults to 240.
    """

    def __init__(self, growth: float = 1.005, reference_epochs: int = 240) -> None:
        if growth <= 0 or reference_epochs <= 0:
            raise ValueError(
                f"PreviewStrategy found growth={growth} and "
                f"reference_epochs={reference_epochs}; expected both above 0."
            )
        self.growth = growth
        self.reference_epochs = reference_epochs

    def threshold(self, progress: float) -> float:
        """Difficulty up to which an image counts in full.

        Args:
            progress (float): Share of the training done, in (0, 1]; epoch e of E
                counts as e / E.

        Returns:
            float: growth ** (reference_epochs * progress).

        Raises:
            ValueError: For a progress out of its range.
        """
        if not 0 < progress <= 1:
            raise ValueError(
                f"Training progress is {progress}; expected a share in (0, 1], such as "
                "epoch / epochs with epochs counted from 1."
            )
        return self.growth ** (self.reference_epochs * progress)

    def difficulty(self, sample_loss: Tensor) -> Tensor:
        """Loss of each image over the mean of its batch, that of all processes.

        Args:
            sample_loss (Tensor): Cross-entropy of each image, shape (N,).

        Returns:
            Tensor: Difficulties, shape (N,), detached, float32 or wider. All are 1
            where the mean is 0; a loss that is not finite has no part in the mean and
            difficulty infinity.
        """
        loss = sample_loss.detach()
        if loss.dtype in (torch.float16, torch.bfloat16):
            loss = loss.float()
        (loss,), own = gather_rows(loss)
        if loss.numel() == 0:
            return loss
        finite = loss.isfinite()
        kept = loss.masked_fill(~finite, 0)
        # Relative to the largest loss, so that the mean cannot overflow.
        kept = kept / kept.amax().clamp_min(torch.finfo(kept.dtype).tiny)
        mean = kept.sum() / finite.sum().clamp_min(1)
        difficulty = torch.where(mean > 0, kept / mean, 1.0)
        return difficulty.masked_fill(~finite, math.inf)[own]

    def weight(self, sample_loss: Tensor, progress: float) -> Tensor:
        """Weight of each image.

        Args:
            sample_loss (Tensor): Cross-entropy of each image, shape (N,).
            progress (float): Share of the training done, in (0, 1].

        Returns:
            Tensor: Weights in [0, 1], shape (N,), detached, float32 or wider.
        """
        difficulty = self.difficulty(sample_loss)
        hard = self.hard_weight(difficulty)
        return torch.where(difficulty <= self.threshold(progress), 1.0, hard)

    def hard_weight(self, difficulty: Tensor) -> Tensor:
        """Weight of images above the threshold.

        Args:
            difficulty (Tensor): Difficulties, shape (N,).

        Returns:
            Tensor: exp(-difficulty^2), shape (N,).
        """
        return torch.exp(-difficulty.square())


@TASK_UTILS.register_module()
class CurriculumStrategy(PreviewStrategy):
    """The classic curriculum: images above the threshold are dropped, not previewed.

    What the preview is compared with; threshold and arguments are those of
    :class:`PreviewStrategy`.
    """

    def hard_weight(self, difficulty: Tensor) -> Tensor:
        """Weight of images above the threshold.

        Args:
            difficulty (Tensor): Difficulties, shape (N,).

        Returns:
            Tensor: Zeros, shape (N,).
        """
        return torch.zeros_like(difficulty)
