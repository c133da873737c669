from .batch_recorder import BatchRecorder
from .preview_strategy import PreviewStrategy
from .stage_outputs_recorder import StageOutputsRecorder

__all__ = ["BatchRecorder", "PreviewStrategy", "StageOutputsRecorder"]
