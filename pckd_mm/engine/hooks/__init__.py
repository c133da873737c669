from .broken_files_hook import BrokenFilesHook
from .deferred_runtime_info_hook import DeferredRuntimeInfoHook
from .export_student_hook import ExportStudentHook
from .fit_checkpoint_hook import FitCheckpointHook
from .live_line_hook import LiveLineHook
from .loss_share_hook import LossShareHook
from .non_finite_loss_hook import NonFiniteLossHook
from .norm_statistics_hook import NormStatisticsHook
from .num_views_hook import NumViewsHook
from .preflight_hook import PreflightHook
from .preview_record_hook import PreviewRecordHook
from .reseed_hook import ReseedHook
from .resume_check_hook import ResumeCheckHook
from .run_summary_hook import RunSummaryHook
from .sample_labels_hook import SampleLabelsHook
from .shared_teacher_hook import SharedTeacherHook
from .speed_up_hook import SpeedUpHook
from .unused_settings_hook import UnusedSettingsHook
from .whole_checkpoint_hook import WholeCheckpointHook

__all__ = [
    "BrokenFilesHook",
    "DeferredRuntimeInfoHook",
    "ExportStudentHook",
    "FitCheckpointHook",
    "LiveLineHook",
    "LossShareHook",
    "NonFiniteLossHook",
    "NormStatisticsHook",
    "NumViewsHook",
    "PreflightHook",
    "PreviewRecordHook",
    "ReseedHook",
    "ResumeCheckHook",
    "RunSummaryHook",
    "SampleLabelsHook",
    "SharedTeacherHook",
    "SpeedUpHook",
    "UnusedSettingsHook",
    "WholeCheckpointHook",
]
