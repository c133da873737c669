"""The methods of distillation that this package brings, by their names."""

from enum import Enum
from inspect import signature
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping, Optional, Union

from mmengine.config import Config
from torch import nn

from pckd_mm.registry import MODELS

from .class_name import class_name
from .config import load_config
from .dependencies import has_detection
from .nearest import nearest
from .shipped import BASES, CONFIGS

__all__ = [
    "NetworkKind",
    "detects",
    "distilled_kind",
    "load_method",
    "loss_of",
    "method_file",
    "method_names",
    "method_of",
    "network_kind",
    "run_detects",
    "with_loss",
    "without_method",
]


class NetworkKind(Enum):
    """What networks a method is for."""

    CLASSIFIER = "classifiers"
    TWO_STAGES = "two-stage detectors"
    ONE_STAGE = "one-stage detectors"


def network_kind(network: Union[dict, nn.Module]) -> NetworkKind:
    """What a network is, as far as methods differ by it.

    Args:
        network (dict | nn.Module): Built, or its config.

    Returns:
        NetworkKind: Of all that is no detector of MMDetection that of classifiers.
    """
    if not has_detection():
        return NetworkKind.CLASSIFIER
    from mmdet.models import BaseDetector, TwoStageDetector

    kind: Any = type(network)
    if isinstance(network, dict):
        kind = MODELS.class_of(network.get("type"))
    if not (isinstance(kind, type) and issubclass(kind, BaseDetector)):
        return NetworkKind.CLASSIFIER
    is_of_two = issubclass(kind, TwoStageDetector)
    return NetworkKind.TWO_STAGES if is_of_two else NetworkKind.ONE_STAGE


# Heads that a detector of MMDetection may have, by what they are called in its config.
_HEADS = ("roi_head", "rpn_head", "bbox_head", "mask_head")


def detects(network: Mapping) -> bool:
    """Whether a network is a detector, by its config alone: nothing is imported.

    Args:
        network (Mapping): Its config.
    """
    return any(head in network for head in _HEADS)


def run_detects(cfg: Mapping) -> bool:
    """Whether a run trains a detector, alone or from a teacher.

    Args:
        cfg (Mapping): Config of the run. Its scope tells it too, since a detector may
            stand in what trains it, or in another file.
    """
    model = cfg.get("model") or {}
    is_of_mmdet = cfg.get("default_scope") == "mmdet"
    return is_of_mmdet or detects(model.get("architecture") or model)


# Algorithms of detectors.
_ALGORITHMS = {
    "RoIDistill": NetworkKind.TWO_STAGES,
    "DenseDistill": NetworkKind.ONE_STAGE,
}


def distilled_kind(model: Mapping) -> NetworkKind:
    """What networks a distillation is of.

    Args:
        model (Mapping): Config of the algorithm.
    """
    return _ALGORITHMS.get(class_name(model["type"]), NetworkKind.CLASSIFIER)


# What is behind the name of a method for classifiers where it is for detectors.
_SUFFIXES = {NetworkKind.TWO_STAGES: "_roi", NetworkKind.ONE_STAGE: "_dense"}
# Bases that are no method by themselves, and methods that only detectors have.
_PARTS = ("pckd_terms", "single_view")
_ONLY_OF = {"pckd_fpn": NetworkKind.TWO_STAGES}


def method_names(kind: NetworkKind = NetworkKind.CLASSIFIER) -> List[str]:
    """Names of the methods.

    Args:
        kind (NetworkKind): What networks they are for. Defaults to classifiers.
    """
    return list(_files(kind))


def method_file(name: str, kind: NetworkKind) -> str:
    """What the base of a method is called, such as ``pckd_roi``.

    Args:
        name (str): The method.
        kind (NetworkKind): What networks it is for.
    """
    return name + _SUFFIXES.get(kind, "")


def load_method(name: str, kind: NetworkKind = NetworkKind.CLASSIFIER) -> Config:
    """The config of a method, without networks.

    Args:
        name (str): Such as ``kd``.
        kind (NetworkKind): What networks it is for. Defaults to classifiers.

    Returns:
        Config: With ``model`` and ``custom_hooks``.

    Raises:
        ValueError: Names what it may have been.
    """
    files = _files(kind)
    if name not in files:
        likely = nearest(name, files)
        meant = f": did you mean {likely}?" if likely else "."
        raise ValueError(
            f"There is no method {name} for {kind.value}; expected one of "
            f"{', '.join(files)}{meant}"
        )
    cfg = load_config(files[name])
    hooks = cfg.get("custom_hooks") or []
    return Config(dict(model=cfg.get("model") or cfg.method, custom_hooks=hooks))


def with_loss(student: Dict[str, Any], changes: Mapping[str, Any]) -> Dict[str, Any]:
    """A student's config with what a method sets of its own loss.

    Args:
        student (dict): Config of the student.
        changes (Mapping): ``architecture`` of the method's config, such as KD's, which
            weighs the cross-entropy by 0.1.

    Returns:
        dict: The config. A loss that is another one, or has settings, stays so, and is
        weighed; of networks without a head, such as timm's, it is at the top.
    """
    given = loss_of(changes)
    if given is None:
        return student
    weights = {name: value for name, value in given.items() if name != "type"}

    def weighed(owner: Mapping) -> Dict[str, Any]:
        return {**given, **(owner.get("loss") or _default_loss(owner)), **weights}

    return _with_losses(student, weighed)


def without_method(model: Mapping, method: Optional[str] = None) -> Dict[str, Any]:
    """The student of a distillation without what the method set of its loss.

    Args:
        model (Mapping): Config of the algorithm.
        method (str, optional): Its method. Defaults to None, as :func:`method_of` says.

    Returns:
        dict: ``architecture``; what else its loss has is the student's own, and stays.
    """
    student = dict(model["architecture"])
    own = method or method_of(model)
    changes = load_method(own, distilled_kind(model)).model if own else {}
    given = loss_of(changes.get("architecture", {}))
    if given is None:
        return student

    def own_loss(owner: Mapping) -> Dict[str, Any]:
        loss = owner.get("loss") or {}
        return {n: v for n, v in loss.items() if n == "type" or n not in given}

    return _with_losses(student, own_loss)


def loss_of(changes: Mapping[str, Any]) -> Optional[Dict[str, Any]]:
    """The loss that a method gives a student.

    Args:
        changes (Mapping): ``architecture`` of the method's config.
    """
    return changes.get("head", {}).get("loss")


def _with_losses(
    owner: Mapping, change: Callable[[Mapping], Dict[str, Any]]
) -> Dict[str, Any]:
    """A network or head with its losses changed, where it or its parts have them."""
    if owner.get("head"):
        return dict(owner, head=_with_losses(owner["head"], change))
    changed = dict(owner)
    tasks = owner.get("task_heads")
    if tasks:  # of a MultiTaskHead, whose own loss is that of parts without one

        def of_task(head: Mapping) -> Dict[str, Any]:
            has_ours = owner.get("loss") and not head.get("loss")
            return dict(head) if has_ours else _with_losses(head, change)

        changed["task_heads"] = {name: of_task(head) for name, head in tasks.items()}
        if not owner.get("loss"):
            return changed
    loss = change(owner)
    return dict(changed, loss=loss) if loss else changed


def _default_loss(owner: Mapping) -> Dict[str, Any]:
    """The loss of a head, or a network without one, whose config says none."""
    kind = MODELS.class_of(owner.get("type"))
    for base in getattr(kind, "__mro__", ()):
        found = signature(base.__init__).parameters.get("loss")
        if found is not None and isinstance(found.default, dict):
            return found.default
    return {}


def method_of(model: Mapping) -> Optional[str]:
    """The method whose losses a distillation has, with whatever weights.

    Args:
        model (Mapping): Config of the algorithm.

    Returns:
        str, optional: Its name; None where it is none of this package's.
    """

    def kinds(model: Mapping) -> Dict[str, str]:
        losses = (model.get("distiller") or {}).get("distill_losses") or {}
        return {n: class_name(loss["type"]) for n, loss in losses.items() if loss}

    wanted = kinds(model)
    kind = distilled_kind(model)
    found = [
        method
        for method in method_names(kind)
        if kinds(load_method(method, kind).model) == wanted
    ]
    # Of several that differ by more than their losses, the one that others vary.
    return min(found, key=len, default=None)


def _files(kind: NetworkKind) -> Dict[str, Path]:
    return {
        path.stem.removesuffix(_SUFFIXES.get(kind, "")): path
        for path in sorted((CONFIGS / BASES / "methods").glob("*.py"))
        if _kind_of(path.stem) is kind and path.stem not in _PARTS
    }


def _kind_of(stem: str) -> NetworkKind:
    for kind, suffix in _SUFFIXES.items():
        if stem.endswith(suffix):
            return kind
    return _ONLY_OF.get(stem, NetworkKind.CLASSIFIER)
