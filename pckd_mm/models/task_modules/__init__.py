from .batch_recorder import BatchRecorder
from .preview_strategy import PreviewStrategy

__all__ = ["BatchRecorder", "PreviewStrategy"]
