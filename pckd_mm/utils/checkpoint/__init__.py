"""Checkpoints: reading, finding whole ones, fitting them to networks, exporting."""

from .exporting import HOW_IT_LOADS, export_student, student_beside
from .fitting import (
    fitting_tensors,
    load_exactly,
    load_fitting,
    model_state_dict,
    require_same_tensors,
    tensors_of,
)
from .loading import fit_on_load, naming_source
from .names import Fitted, fit_names, part_of, plain_names, without_ddp
from .reading import classes_of, explaining_unreadable, read_checkpoint, zoo_model
from .resuming import (
    checkpoint_to_resume,
    find_whole_checkpoint,
    naming_where_resume_goes_on,
    newest_checkpoint,
    require_whole,
    where_resume_goes_on,
)

__all__ = [
    "Fitted",
    "HOW_IT_LOADS",
    "checkpoint_to_resume",
    "classes_of",
    "explaining_unreadable",
    "export_student",
    "find_whole_checkpoint",
    "fit_names",
    "fit_on_load",
    "fitting_tensors",
    "load_exactly",
    "load_fitting",
    "model_state_dict",
    "newest_checkpoint",
    "naming_source",
    "naming_where_resume_goes_on",
    "part_of",
    "plain_names",
    "read_checkpoint",
    "require_same_tensors",
    "require_whole",
    "student_beside",
    "tensors_of",
    "where_resume_goes_on",
    "without_ddp",
    "zoo_model",
]
