from .batch_recorder import BatchRecorder
from .focal_strategy import FocalStrategy
from .preview_strategy import CurriculumStrategy, PreviewStrategy
from .stage_outputs_recorder import StageOutputsRecorder

__all__ = [
    "BatchRecorder",
    "CurriculumStrategy",
    "FocalStrategy",
    "PreviewStrategy",
    "StageOutputsRecorder",
]
