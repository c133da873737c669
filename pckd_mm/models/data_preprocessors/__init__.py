from .ready_batch import ReadyBatch
from .rotated_views import RotatedViewsDataPreprocessor, rotated_views
from .teacher_inputs import TeacherInputs

__all__ = [
    "ReadyBatch",
    "RotatedViewsDataPreprocessor",
    "TeacherInputs",
    "rotated_views",
]
