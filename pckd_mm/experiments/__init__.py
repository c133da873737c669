"""Comparisons of methods: what is to be trained, when, and how it went."""

from .comparison import Appendix, compare
from .inspection import Inspection
from .job import ExperimentError, Settings
from .plan import (
    PlannedTable,
    Request,
    all_jobs,
    all_runs,
    describe,
    folder_name,
    make_plan,
)
from .run import Run, TeacherTest
from .scheduler import Scheduler, allot

__all__ = [
    "Appendix",
    "ExperimentError",
    "Inspection",
    "PlannedTable",
    "Request",
    "Run",
    "Scheduler",
    "Settings",
    "TeacherTest",
    "all_jobs",
    "all_runs",
    "allot",
    "compare",
    "describe",
    "folder_name",
    "make_plan",
]
