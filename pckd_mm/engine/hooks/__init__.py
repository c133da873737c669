from .deferred_runtime_info_hook import DeferredRuntimeInfoHook
from .export_student_hook import ExportStudentHook
from .preflight_hook import PreflightHook
from .preview_record_hook import PreviewRecordHook
from .reseed_hook import ReseedHook
from .sample_labels_hook import SampleLabelsHook
from .speed_up_hook import SpeedUpHook

__all__ = [
    "DeferredRuntimeInfoHook",
    "ExportStudentHook",
    "PreflightHook",
    "PreviewRecordHook",
    "ReseedHook",
    "SampleLabelsHook",
    "SpeedUpHook",
]
