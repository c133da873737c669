from .ready_batch import ReadyBatch
from .rotated_views import RotatedViewsDataPreprocessor
from .teacher_inputs import TeacherInputs

__all__ = ["ReadyBatch", "RotatedViewsDataPreprocessor", "TeacherInputs"]
