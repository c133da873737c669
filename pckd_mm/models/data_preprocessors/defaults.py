"""What prepares a classifier's batches where a config leaves some of it out."""

from inspect import signature
from typing import Any, Dict, Optional, Union

from mmengine.model import BaseModel
from torch import nn

from pckd_mm.registry import MODELS

PLAIN = "mmpretrain.ClsDataPreprocessor"
VIEWS = "pckd_mm.RotatedViewsDataPreprocessor"


def with_views(
    preprocessor: Union[dict, nn.Module, None],
    num_views: Optional[int],
    student: Union[dict, BaseModel],
) -> Union[dict, nn.Module, None]:
    """Complete the config of what makes the views, or check what does.

    A config without type, as those of MMPretrain's data sets are, is one of its
    ``ClsDataPreprocessor``; for several views it is one of
    :class:`RotatedViewsDataPreprocessor` without flip and crop, which the pipelines of
    those data sets do. Without a config it is the student's.

    Args:
        preprocessor (dict | nn.Module, optional): What prepares the batches; None for
            what the student has.
        num_views (int, optional): Views of each training image; None for as many as
            the preprocessor makes.
        student (dict | BaseModel): The student.

    Returns:
        dict | nn.Module | None: A complete config, or what was given.

    Raises:
        ValueError: For a preprocessor that does not make as many views.
    """
    if preprocessor is None and num_views is not None:
        if isinstance(student, dict):
            preprocessor = student.get("data_preprocessor") or {}
        else:
            preprocessor = getattr(student, "data_preprocessor", None)
    if isinstance(preprocessor, dict):
        return _complete(preprocessor, num_views)
    made = getattr(preprocessor, "num_views", 1)
    if num_views not in (None, made):
        raise _other_views(num_views, type(preprocessor).__name__, made)
    return preprocessor


def _complete(cfg: dict, num_views: Optional[int]) -> dict:
    several = num_views is not None and num_views > 1
    if cfg.get("type") is None:
        cfg = {k: v for k, v in cfg.items() if k != "type"}
        default: Dict[str, Any] = dict(type=PLAIN)
        if several:
            default = dict(type=VIEWS, flip_prob=0.0, crop_padding=0)
        cfg = {**default, **cfg}
    if num_views is None:
        return dict(cfg)
    kind = MODELS.class_of(cfg["type"])
    if kind is None or _takes_views(kind):
        return dict(cfg, num_views=num_views)
    if several:
        raise _other_views(num_views, kind.__name__, 1)
    return dict(cfg)


def _takes_views(kind: type) -> bool:
    """Whether a class, or one that it inherits from, is told the number of views."""
    # A class's own, of which mypy fears that a subclass has another.
    makers = [cls.__init__ for cls in kind.__mro__]  # type: ignore[misc]
    return any("num_views" in signature(maker).parameters for maker in makers)


def _other_views(wanted: int, name: str, made: int) -> ValueError:
    return ValueError(
        f"MultiViewDistill found num_views={wanted} and the data_preprocessor {name}, "
        f"which makes {made}; expected one that makes as many: give the config of a "
        "RotatedViewsDataPreprocessor as data_preprocessor, or set num_views to "
        f"{made}."
    )
