"""What a run was made with: commit, hardware, software, precision."""

import datetime
import functools
import importlib.metadata
import os
import platform
import re
from pathlib import Path
from typing import Any, Dict, Optional, Sequence, Tuple

import torch
from mmengine.config import Config
from mmengine.optim import AmpOptimWrapper, OptimWrapper

from pckd_mm.registry import OPTIM_WRAPPERS
from pckd_mm.utils import commits
from pckd_mm.utils.methods import run_detects
from pckd_mm.utils.precision import has_fast_bfloat16

# Distributions of the maintained line whose name is not onedl- and the package's.
_MAINTAINED = {"mmdet": "onedl-mmdetection"}


def cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@functools.lru_cache(None)
def hardware(gpu: int = 0) -> str:
    """A GPU, or the processor and its cores where there is none.

    Args:
        gpu (int): Which of those that this process sees. Defaults to 0.
    """
    if torch.cuda.is_available():
        return torch.cuda.get_device_name(gpu)
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


def precision(cfg: Config) -> str:
    """What a training computes in on this machine.

    Args:
        cfg (Config): Config of the run, whose ``optim_wrapper`` decides; as ``--amp``
            leaves it, if that was given.

    Returns:
        str: Such as "float32", also where the config has mixed precision and the CPU
        has no instructions for it.
    """
    from pckd_mm.engine import BFloat16OptimWrapper  # with it all of MMPretrain

    wrapper = cfg.get("optim_wrapper") or {}
    # Building it tells where there is none of the name.
    kind = OPTIM_WRAPPERS.class_of(wrapper.get("type")) or OptimWrapper
    if issubclass(kind, BFloat16OptimWrapper):
        on_gpu = torch.cuda.is_available()
        if not (on_gpu or has_fast_bfloat16() or wrapper.get("force")):
            return "float32"
        is_part = run_detects(cfg) and not on_gpu
        return f"bfloat16 autocast{' of features' if is_part else ''}"
    if issubclass(kind, AmpOptimWrapper):
        dtype = wrapper.get("dtype") or "float16"
        return f"{str(dtype).removeprefix('torch.')} autocast"
    if kind.optim_context is OptimWrapper.optim_context:
        return "float32"
    return f"that of {kind.__name__}"  # of Apex, for one


def made_with(
    at: Optional[str], precision: str, packages: Tuple[str, ...] = (), gpu: int = 0
) -> Dict[str, Any]:
    """What a run that ends now was made with.

    Args:
        at (str, optional): The commit, or several of a run that was resumed.
        precision (str): What it computed in, see :func:`precision`.
        packages (tuple[str]): Libraries that :func:`software` names in addition.
        gpu (int): Its GPU, see :func:`hardware`. Defaults to 0.

    Returns:
        dict: ``commit``, ``hardware``, ``software``, ``precision`` and ``date``, in
        UTC.
    """
    today = datetime.datetime.now(datetime.timezone.utc).date()
    return dict(
        commit=at,
        hardware=hardware(gpu),
        software=software(packages),
        precision=precision,
        date=today.isoformat(),
    )


def made_with_together(notes: Sequence[Dict[str, Any]]) -> Dict[str, str]:
    """What several runs were made with.

    Args:
        notes (Sequence[dict]): :func:`made_with` of each run.

    Returns:
        dict[str, str]: The different values of all but the date, sorted; "unknown" of
        a run whose note does not say it.
    """
    found = {
        key: {note.get(key) or "unknown" for note in notes}
        for key in ("commit", "hardware", "software", "precision")
    }
    found["commit"] = commits.all_of(found["commit"])
    return {key: ", ".join(sorted(values)) for key, values in found.items()}
