from .batch_recorder import BatchRecorder
from .focal_strategy import FocalStrategy
from .preview_strategy import CurriculumStrategy, PreviewStrategy

__all__ = ["BatchRecorder", "CurriculumStrategy", "FocalStrategy", "PreviewStrategy"]
