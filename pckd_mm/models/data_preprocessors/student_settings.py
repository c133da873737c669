"""What a student's own data preprocessor says, where another prepares the batches."""

from typing import Any, Dict, Optional

from mmengine.model import BaseDataPreprocessor
from torch import Tensor, nn

from .rotated_views import refuse_mixed_views

# Where a preprocessor keeps an argument under another name, or as another thing.
_KEPT_AS = dict(
    to_rgb=("to_rgb", "_channel_conversion"),
    bgr_to_rgb=("to_rgb", "_channel_conversion"),
    rgb_to_bgr=("to_rgb", "_channel_conversion"),
    non_blocking=("_non_blocking",),
)


def share_batch_augments(own: BaseDataPreprocessor, used: BaseDataPreprocessor) -> None:
    """Mix batches (Mixup, CutMix) as a student's config asks for it.

    MMPretrain's classifiers put ``train_cfg.augments`` into their own preprocessor.

    Args:
        own (BaseDataPreprocessor): The student's data preprocessor.
        used (BaseDataPreprocessor): The one that prepares the batches, changed in
            place.

    Raises:
        ValueError: Where it mixes otherwise, or cannot mix, as several views cannot.
    """
    asked = getattr(own, "batch_augments", None)
    # mmdet's augment a list of images, each before it is normalised.
    if used is own or not hasattr(asked, "augments"):
        return
    kind = type(used).__name__
    if not hasattr(used, "to_onehot"):
        raise ValueError(
            f"The student's train_cfg asks for augments, and the {kind} that prepares "
            "the batches mixes no images; expected a ClsDataPreprocessor or "
            "RotatedViewsDataPreprocessor: set data_preprocessor.type, or leave out "
            "train_cfg.augments."
        )
    refuse_mixed_views(getattr(used, "num_views", 1))
    if used.batch_augments is not None and _said(used.batch_augments) != _said(asked):
        raise ValueError(
            "The student's train_cfg asks for other augments than batch_augments of "
            f"the {kind} that prepares the batches; expected one of both: leave out "
            "train_cfg.augments or data_preprocessor.batch_augments."
        )
    used.batch_augments = asked
    used.to_onehot = True
    if used.num_classes is None:
        used.num_classes = own.num_classes


def _said(augments: Any) -> tuple:
    """What augmentations do, to compare them."""
    parts = [(type(part), vars(part)) if part else None for part in augments.augments]
    return parts, augments.probs


def other_settings(given: Optional[Dict[str, Any]], used: nn.Module) -> Dict[str, Any]:
    """Settings of a data preprocessor that another one does not have.

    Args:
        given (dict, optional): Config of a data preprocessor; None has no settings.
        used (nn.Module): A data preprocessor.

    Returns:
        dict[str, Any]: Those of the config that differ.
    """
    if not isinstance(given, dict):
        return {}
    return {
        name: value
        for name, value in given.items()
        if name != "type" and not _has(used, name, value)
    }


def _has(used: nn.Module, name: str, value: Any) -> bool:
    for attribute in _KEPT_AS.get(name, (name,)):
        if hasattr(used, attribute):
            kept = getattr(used, attribute)
            break
    else:
        return not value
    if name == "batch_augments":
        return kept is not None or not value
    if isinstance(kept, Tensor):
        numbers = [] if value is None else [float(number) for number in value]
        kept = kept.flatten().tolist()
        return len(kept) == len(numbers) and all(
            abs(one - other) < 1e-3 for one, other in zip(kept, numbers, strict=True)
        )
    return bool(kept) == bool(value) if isinstance(value, bool) else kept == value
