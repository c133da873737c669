"""Registries of pckd_mm, children of MMEngine's.

The locations let ``type='pckd_mm.MultiViewDistill'`` work in any config: the first
look-up imports the modules, nobody has to. A name without a scope is looked up in the
neighbours' registries too, whatever the default scope is.
"""

import contextlib
import inspect
from importlib import import_module
from typing import Any, Iterator, Optional, Sequence, Union

from mmengine.registry import DATASETS as MMENGINE_DATASETS
from mmengine.registry import FUNCTIONS as MMENGINE_FUNCTIONS
from mmengine.registry import HOOKS as MMENGINE_HOOKS
from mmengine.registry import LOOPS as MMENGINE_LOOPS
from mmengine.registry import METRICS as MMENGINE_METRICS
from mmengine.registry import MODELS as MMENGINE_MODELS
from mmengine.registry import OPTIM_WRAPPERS as MMENGINE_OPTIM_WRAPPERS
from mmengine.registry import TASK_UTILS as MMENGINE_TASK_UTILS
from mmengine.registry import TRANSFORMS as MMENGINE_TRANSFORMS
from mmengine.registry import VISBACKENDS as MMENGINE_VISBACKENDS
from mmengine.registry import DefaultScope, Registry

from pckd_mm.utils.dependencies import has_detection

__all__ = [
    "DATASETS",
    "FUNCTIONS",
    "HOOKS",
    "LOOPS",
    "METRICS",
    "MODELS",
    "OPTIM_WRAPPERS",
    "TASK_UTILS",
    "TRANSFORMS",
    "VISBACKENDS",
    "NeighbourlyRegistry",
]

# Libraries that are searched for a name without a scope, in this order.
_NEIGHBOURS = ("mmpretrain", "mmdet", "mmrazor")
# Those whose classes build their parts from the same library, for many of its names
# (ResNet, CrossEntropyLoss) mean something else in the other one.
_FAMILIES = ("mmpretrain", "mmdet")


class NeighbourlyRegistry(Registry):
    """A registry that finds the neighbours' classes by their names alone.

    A name without a scope is looked up in this registry, then where MMEngine looks
    it up (the default scope's registry, and MMEngine's own), then in those of
    MMPretrain, MMDetection and MMRazor, of which those that are not installed are left
    out. A class that is one of MMPretrain or MMDetection, or inherits from one, builds
    its parts in the scope of that library, so that ``ResNet`` inside of a
    ``FasterRCNN`` is MMDetection's whatever the default scope is.
    """

    def scope_of(self, name: str, first: Sequence[str] = ()) -> Optional[str]:
        """The scope that a name without one is found in.

        Args:
            name (str): A name without a scope, such as ``'ImageClassifier'``.
            first (Sequence[str]): Scopes to look in before the default one. Defaults
                to none.

        Returns:
            str | None: Such as ``'mmpretrain'``; None where no registry knows it.
        """
        for registry in self._searched(first):
            registry.import_from_location()
            if name in registry.module_dict:
                return registry.scope
        return None

    def _searched(self, first: Sequence[str]) -> Iterator[Registry]:
        yield self
        default = _default_scope()
        scopes = [*first, default, self.root.scope, *_NEIGHBOURS]
        for scope in dict.fromkeys(scopes):
            registry = self._of_scope(scope) if scope is not None else None
            if registry is not None and registry is not self:
                yield registry

    def _of_scope(self, scope: str) -> Optional[Registry]:
        """A library's registry of this kind; None where it has none."""
        if scope == "mmdet" and not has_detection():
            return None
        # A project of one's own may have its registries anywhere.
        with contextlib.suppress(ImportError):
            import_module(f"{scope}.registry")
        return self.root._search_child(scope)

    def with_scope(self, name: str, suffix: str = "", first: Sequence[str] = ()) -> str:
        """A name with the scope that it is found in.

        Args:
            name (str): A name, with or without a scope.
            suffix (str): What is registered has this behind the name. Defaults to ''.
            first (Sequence[str]): Scopes to look in before the default one. Defaults
                to none.

        Returns:
            str: Such as ``'pckd_mm.MLPConnector'``; the name as it is where it has a
            scope, or no registry knows it.
        """
        if "." in name:
            return name
        scope = self.scope_of(name + suffix, first)
        return name if scope is None else f"{scope}.{name}"

    def get(self, key: str) -> Any:
        """What is registered by a name.

        Args:
            key (str): The name, with or without a scope.

        Returns:
            type | Callable | None: The class or function.
        """
        if isinstance(key, str) and "." not in key:
            scope = self.scope_of(key)
            if scope is not None and scope != self.scope:
                found = self._of_scope(scope)
                return found and found.get(key)
        return super().get(key)

    def class_of(self, kind: Any) -> Any:
        """What a config's ``type`` stands for.

        Args:
            kind (type | Callable | str, optional): A class or function, or its name.

        Returns:
            type | Callable | None: The class or function; None where no registry knows
            the name.
        """
        return self.get(kind) if isinstance(kind, str) else kind

    def build(self, cfg: Union[dict, list], *args: Any, **kwargs: Any) -> Any:
        """Build what a config describes.

        Args:
            cfg (dict | list[dict]): The config; a list makes a sequence of models.
            *args: Further arguments of MMEngine's registry.
            **kwargs: Further arguments of MMEngine's registry.

        Returns:
            Any: What was built.
        """
        if isinstance(cfg, list):
            cfg = [self._resolved(part) for part in cfg]
        else:
            cfg = self._resolved(cfg)
        return super().build(cfg, *args, **kwargs)

    def _resolved(self, cfg: dict) -> dict:
        """A copy with the class as type, and the scope that it builds its parts in."""
        if not isinstance(cfg, dict) or "type" not in cfg:
            return cfg  # MMEngine says what is wrong with it
        kind = cfg["type"]
        if isinstance(kind, str):
            with DefaultScope.overwrite_default_scope(cfg.get("_scope_")):
                if "." not in kind and self.scope_of(kind) is None:
                    return cfg
                kind = self.get(kind)
        if not inspect.isclass(kind):
            return cfg
        resolved = cfg.copy()
        resolved["type"] = kind
        family = _family(kind)
        # The default scope of a project of one's own stays.
        known = (None, self.scope, self.root.scope, *_NEIGHBOURS)
        if family is not None and _default_scope() in known:
            resolved.setdefault("_scope_", family)
        return resolved


def _default_scope() -> Optional[str]:
    default = DefaultScope.get_current_instance()
    return None if default is None else default.scope_name


def _family(kind: type) -> Optional[str]:
    """The library that a class builds its parts from, for those that have one."""
    packages = (base.__module__.partition(".")[0] for base in kind.__mro__)
    return next((package for package in packages if package in _FAMILIES), None)


def _registry(name: str, parent: Registry, *locations: str) -> NeighbourlyRegistry:
    return NeighbourlyRegistry(
        name, scope="pckd_mm", parent=parent, locations=list(locations)
    )


DATASETS = _registry("dataset", MMENGINE_DATASETS, "pckd_mm.datasets")
FUNCTIONS = _registry("function", MMENGINE_FUNCTIONS, "pckd_mm.datasets")
HOOKS = _registry("hook", MMENGINE_HOOKS, "pckd_mm.engine")
LOOPS = _registry("loop", MMENGINE_LOOPS, "pckd_mm.engine")
METRICS = _registry("metric", MMENGINE_METRICS, "pckd_mm.evaluation")
MODELS = _registry("model", MMENGINE_MODELS, "pckd_mm.models")
OPTIM_WRAPPERS = _registry(
    "optimizer wrapper", MMENGINE_OPTIM_WRAPPERS, "pckd_mm.engine"
)
TASK_UTILS = _registry("task util", MMENGINE_TASK_UTILS, "pckd_mm.models")
TRANSFORMS = _registry("transform", MMENGINE_TRANSFORMS, "pckd_mm.datasets")
VISBACKENDS = _registry("vis_backend", MMENGINE_VISBACKENDS, "pckd_mm.engine")
