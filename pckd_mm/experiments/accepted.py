"""Which settings the parts of a config take, without building them."""

import inspect
from inspect import Parameter
from typing import (
    Any,
    Callable,
    Iterator,
    List,
    NamedTuple,
    Optional,
    Set,
    Tuple,
)

from mmengine.registry import (
    DATA_SAMPLERS,
    DATASETS,
    EVALUATOR,
    FUNCTIONS,
    HOOKS,
    LOG_PROCESSORS,
    LOOPS,
    METRICS,
    OPTIM_WRAPPERS,
    OPTIMIZERS,
    PARAM_SCHEDULERS,
    TRANSFORMS,
    VISBACKENDS,
    VISUALIZERS,
    Registry,
)
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from pckd_mm.utils.class_name import class_name
from pckd_mm.utils.config import loop_name
from pckd_mm.utils.nearest import nearest

__all__ = ["Unknown", "accepted", "names_of", "nearest", "unknown_settings"]

# What a name in a config is made by: a registry of classes.
_REGISTRIES = {
    "train_cfg": LOOPS,
    "val_cfg": LOOPS,
    "test_cfg": LOOPS,
    "dataset": DATASETS,
    "datasets": DATASETS,
    "pipeline": TRANSFORMS,
    "transforms": TRANSFORMS,
    "sampler": DATA_SAMPLERS,
    "batch_sampler": DATA_SAMPLERS,
    "collate_fn": FUNCTIONS,
    "worker_init_fn": FUNCTIONS,
    "val_evaluator": METRICS,
    "test_evaluator": METRICS,
    "metrics": METRICS,
    "default_hooks": HOOKS,
    "custom_hooks": HOOKS,
    "param_scheduler": PARAM_SCHEDULERS,
    "optim_wrapper": OPTIM_WRAPPERS,
    "optimizer": OPTIMIZERS,
    "visualizer": VISUALIZERS,
    "vis_backends": VISBACKENDS,
    "log_processor": LOG_PROCESSORS,
}
# Those that stand at the top alone: a network has a train_cfg of another kind.
_AT_THE_TOP = ("train_cfg", "val_cfg", "test_cfg")
# Transforms that hold those of another library, by the beginning of their names.
_FOREIGN = "Albu"
# What MMEngine's runner takes where a config has no type, by the place.
_WITHOUT_TYPE = {
    "train_cfg": "EpochBasedTrainLoop",
    "val_cfg": "ValLoop",
    "test_cfg": "TestLoop",
    "optim_wrapper": "OptimWrapper",
    "visualizer": "Visualizer",
    "log_processor": "LogProcessor",
    "train_dataloader": DataLoader,
    "val_dataloader": DataLoader,
    "test_dataloader": DataLoader,
    "randomness": Runner.set_randomness,
}
# What the runner reads beside the arguments, by the name or the registry.
_READ = {
    "train_cfg": ("by_epoch",),
    "train_dataloader": ("num_batch_per_epoch",),
    "val_dataloader": ("num_batch_per_epoch",),
    "test_dataloader": ("num_batch_per_epoch",),
    "optim_wrapper": ("constructor", "paramwise_cfg"),
    HOOKS: ("priority",),
    PARAM_SCHEDULERS: ("convert_to_iter_based",),
}
_FREE = ("type", "_scope_", "_delete_")
_ENVIRONMENT = ("cudnn_benchmark", "mp_cfg", "dist_cfg", "resource_limit")
# How much a name must look like another one to be taken for it, where any is taken.
_ALIKE = 0.85


class Unknown(NamedTuple):
    """A setting that nothing takes.

    Attributes:
        path (str): Its name in the config, such as ``train_dataloader.batch_sise``.
        why (str): What is wrong with it.
        meant (str, optional): The nearest name that would be taken.
    """

    path: str
    why: str
    meant: Optional[str]

    def __str__(self) -> str:
        meant = f"; did you mean {self.meant}?" if self.meant else "."
        return f"{self.path}: {self.why}{meant}"


def accepted(made_by: Callable) -> Tuple[Set[str], bool]:
    """Names of the arguments that a class or a function takes.

    Args:
        made_by (Callable): The class or the function; a class that takes any keywords
            is thought to hand them on to the class that it inherits from.

    Returns:
        tuple[set[str], bool]: The names; whether others are refused.
    """
    makers: List[Callable] = [made_by]
    if inspect.isclass(made_by):
        makers = [vars(c)["__init__"] for c in made_by.__mro__ if "__init__" in vars(c)]
    names: Set[str] = set()
    for maker in makers:
        if maker is object.__init__:  # others gave their keywords to something else
            return names, maker is makers[0]
        try:
            parameters = inspect.signature(maker).parameters.values()
        except (TypeError, ValueError):  # of compiled code
            break
        single = (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)
        names |= {p.name for p in parameters if p.kind in single} - {"self"}
        if not any(p.kind is Parameter.VAR_KEYWORD for p in parameters):
            return names, True
    return names, False


def _maker(kind: Any, registry: Optional[Registry]) -> Optional[Callable]:
    """The class or function that a config's type names."""
    if registry is None or not isinstance(kind, str):
        return kind if callable(kind) else None
    with registry.switch_scope_and_registry(None) as found:
        return found.get(kind)


def names_of(registry: Registry) -> Set[str]:
    """All names of a registry and of those below it."""
    names = set(registry.module_dict)
    for child in registry.children.values():
        names |= names_of(child) | {
            f"{child.scope}.{name}" for name in child.module_dict
        }
    return names


def unknown_settings(cfg: Any) -> Iterator[Unknown]:
    """Find what a config of a run says of data, loops, hooks and optimizer in vain.

    Args:
        cfg (dict): The config; its ``model`` is not looked at, nor what the runner does
            not read, such as variables that the config is put together from.

    Yields:
        Unknown: Each setting that its class does not take, and each type that is not
        registered.
    """
    read = inspect.signature(Runner.__init__).parameters
    for name, value in cfg.items():
        if name in read and name not in ("model", "data_preprocessor"):
            yield from _walk(value, name, _REGISTRIES.get(name))


def _walk(value: Any, path: str, registry: Optional[Registry]) -> Iterator[Unknown]:
    if isinstance(value, (list, tuple)):
        for index, part in enumerate(value):
            yield from _walk(part, f"{path}.{index}", registry)
    if not isinstance(value, dict):
        return
    kind = value.get("type", _WITHOUT_TYPE.get(path))
    if path == "train_cfg" and "type" not in value:
        kind = loop_name(value)
    if path == "default_hooks":
        # With it all of MMPretrain and MMDetection.
        from pckd_mm.engine.guards import DEFAULT_HOOKS, with_types

        value = with_types(value)
        yield from _hooks_without_type(value, list(DEFAULT_HOOKS))
    if path == "env_cfg":
        yield from _not_among(value, path, set(_ENVIRONMENT), "the runner")
    if kind is not None:
        maker = _maker(kind, registry)
        if maker is None and registry is METRICS:
            maker = _maker(kind, EVALUATOR)
        if maker is None and registry is not None:
            meant = nearest(str(kind), names_of(registry))
            why = f"there is no such {registry.name}"
            yield Unknown(f"{path}.type={kind}", why, meant)
        elif maker is not None:
            yield from _not_taken(value, path, maker, registry)
    is_transform = registry is TRANSFORMS and kind is not None
    if is_transform and class_name(kind).startswith(_FOREIGN):
        return
    for key, part in value.items():
        if key in _AT_THE_TOP:
            continue
        contained = kind is None and registry is not None  # as by default_hooks
        below = registry if contained else _REGISTRIES.get(key)
        yield from _walk(part, f"{path}.{key}", below)


def _hooks_without_type(hooks: dict, known: List[str]) -> Iterator[Unknown]:
    """Settings of hooks that are not there, and hence have no type."""
    for name, hook in hooks.items():
        if isinstance(hook, dict) and "type" not in hook:
            meant = nearest(name, [*known, *(n for n in hooks if n != name)])
            yield Unknown(f"default_hooks.{name}", "there is no such hook", meant)


def _not_taken(
    value: dict, path: str, maker: Callable, registry: Optional[Registry]
) -> Iterator[Unknown]:
    names, closed = accepted(maker)
    names |= {*_READ.get(path, ()), *_READ.get(registry, ())}
    who = getattr(maker, "__name__", str(maker))
    yield from _not_among(value, path, names, who, closed)


def _not_among(
    value: dict, path: str, names: Set[str], who: str, closed: bool = True
) -> Iterator[Unknown]:
    """Settings beside the names that are taken."""
    for key in value:
        if key in names or key in _FREE:
            continue
        meant = nearest(key, names) if closed else nearest(key, names, _ALIKE)
        if closed or meant:
            yield Unknown(f"{path}.{key}", f"{who} has no such setting", meant)
