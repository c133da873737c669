"""Workarounds for library versions: the only package that holds any.

Importing it (``import pckd_mm`` does) makes MMRazor 1.0.0 importable on torch >= 2.0
and beside mmcv > 2.1.0, lets weights-only loading read the checkpoints that MMEngine
writes, and lets MMEngine find the configs of this package, and others in less time.
"""

from .checkpoints import (
    allow_mmengine_checkpoints,
    load_checkpoints_without_code,
    weights_only_loading,
)
from .configs import (
    find_configs_of_this_package,
    lay_out_once,
    look_packages_up_once,
    read_bases_of_either_kind,
)
from .mmrazor import disable_quantization, import_mmrazor
from .processes import end_cpu_processes, end_process_group, prepare_cpu_processes

__all__ = [
    "end_cpu_processes",
    "end_process_group",
    "prepare_cpu_processes",
    "weights_only_loading",
]

disable_quantization()
import_mmrazor()
allow_mmengine_checkpoints()
load_checkpoints_without_code()
find_configs_of_this_package()
read_bases_of_either_kind()
look_packages_up_once()
lay_out_once()
