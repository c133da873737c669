from .rotated_views import RotatedViewsDataPreprocessor
from .teacher_inputs import TeacherInputs

__all__ = ["RotatedViewsDataPreprocessor", "TeacherInputs"]
