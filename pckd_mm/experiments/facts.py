"""What a run was made with: commit, hardware, software, precision."""

import datetime
import functools
import importlib.metadata
import os
import platform
import re
import subprocess
from pathlib import Path
from typing import Any, Dict, Optional, Sequence, Tuple

import torch

from pckd_mm.utils.precision import autocast_dtype

# Distributions of the maintained line whose name is not onedl- and the package's.
_MAINTAINED = {"mmdet": "onedl-mmdetection"}


def cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def commit(root: Path) -> Optional[str]:
    """The commit of a repository, None where git does not know."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        done = subprocess.run(command, cwd=root, capture_output=True, text=True)
    except OSError:
        return None
    return done.stdout.strip() or None


@functools.lru_cache(None)
def hardware() -> str:
    """The GPU, or the processor and its cores where there is none."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    info = Path("/proc/cpuinfo")
    text = info.read_text() if info.is_file() else ""
    found = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    name = found[1].strip() if found else platform.processor() or platform.machine()
    return f"{name}, {cores()} {'core' if cores() == 1 else 'cores'}"


@functools.lru_cache(None)
def software(more: Tuple[str, ...] = ()) -> str:
    """Versions of what results depend on.

    Args:
        more (tuple[str]): Libraries beside those that every run needs.

    Returns:
        str: Names and versions.
    """
    versions = [f"Python {platform.python_version()}", f"torch {torch.__version__}"]
    for package in ("mmengine", "mmpretrain", "mmrazor", *more):
        for name in (package, _MAINTAINED.get(package, f"onedl-{package}")):
            try:
                versions.append(f"{name} {importlib.metadata.version(name)}")
            except importlib.metadata.PackageNotFoundError:
                continue
    return ", ".join(versions)


def precision(amp: Optional[str], is_detector: bool = False) -> str:
    """What tools/train.py computes in on this machine.

    Args:
        amp (str, optional): "auto" or "force" for mixed precision.
        is_detector (bool): Whether a detector is trained. Defaults to False.

    Returns:
        str: Such as "float32", also where mixed precision was asked for and the CPU
        has no instructions for it.
    """
    dtype = torch.float32
    if amp is not None:
        dtype = autocast_dtype(is_detector, force=amp == "force")
    name = str(dtype).removeprefix("torch.")
    return name if dtype == torch.float32 else f"{name} autocast"


def made_with(
    root: Path, amp: Optional[str], packages: Tuple[str, ...] = ()
) -> Dict[str, Any]:
    """What a run that ends now was made with.

    Args:
        root (Path): The repository.
        amp (str, optional): "auto" or "force" for mixed precision.
        packages (tuple[str]): Libraries that :func:`software` names in addition.

    Returns:
        dict: ``commit``, ``hardware``, ``software``, ``precision`` and ``date``, in
        UTC.
    """
    today = datetime.datetime.now(datetime.timezone.utc).date()
    return dict(
        commit=commit(root),
        hardware=hardware(),
        software=software(packages),
        precision=precision(amp, "mmdet" in packages),
        date=today.isoformat(),
    )


def made_with_together(
    notes: Sequence[Dict[str, Any]], amp: Optional[str]
) -> Dict[str, str]:
    """What several runs were made with.

    Args:
        notes (Sequence[dict]): :func:`made_with` of each run.
        amp (str, optional): "auto" or "force" for mixed precision, for notes that do
            not tell.

    Returns:
        dict[str, str]: The different values of all but the date, sorted.
    """
    unknown = {
        "commit": "unknown",
        "hardware": hardware(),
        "software": software(),
        "precision": precision(amp),
    }
    return {
        key: ", ".join(sorted({note.get(key) or default for note in notes}))
        for key, default in unknown.items()
    }
