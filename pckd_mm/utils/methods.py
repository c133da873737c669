"""The methods of distillation that this package brings, by their names."""

from pathlib import Path
from typing import Any, Dict, List, Mapping

from mmengine.config import Config

from .config import load_config
from .nearest import nearest
from .shipped import BASES, CONFIGS

__all__ = ["load_method", "method_names", "with_loss"]

# What a method for classifiers is called where it is for detectors.
_OF_DETECTORS = "_roi"
# Bases that are no method by themselves, and methods that only detectors have.
_PARTS = ("pckd_terms", "single_view")
_ONLY_OF_DETECTORS = ("pckd_fpn",)


def method_names(detects: bool = False) -> List[str]:
    """Names of the methods.

    Args:
        detects (bool): Whether for detectors. Defaults to False, for classifiers.
    """
    return list(_files(detects))


def load_method(name: str, detects: bool = False) -> Config:
    """The config of a method, without networks.

    Args:
        name (str): Such as ``kd``.
        detects (bool): Whether for detectors. Defaults to False, for classifiers.

    Returns:
        Config: With ``model`` and ``custom_hooks``.

    Raises:
        ValueError: Names what it may have been.
    """
    files = _files(detects)
    if name not in files:
        likely = nearest(name, files)
        what = "detectors" if detects else "classifiers"
        meant = f": did you mean {likely}?" if likely else "."
        raise ValueError(
            f"There is no method {name} for {what}; expected one of "
            f"{', '.join(files)}{meant}"
        )
    cfg = load_config(files[name])
    hooks = cfg.get("custom_hooks") or []
    return Config(dict(model=cfg.get("model") or cfg.method, custom_hooks=hooks))


def with_loss(student: Dict[str, Any], changes: Mapping[str, Any]) -> Dict[str, Any]:
    """A student's config with the loss of its own that a method gives it.

    Args:
        student (dict): Config of the student.
        changes (Mapping): ``architecture`` of the method's config, such as KD's, which
            weighs the cross-entropy by 0.1.

    Returns:
        dict: The config; of networks without a head, such as timm's, with ``loss`` at
        the top.
    """
    loss = changes.get("head", {}).get("loss")
    if loss is None:
        return student
    if "head" in student:
        return dict(student, head=dict(student["head"], loss=loss))
    return dict(student, loss=loss)


def _files(detects: bool) -> Dict[str, Path]:
    return {
        path.stem.removesuffix(_OF_DETECTORS): path
        for path in sorted((CONFIGS / BASES / "methods").glob("*.py"))
        if _is_of_detectors(path.stem) == detects and path.stem not in _PARTS
    }


def _is_of_detectors(stem: str) -> bool:
    return stem.endswith(_OF_DETECTORS) or stem in _ONLY_OF_DETECTORS
