from .bfloat16_optim_wrapper import BFloat16OptimWrapper
from .hooks import *  # noqa: F401,F403
from .skip_step import SkipStepAmpOptimWrapper, SkipStepMixin, SkipStepOptimWrapper
from .teacher_loop import TeacherLoop

__all__ = [
    "BFloat16OptimWrapper",
    "SkipStepAmpOptimWrapper",
    "SkipStepMixin",
    "SkipStepOptimWrapper",
    "TeacherLoop",
]
