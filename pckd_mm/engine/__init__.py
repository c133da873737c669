from .bfloat16_optim_wrapper import BFloat16OptimWrapper
from .hooks import *  # noqa: F401,F403
from .skip_step import SkipStepAmpOptimWrapper, SkipStepMixin, SkipStepOptimWrapper
from .teacher_loop import TeacherLoop
from .vis_backends import MLflowTracker, TensorBoardTracker, WandbTracker

__all__ = [
    "BFloat16OptimWrapper",
    "MLflowTracker",
    "SkipStepAmpOptimWrapper",
    "SkipStepMixin",
    "SkipStepOptimWrapper",
    "TeacherLoop",
    "TensorBoardTracker",
    "WandbTracker",
]
