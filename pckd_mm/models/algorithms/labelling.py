"""What the images of a training are labelled with, batch by batch."""

from typing import Any, Optional, Sequence

from mmpretrain.models import MultiLabelClsHead
from torch import nn

from pckd_mm.datasets.whole_batch import is_whole_batch
from pckd_mm.models.data_preprocessors.rotated_views import refuse_mixed_views
from pckd_mm.models.distillers import PCKDDistiller

from .targets import LabelKind, Targets, check_losses, read_targets

__all__ = ["Labelling", "SharesCheck"]


class Labelling:
    """What images are labelled with, and the labels of a batch.

    Hooks may change it in the middle of a training, as MMPretrain's
    ``SwitchRecipeHook`` does, so that it is looked up for each batch.
    """

    def __init__(self) -> None:
        self.kind = LabelKind.SINGLE
        self._check_shares = SharesCheck()

    def look(
        self,
        head: Optional[nn.Module],
        data_preprocessor: nn.Module,
        distiller: PCKDDistiller,
    ) -> None:
        """Look what the images are labelled with now.

        Args:
            head (nn.Module, optional): The student's head.
            data_preprocessor (nn.Module): What makes the batches.
            distiller (PCKDDistiller): The distiller.

        Raises:
            ValueError: For losses, or several views of an image, that are not defined
                for it.
        """
        kind = label_kind(head, data_preprocessor)
        if kind is self.kind:
            return
        if kind is LabelKind.MIXED:
            refuse_mixed_views(getattr(data_preprocessor, "num_views", 1))
        check_losses(distiller, kind)
        self.kind = kind

    @property
    def is_single(self) -> bool:
        """bool: Whether an image has one label, which may be mixed."""
        return self.kind is not LabelKind.MULTI

    def count(self, data_samples: Sequence[Any]) -> int:
        """Images of a batch, of which a sample may hold one or all."""
        whole = is_whole_batch(data_samples, self.is_single)
        return len(data_samples[0].gt_label) if whole else len(data_samples)

    def read(
        self, data_samples: Sequence[Any], task: Optional[str], classes: int
    ) -> Targets:
        """The labels in data samples, as :func:`read_targets` does.

        Raises:
            ValueError: For several labels where an image has one class, too.
        """
        targets = read_targets(data_samples, self.kind, task, classes)
        self._check_shares(targets, self.kind)
        return targets


class SharesCheck:
    """Refuse scores that are no shares of the classes, but several labels an image.

    On a device it looks at the first batch only, since the host waits for what it sees.
    """

    def __init__(self) -> None:
        self._has_looked = False

    def __call__(self, targets: Targets, kind: LabelKind) -> None:
        """Look at a batch.

        Args:
            targets (Targets): Its labels.
            kind (LabelKind): What the images are labelled with.

        Raises:
            ValueError: For several labels where an image has one class.
        """
        scores = targets.scores
        if kind is LabelKind.MULTI or scores is None or not len(scores):
            return
        if self._has_looked and scores.device.type != "cpu":
            return
        self._has_looked = True
        largest = float(scores.sum(dim=1).max())
        if largest > 1.01:  # of float16 too
            raise ValueError(
                f"The student found an image whose scores add up to {largest:.4g}; "
                "expected 1, as of one class an image, which its logits' softmax is "
                "of: for several labels an image take one of MMPretrain's heads for "
                "them, such as MultiLabelLinearClsHead, else mend the data set."
            )


def label_kind(head: Optional[nn.Module], data_preprocessor: nn.Module) -> LabelKind:
    """What images are labelled with, by the head and what prepares the batch.

    Args:
        head (nn.Module, optional): The student's head.
        data_preprocessor (nn.Module): What makes the batches.

    Returns:
        LabelKind: The kind.
    """
    # MMPretrain's recipes with Mixup train such a head by a softmax of soft labels.
    softmax = getattr(getattr(head, "loss_module", None), "use_soft", False)
    if isinstance(head, MultiLabelClsHead) and not softmax:
        return LabelKind.MULTI
    if getattr(data_preprocessor, "batch_augments", None) is not None:
        return LabelKind.MIXED
    return LabelKind.SINGLE
