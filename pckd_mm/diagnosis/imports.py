"""Whether the libraries can be imported one after the other, in a new process."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, List, Sequence, Set

from .finding import Finding

__all__ = ["check_imports"]

# In this order: pckd_mm is what makes mmrazor importable.
NEEDED = (
    "torch",
    "torchvision",
    "mmengine",
    "mmcv",
    "mmpretrain",
    "pckd_mm",
    "mmrazor.models",
)
# What detectors need beside them.
OF_DETECTORS = ("mmcv.ops", "mmdet")
SECONDS = 300
MARK = "pckd doctor: "
_SYSTEM = ("libGL", "libglib", "libgthread")


def try_imports(names: Sequence[str]) -> Dict[str, Any]:
    """Import modules in a new process, and ask it for its devices.

    Args:
        names (Sequence[str]): The modules, in this order.

    Returns:
        dict: For each name the error as a text, '' where it was imported; for
        ``devices`` and ``operators`` what :mod:`pckd_mm.diagnosis.trial` found, if it
        could.
    """
    code = (Path(__file__).parent / "trial.py").read_text(encoding="utf-8")
    command = [sys.executable, "-c", code, MARK, *names]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=SECONDS
        )
        printed, ended = done.stdout, f"the process ended with status {done.returncode}"
    except subprocess.TimeoutExpired as error:
        printed = (error.stdout or b"").decode(errors="replace")
        ended = f"it was not done after {SECONDS} seconds"
    told = [line[len(MARK) :] for line in printed.splitlines() if line.startswith(MARK)]
    found: Dict[str, Any] = {}
    for line in told:
        found.update(json.loads(line))
    for name in names:
        if name not in found:  # what it died of
            found[name] = ended
            break
    return found


# What brings a module of another name.
_DISTRIBUTIONS = {
    "PIL": "pillow",
    "cv2": "opencv-python",
    "pkg_resources": "'setuptools<82'",
    "sklearn": "scikit-learn",
    "yaml": "pyyaml",
}


def check_imports() -> List[Finding]:
    """Import everything that training needs.

    Returns:
        list[Finding]: Devices, mixed precision, imports, and the detectors' needs.
    """
    found = try_imports([*NEEDED[:-1], *OF_DETECTORS, NEEDED[-1]])
    findings = _of_devices(found.get("devices"))
    told: Set[str] = set()
    for name in NEEDED:
        error = found.get(name, "not tried")
        shown = _short(error) if error else "works"
        # What one library lacks, those that import it lack as well.
        follows = name not in found or error in told
        advice = _advice(name, error) if error and not follows else ""
        told |= {error} if error else set()
        what = f"import {name}"
        findings.append(Finding(what, shown, "", advice, bool(error) and follows))
    findings.append(_of_detectors(found, told))
    return findings


def _of_devices(devices: Any) -> List[Finding]:
    if not devices:
        return []
    gpus = ", ".join(devices["gpus"]) or "no GPU"
    return [
        Finding("devices", f"CPU, {gpus}"),
        Finding("bfloat16", devices["bfloat16"]),
    ]


def _of_detectors(found: Dict[str, Any], told: Set[str]) -> Finding:
    """They are optional; an mmdet that cannot be used is a fault."""
    failed = [name for name in OF_DETECTORS if found.get(name, "not tried")]
    if not failed:
        return _of_operators(found)
    shown = "not here: " + " and ".join(
        {"mmcv.ops": "mmcv has no operators", "mmdet": "mmdet cannot be imported"}[name]
        for name in failed
    )
    if found.get(failed[0], "not tried") in told:
        return Finding("detectors", shown, follows=True)
    advice = ""
    if "No module named 'mmdet'" not in found.get("mmdet", "No module named 'mmdet'"):
        advice = (
            f"mmdet is installed, and {failed[0]} cannot be imported "
            f"({_short(found[failed[0]])}): compile mmcv==2.1.0 for the torch that is "
            "here, or pip uninstall mmdet to do without detectors."
        )
    return Finding("detectors", shown, "", advice)


def _of_operators(found: Dict[str, Any]) -> Finding:
    """Operators for the CPU alone are a fault where there is a GPU."""
    devices = found.get("devices") or {}
    if not devices.get("gpus") or found.get("operators") != "not available":
        return Finding("detectors", "work: mmdet, mmcv with its operators")
    cuda = devices.get("cuda")
    nvcc = f"nvcc of CUDA {cuda}, with" if cuda else "nvcc of the CUDA version with"
    advice = (
        "mmcv's operators are compiled for the CPU only, so that detectors fail on the "
        f"GPU: compile mmcv again with FORCE_CUDA=1, which needs {nvcc} which torch "
        "was built, or put CUDA_VISIBLE_DEVICES= in front of a command to run it on "
        "the CPU."
    )
    shown = "work on the CPU only: mmcv's operators are not compiled for the GPU"
    return Finding("detectors", shown, "", advice)


def _short(error: str) -> str:
    """The first line of an error, of bounded length."""
    lines = error.strip().splitlines() or ["no reason was given"]
    return lines[0] if len(lines[0]) <= 200 else f"{lines[0][:200]}..."


def _advice(name: str, error: str) -> str:
    what = f"import {name} fails ({_short(error)})"
    if any(library in error for library in _SYSTEM):
        return (
            f"{what}: install the system's library, in Debian and Ubuntu apt install "
            "libgl1 libglib2.0-0."
        )
    if "No module named" in error:
        missing = error.rpartition("No module named")[2].strip(" '\"").split(".")[0]
        if missing != "mmcv":  # of which the requirements say which
            return f"{what}: pip install {_DISTRIBUTIONS.get(missing, missing)}."
    return f"{what}: install the versions that are named above together, in one call."
