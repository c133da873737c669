"""The machine, and where the package's files are."""

import os
from pathlib import Path
from typing import List

from pckd_mm.utils.shipped import CONFIGS, config_names

from .finding import Finding

__all__ = ["check_configs", "check_machine"]

_GIB = 2**30


def check_machine() -> List[Finding]:
    """Cores and memory.

    Returns:
        list[Finding]: One for both.
    """
    cores = os.cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    memory = ""
    if "SC_PHYS_PAGES" in os.sysconf_names:
        size = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        memory = f", {size / _GIB:.0f} GiB of memory"
    return [Finding("machine", f"{cores} {'core' if cores == 1 else 'cores'}{memory}")]


def check_configs(folder: Path = CONFIGS) -> List[Finding]:
    """The package's configs.

    Args:
        folder (Path): Where they should be.

    Returns:
        list[Finding]: One.
    """
    if not folder.is_dir():
        advice = f"There is no folder {folder} of configs: install pckd_mm again."
        return [Finding("configs", "not there", "", advice)]
    return [Finding("configs", f"{len(config_names())} in {folder}")]
