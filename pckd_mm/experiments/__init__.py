"""Comparisons of methods: what is to be trained, when, and how it went."""

from .comparison import Appendix, compare
from .inspection import Inspection
from .job import ExperimentError, Settings
from .places import Place, find_places
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
from .scheduler import Scheduler

__all__ = [
    "Appendix",
    "ExperimentError",
    "Inspection",
    "Place",
    "PlannedTable",
    "Request",
    "Run",
    "Scheduler",
    "Settings",
    "TeacherTest",
    "all_jobs",
    "all_runs",
    "compare",
    "describe",
    "find_places",
    "folder_name",
    "make_plan",
]
