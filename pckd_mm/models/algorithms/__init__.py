from pckd_mm.utils.dependencies import has_detection

from .frozen_teacher_distill import FrozenTeacherDistill
from .multi_view_distill import MultiViewDistill

__all__ = ["FrozenTeacherDistill", "MultiViewDistill"]

if has_detection():
    from .dense_distill import DenseDistill  # noqa: F401
    from .roi_distill import RoIDistill  # noqa: F401

    __all__ += ["DenseDistill", "RoIDistill"]
