"""Comparisons of methods: what is to be trained, when, and how it went."""

from .buildable import check_buildable
from .comparison import Appendix, compare
from .executor import Executor, LocalExecutor, train_here
from .forecast import describe
from .inspection import Inspection
from .job import ExperimentError, Settings
from .places import Place, find_places
from .plan import (
    PlannedTable,
    Request,
    all_jobs,
    all_runs,
    folder_name,
    make_plan,
)
from .run import Run, TeacherTest
from .scheduler import Scheduler

__all__ = [
    "Appendix",
    "Executor",
    "ExperimentError",
    "Inspection",
    "LocalExecutor",
    "Place",
    "PlannedTable",
    "Request",
    "Run",
    "Scheduler",
    "Settings",
    "TeacherTest",
    "all_jobs",
    "all_runs",
    "check_buildable",
    "compare",
    "describe",
    "find_places",
    "folder_name",
    "make_plan",
    "train_here",
]
