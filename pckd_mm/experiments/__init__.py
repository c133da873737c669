"""Comparisons of methods: what is to be trained, when, and how it went."""

from .buildable import check_buildable
from .comparison import Appendix, compare
from .executor import Executor, LocalExecutor, train_here
from .forecast import describe
from .inspection import Inspection
from .job import ExperimentError
from .places import Place, find_places
from .plan import make_plan
from .planned import PlannedTable, all_jobs, all_runs, left_of
from .request import Request
from .run import Run
from .scheduler import Scheduler
from .settings import Settings
from .sharing import Sharing
from .teacher_test import TeacherTest

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
    "Sharing",
    "TeacherTest",
    "all_jobs",
    "all_runs",
    "check_buildable",
    "compare",
    "describe",
    "find_places",
    "left_of",
    "make_plan",
    "train_here",
]
