"""What a distillation is compared with: teacher, student alone, other methods."""

from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Tuple

from mmengine.config import Config, ConfigDict

from pckd_mm.analysis import published
from pckd_mm.utils.class_name import class_name
from pckd_mm.utils.config import load_config, require_model
from pckd_mm.utils.methods import (
    NetworkKind,
    load_method,
    method_names,
    with_loss,
)
from pckd_mm.utils.shipped import beside_configs

from .job import ExperimentError, refusing
from .teachers import is_elsewhere

__all__ = ["ALONE", "derive_runs"]

ALONE = "student alone"
# Hooks that a distillation has, and plain training has not.
_OF_DISTILLATION = (
    *("ExportStudentHook", "LossShareHook"),
    *("PreviewRecordHook", "SampleLabelsHook"),
)
# Algorithms of detectors.
_ALGORITHMS = {
    "RoIDistill": NetworkKind.TWO_STAGES,
    "DenseDistill": NetworkKind.ONE_STAGE,
}


def derive_runs(
    config: str, methods: Sequence[str], folder: Path
) -> Tuple[Optional[str], Dict[str, str]]:
    """Write the configs that a distillation's config is compared with.

    Args:
        config (str): The distillation's config, with ``teacher`` and ``architecture``.
        methods (Sequence[str]): Other methods, such as ``kd``.
        folder (Path): Where to write.

    Returns:
        tuple[str | None, dict[str, str]]: What the teacher is, a checkpoint that is
        there or the config that trains it, and None where each run fetches it; and
        names and configs of the student alone, the methods, and the config itself.

    Raises:
        ExperimentError: For a config of something else, and for a method that is not
            there.
    """
    try:
        cfg = load_config(config)
        require_model(cfg, config)
    except (FileNotFoundError, ImportError, RuntimeError, ValueError) as error:
        raise ExperimentError(str(error)) from None
    model = cfg.model
    if not {"teacher", "architecture"} <= model.keys():
        raise ExperimentError(
            f"{config} has no model with teacher and architecture; expected the config "
            "of a distillation, such as pckd init writes: name others by --run."
        )
    own = _method_of(cfg)
    runs = {ALONE: _write(folder, "student_alone", _plain(cfg, "architecture"))}
    for method in methods:
        if method == own:
            continue
        name = published.METHODS.get(method, method)
        runs[name] = _write(folder, method, _with_method(cfg, method, config))
    runs[published.METHODS.get(own, own) if own else Path(config).stem] = config
    checkpoint = beside_configs(model.get("teacher_ckpt") or "")
    if is_elsewhere(checkpoint) or (not checkpoint and _brings_weights(model.teacher)):
        return None, runs
    # What a call before this one trained from this config is that config's.
    is_own = Path(checkpoint).resolve().is_relative_to(folder.parent.resolve())
    if Path(checkpoint).is_file() and not is_own:
        return checkpoint, runs
    return _write(folder, "teacher", _plain(cfg, "teacher")), runs


def _write(folder: Path, name: str, cfg: Config) -> str:
    """Write a config, unless the same lies there already."""
    path = folder / f"{name}.py"
    text = cfg.pretty_text
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
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
    values["custom_hooks"] = _other_hooks(values)
    return Config(values)


def _with_method(cfg: Config, method: str, config: str) -> Config:
    """The config with another method for the same networks."""
    with refusing(config):
        base = load_method(method, _kind(cfg))
    values = cfg.to_dict()
    given = values["model"]
    model = base.model.to_dict()
    student = with_loss(given["architecture"], model.pop("architecture", {}))
    own = ("type", "distiller", "num_views", "architecture")
    model.update({name: v for name, v in given.items() if name not in own})
    values["model"] = dict(model, architecture=student)
    hooks = _other_hooks(values)
    there = {class_name(hook["type"]) for hook in (*hooks, *_default_hooks(values))}
    hooks += [h for h in base.custom_hooks if class_name(h["type"]) not in there]
    values["custom_hooks"] = hooks
    return Config(values)


def _brings_weights(network: ConfigDict) -> bool:
    """Whether a config says where all weights of a network are."""
    init = network.get("init_cfg") or []
    inits = init if isinstance(init, (list, tuple)) else [init]
    whole = any(class_name(each["type"]).startswith("Pretrained") for each in inits)
    return whole or bool(network.get("pretrained"))


def _kind(cfg: Config) -> NetworkKind:
    """What networks a distillation is of."""
    return _ALGORITHMS.get(class_name(cfg.model.type), NetworkKind.CLASSIFIER)


def _default_hooks(values: Dict[str, Any]) -> List[Any]:
    return [hook for hook in (values.get("default_hooks") or {}).values() if hook]


def _other_hooks(values: Dict[str, Any]) -> List[Any]:
    """The hooks that are not of a distillation."""
    hooks = values.get("custom_hooks") or []
    return [hook for hook in hooks if class_name(hook["type"]) not in _OF_DISTILLATION]


def _method_of(cfg: Config) -> Optional[str]:
    """The method whose losses a config has, with whatever weights."""

    def kinds(model: Any) -> Dict[str, str]:
        losses = model.get("distiller", {}).get("distill_losses", {})
        return {n: class_name(loss["type"]) for n, loss in losses.items() if loss}

    wanted = kinds(cfg.model)
    kind = _kind(cfg)
    found = [
        method
        for method in method_names(kind)
        if kinds(load_method(method, kind).model) == wanted
    ]
    # Of several that differ by more than their losses, the one that others vary.
    return min(found, key=len, default=None)
