"""Registries of pckd_mm, children of MMEngine's.

The locations let ``type='pckd_mm.MultiViewDistill'`` work in any config: the first
look-up imports the modules, nobody has to.
"""

from mmengine.registry import DATASETS as MMENGINE_DATASETS
from mmengine.registry import FUNCTIONS as MMENGINE_FUNCTIONS
from mmengine.registry import HOOKS as MMENGINE_HOOKS
from mmengine.registry import MODELS as MMENGINE_MODELS
from mmengine.registry import OPTIM_WRAPPERS as MMENGINE_OPTIM_WRAPPERS
from mmengine.registry import TASK_UTILS as MMENGINE_TASK_UTILS
from mmengine.registry import TRANSFORMS as MMENGINE_TRANSFORMS
from mmengine.registry import Registry

__all__ = [
    "DATASETS",
    "FUNCTIONS",
    "HOOKS",
    "MODELS",
    "OPTIM_WRAPPERS",
    "TASK_UTILS",
    "TRANSFORMS",
]


def _registry(name: str, parent: Registry, *locations: str) -> Registry:
    return Registry(name, scope="pckd_mm", parent=parent, locations=list(locations))


DATASETS = _registry("dataset", MMENGINE_DATASETS, "pckd_mm.datasets")
FUNCTIONS = _registry("function", MMENGINE_FUNCTIONS, "pckd_mm.datasets")
HOOKS = _registry("hook", MMENGINE_HOOKS, "pckd_mm.engine")
MODELS = _registry("model", MMENGINE_MODELS, "pckd_mm.models")
OPTIM_WRAPPERS = _registry(
    "optimizer wrapper", MMENGINE_OPTIM_WRAPPERS, "pckd_mm.engine"
)
TASK_UTILS = _registry("task util", MMENGINE_TASK_UTILS, "pckd_mm.models")
TRANSFORMS = _registry("transform", MMENGINE_TRANSFORMS, "pckd_mm.datasets")
