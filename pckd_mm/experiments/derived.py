"""What a distillation is compared with: teacher, student alone, other methods."""

from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional, Sequence

from mmengine.config import Config

from pckd_mm.analysis import published
from pckd_mm.utils.class_name import class_name
from pckd_mm.utils.config import brings_weights, load_config, require_model
from pckd_mm.utils.files import write_whole
from pckd_mm.utils.methods import (
    distilled_kind,
    load_method,
    method_of,
    with_loss,
    without_method,
)
from pckd_mm.utils.shipped import beside_configs

from .hooks import hook_kind, hooks_of
from .job import ExperimentError, refusing
from .teachers import is_elsewhere

__all__ = ["ALONE", "Derived", "derive_runs"]

ALONE = "student alone"
# Hooks that methods bring along, and those that any distillation may have, and plain
# training may not.
_OF_METHODS = (
    *("ExportStudentHook", "LossShareHook"),
    *("PreviewRecordHook", "SampleLabelsHook"),
)
_OF_DISTILLATION = (*_OF_METHODS, "StopDistillHook")


class Derived(NamedTuple):
    """What a distillation's config is compared with.

    Attributes:
        runs (dict[str, str]): Names and configs of the student alone, the methods, and
            the config itself.
        teacher (str, optional): A checkpoint that is there, or the config that trains
            it; None where each run fetches it.
        teacher_test (str): The config that tests a checkpoint of the teacher, on what
            the students are validated on.
    """

    runs: Dict[str, str]
    teacher: Optional[str]
    teacher_test: str


def derive_runs(config: str, methods: Sequence[str], folder: Path) -> Derived:
    """Write the configs that a distillation's config is compared with.

    Args:
        config (str): The distillation's config, with ``architecture``, and ``teacher``
            or ``teacher_config``.
        methods (Sequence[str]): Other methods, such as ``kd``.
        folder (Path): Where to write.

    Returns:
        Derived: The configs.

    Raises:
        ExperimentError: For a config of something else, and for a method that is not
            there.
        WriteError: Where they cannot be written.
    """
    cfg = _read(config)
    model = cfg.model
    source = None if "teacher" in model else model.get("teacher_config")
    if "architecture" not in model or ("teacher" not in model and source is None):
        raise ExperimentError(
            f"{config} has no model with architecture, and teacher or teacher_config; "
            "expected the config of a distillation, such as pckd init writes: name "
            "others by --run."
        )
    own = method_of(model)
    if own is None:
        _tell_weight(config, model.architecture)
    else:
        model.architecture = without_method(model, own)
    runs = {ALONE: _write(folder, "student_alone", _plain(cfg, "architecture"))}
    for method in methods:
        if method == own:
            continue
        name = published.METHODS.get(method, method)
        runs[name] = _write(folder, method, _with_method(cfg, method, config))
    runs[published.METHODS.get(own, own) if own else Path(config).stem] = config
    teacher = _plain(cfg, "teacher") if source is None else _read(source, config)
    test = _write(folder, "teacher_test", _tested_as_validated(teacher))
    checkpoint = beside_configs(model.get("teacher_ckpt") or "")
    is_whole = not checkpoint and brings_weights(model.get("teacher") or {})
    if is_elsewhere(checkpoint) or is_whole:
        return Derived(runs, None, test)
    # What a call before this one trained from this config is that config's.
    is_own = Path(checkpoint).resolve().is_relative_to(folder.parent.resolve())
    if Path(checkpoint).is_file() and not is_own:
        return Derived(runs, checkpoint, test)
    return Derived(runs, source or _write(folder, "teacher", teacher), test)


def _read(config: str, asked_by: Optional[str] = None) -> Config:
    """Read a config that has a model."""
    try:
        cfg = load_config(config)
        require_model(cfg, config)
    except (FileNotFoundError, ImportError, RuntimeError, ValueError) as error:
        by = "" if asked_by is None else f"The teacher_config of {asked_by}: "
        raise ExperimentError(f"{by}{error}") from None
    return cfg


def _write(folder: Path, name: str, cfg: Config) -> str:
    """Write a config, unless the same lies there already."""
    path = folder / f"{name}.py"
    text = cfg.pretty_text
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        write_whole(str(path), text.encode())
    return str(path)


def _plain(cfg: Config, who: str) -> Config:
    """The config that trains one of the two networks by itself."""
    values = cfg.to_dict()
    shared = values["model"].get("data_preprocessor")
    if shared is not None:
        views = class_name(shared.get("type") or "").startswith("RotatedViews")
        shared = {name: v for name, v in shared.items() if name != "num_views"}
        values["data_preprocessor"] = {**shared, **({"num_views": 1} if views else {})}
    values["model"] = values["model"][who]
    values["custom_hooks"] = _other_hooks(values, _OF_DISTILLATION)
    if default := values.get("default_hooks"):
        values["default_hooks"] = {
            name: hook
            for name, hook in default.items()
            if not hook or hook_kind(hook) not in _OF_DISTILLATION
        }
    return Config(values)


def _tested_as_validated(cfg: Config) -> Config:
    """The config with the validation as its test."""
    values = cfg.to_dict()
    values["test_cfg"] = {}
    for part in ("dataloader", "evaluator"):
        values[f"test_{part}"] = values.get(f"val_{part}")
    return Config(values)


def _with_method(cfg: Config, method: str, config: str) -> Config:
    """The config with another method for the same networks."""
    with refusing(config):
        base = load_method(method, distilled_kind(cfg.model))
    values = cfg.to_dict()
    given = values["model"]
    model = base.model.to_dict()
    student = with_loss(given["architecture"], model.pop("architecture", {}))
    own = ("type", "distiller", "num_views", "architecture")
    model.update({name: v for name, v in given.items() if name not in own})
    values["model"] = dict(model, architecture=student)
    values["custom_hooks"] = _other_hooks(values, _OF_METHODS)
    there = set(map(hook_kind, hooks_of(values)))
    values["custom_hooks"] += [
        h for h in base.custom_hooks if hook_kind(h) not in there
    ]
    return Config(values)


def _tell_weight(config: str, student: Dict[str, Any]) -> None:
    """Say what a student alone keeps of a method that nobody knows."""
    loss = (student.get("head") or student).get("loss") or {}
    weight = loss.get("loss_weight", 1.0)
    if weight != 1:
        print(
            f"{config} has loss_weight={weight:g} for the student's own loss, and none "
            "of this package's methods: all runs have that weight, the student alone "
            "too. Was it of the method, give the others by --run.",
            flush=True,
        )


def _other_hooks(values: Dict[str, Any], kinds: Sequence[str]) -> List[Any]:
    """The custom hooks that are of none of some classes."""
    hooks = values.get("custom_hooks") or []
    return [hook for hook in hooks if hook_kind(hook) not in kinds]
