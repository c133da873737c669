"""Versions beside the ranges that the package asks for."""

import platform
from importlib import metadata
from typing import Callable, Dict, List, Optional, Sequence, Tuple

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from .finding import Finding

__all__ = ["check_requirements"]

PACKAGE = "pckd_mm"
# The maintained line of OpenMMLab's packages has names and versions of its own.
MAINTAINED = {
    "mmcv": "onedl-mmcv",
    "mmdet": "onedl-mmdetection",
    "mmengine": "onedl-mmengine",
    "mmpretrain": "onedl-mmpretrain",
}
# They share the folder mmcv, and each may stand in for the other.
MMCV = ("mmcv", "mmcv-lite")
VersionOf = Callable[[str], Optional[str]]


def version_of(name: str) -> Optional[str]:
    """The version of a distribution, None where it is not installed.

    Args:
        name (str): Its name.
    """
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def check_requirements(
    requires: Optional[Sequence[str]] = None,
    python: Optional[str] = None,
    version_of: VersionOf = version_of,
) -> List[Finding]:
    """Compare what is installed with what the package asks for.

    Args:
        requires (Sequence[str], optional): What it asks for, as its metadata say it;
            None to read them.
        python (str, optional): The range of Python's versions; None to read it.
        version_of (callable): Gives the version of a distribution, or None.

    Returns:
        list[Finding]: Of Python, of each package, and of each group of optional ones.
    """
    if requires is None:
        try:
            found = metadata.metadata(PACKAGE)
        except metadata.PackageNotFoundError:
            advice = (
                "pckd_mm runs from a folder and is not installed, so the versions that "
                "it needs are not known: pip install -e . in its repository."
            )
            return [Finding(PACKAGE, "not installed", "", advice)]
        requires, python = (
            found.get_all("Requires-Dist") or [],
            found["Requires-Python"],
        )
    needed, extras = _by_extra(requires)
    findings = [_check_python(python or "")]
    findings += [_check(each, version_of) for each in needed]
    findings.append(_check_mmcv(extras, version_of))
    for extra, members in extras.items():
        others = [each for each in members if each.name not in MMCV]
        if others:
            findings.append(_check_extra(extra, others, version_of))
    return findings


def _by_extra(
    requires: Sequence[str],
) -> Tuple[List[Requirement], Dict[str, List[Requirement]]]:
    """What is always needed, and what each extra brings."""
    always: List[Requirement] = []
    extras: Dict[str, List[Requirement]] = {}
    for text in requires:
        requirement = Requirement(text)
        marker = requirement.marker
        if marker is None or "extra" not in str(marker):
            if marker is None or marker.evaluate():
                always.append(requirement)
            continue
        extra = str(marker).partition("extra ==")[2].strip(" \"')")
        if marker.evaluate({"extra": extra}):
            extras.setdefault(extra, []).append(requirement)
    return always, extras


def _check_python(needed: str) -> Finding:
    version = platform.python_version()
    advice = ""
    if not SpecifierSet(needed).contains(version, prereleases=True):
        advice = (
            f"Python is {version}; expected {needed}: make a new environment of it."
        )
    return Finding("Python", version, needed, advice)


def _wanted(requirement: Requirement) -> str:
    return f'pip install "{requirement.name}{requirement.specifier}"'


def _check(requirement: Requirement, version_of: VersionOf) -> Finding:
    """A package that is always needed."""
    name, needed = requirement.name, str(requirement.specifier)
    version = version_of(name)
    other = MAINTAINED.get(canonicalize_name(name))
    if version is None and other is not None and version_of(other) is not None:
        return Finding(name, f"{version_of(other)} of {other}", needed)
    if version is None:
        advice = f"{name} is not installed: {_wanted(requirement)}."
        return Finding(name, "not installed", needed, advice)
    advice = ""
    if not requirement.specifier.contains(version, prereleases=True):
        advice = f"{name} is {version}; expected {needed}: {_wanted(requirement)}."
    return Finding(name, version, needed, advice)


def _check_mmcv(extras: Dict[str, List[Requirement]], version_of: VersionOf) -> Finding:
    """One of the two forms of mmcv must be there, and only one."""
    members = [each for group in extras.values() for each in group]
    wanted = {each.name: each for each in members if each.name in MMCV}
    found = {
        name: version for name in MMCV if (version := version_of(name)) is not None
    }
    needed = " or ".join(f"{name}{each.specifier}" for name, each in wanted.items())
    shown = " and ".join(f"{name} {version}" for name, version in found.items())
    advice = ""
    if len(found) > 1:
        advice = (
            f"{shown} are both installed and overwrite each other: pip uninstall "
            f"{' '.join(found)}, then install one of them again."
        )
    elif not found and (other := version_of(MAINTAINED["mmcv"])) is not None:
        shown = f"{other} of {MAINTAINED['mmcv']}"
    elif not found:
        shown = "not installed"
        advice = (
            "Neither mmcv nor mmcv-lite is installed: pip install mmcv-lite==2.1.0 for "
            "classifiers, or compile mmcv for detectors."
        )
    else:
        ((name, version),) = found.items()
        if name in wanted and not wanted[name].specifier.contains(version):
            expected = wanted[name].specifier
            advice = (
                f"{shown} is installed; expected {expected}: {_wanted(wanted[name])}."
            )
    return Finding("mmcv", shown, needed, advice)


def _check_extra(
    extra: str, members: Sequence[Requirement], version_of: VersionOf
) -> Finding:
    """An optional group: nothing of it need be there, but what is must fit."""
    findings = [_check(each, version_of) for each in members]
    missing = [each.what for each in findings if each.found == "not installed"]
    shown = [
        f"{each.what} {each.found}" for each in findings if each.what not in missing
    ]
    if missing:
        shown.append(f"without {', '.join(missing)}")
    faults = [each.advice for each in findings if each.what not in missing]
    advice = next((text for text in faults if text), "")
    return Finding(f"[{extra}]", ", ".join(shown), "", advice)
