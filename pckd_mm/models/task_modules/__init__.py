from .batch_recorder import BatchRecorder
from .classifier_recorders import (
    ClassifierBiasRecorder,
    ClassifierCentersRecorder,
    ClassifierFeatureRecorder,
    ClassifierLogitsRecorder,
)
from .focal_strategy import FocalStrategy
from .preview_strategy import CurriculumStrategy, PreviewStrategy
from .stage_outputs_recorder import StageOutputsRecorder
from .staged_recorder import StagedRecorder

__all__ = [
    "BatchRecorder",
    "ClassifierBiasRecorder",
    "ClassifierCentersRecorder",
    "ClassifierFeatureRecorder",
    "ClassifierLogitsRecorder",
    "CurriculumStrategy",
    "FocalStrategy",
    "PreviewStrategy",
    "StageOutputsRecorder",
    "StagedRecorder",
]
