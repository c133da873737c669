"""The methods, pairs and students that have configs, and settings of their own."""

import argparse
import contextlib
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Tuple, Union

from mmengine.config import DictAction

from pckd_mm.analysis import published
from pckd_mm.utils import shipped
from pckd_mm.utils.setting_names import setting_name
from pckd_mm.utils.shipped import find_config

from .configs import read_config
from .job import ExperimentError

# Of the working directory, as the paths inside of the configs are, or of the package.
CONFIGS = Path("configs")
VANILLA = "vanilla"
DATASET = "cifar100"


def split_method(method: str) -> Tuple[str, List[str]]:
    """The folder of configs/ and the options of METHOD[@OPTION=VALUE...]."""
    folder, *options = method.split("@")
    return folder, options


def method_options(method: str, config: str) -> Dict[str, Any]:
    """The settings that a method of the command line changes.

    ``pckd@loss_kd=4@loss_cc.tau=1@optim_wrapper.optimizer.lr=0.1`` is PCKD with other
    weight and temperature of two of its losses, and another learning rate.

    Args:
        method (str): METHOD[@OPTION=VALUE...]. An option is a setting of the config, or
            a setting of one of its distillation losses, or the name of such a loss for
            its weight.
        config (str): Path of its config.

    Returns:
        dict: Settings by their names in the config.

    Raises:
        ExperimentError: For a loss that the config does not have.
    """
    _, options = split_method(method)
    if not options:
        return {}
    parser = argparse.ArgumentParser()
    parser.add_argument("--options", nargs="+", action=DictAction)
    found = parser.parse_args(["--options", *options]).options
    return {full_name(key, method, config): value for key, value in found.items()}


def full_name(option: str, method: str, config: str) -> str:
    """Name of a setting in the config.

    Args:
        option (str): ``loss_kd`` for the weight of a distillation loss, ``loss_kd.tau``
            for another setting of it, else the name itself.
        method (str): What needs it, for the message.
        config (str): Path of the config.

    Returns:
        str: The name, with dots.

    Raises:
        ExperimentError: For a loss that the config does not have.
    """
    distiller = read_config(config, method).model.get("distiller", {})
    try:
        name = setting_name(option, distiller.get("distill_losses", {}))
    except ValueError as error:
        raise ExperimentError(f"{method}: {config} {error}") from None
    return option if name == option else f"model.{name}"


def config_path(method: str, name: str) -> Path:
    """Path of a run config."""
    return CONFIGS / method / f"{name}.py"


def has_config(path: Union[str, Path]) -> bool:
    """Whether a config is there, in the working directory or in the package."""
    with contextlib.suppress(FileNotFoundError):
        return bool(find_config(path))
    return False


def has_method(method: str) -> bool:
    """Whether there is a folder of configs of that name."""
    return _folder(method).is_dir()


def _folder(method: str = "") -> Path:
    """The user's folder of configs if it is there, else the package's."""
    mine = CONFIGS / method
    return mine if mine.is_dir() else shipped.CONFIGS / method


def student_config(dataset: str, pair: str) -> Optional[Path]:
    """The config of a pair's student alone.

    Args:
        dataset (str): What the configs' names begin with.
        pair (str): The pair, TEACHER_STUDENT, where a name may hold underscores. What
            both have in common may stand in front, as in ``gfl_r101_r50``.

    Returns:
        Path, optional: The config of configs/vanilla; None where there is none.
    """
    names = (f"{dataset}_{student}" for student in _students(dataset, pair))
    paths = (config_path(VANILLA, name) for name in names)
    return next((path for path in paths if has_config(path)), None)


def _students(dataset: str, pair: str) -> Iterator[str]:
    """What a pair's student may be called."""
    parts = pair.split("_")
    numbers = range(len(parts))
    for begin in numbers[1:]:
        yield "_".join(parts[begin:])
    # What is in front is the pair's where a method has a config of that name.
    if any(_folder().glob(f"[!_]*/{dataset}_{pair}.py")):
        for common in numbers[1:]:
            for begin in numbers[common + 1 :]:
                yield "_".join([*parts[:common], *parts[begin:]])


def pairs_of(method: str, dataset: str) -> List[str]:
    """The pairs that a method has configs of."""
    paths = sorted(_folder(method).glob(f"{dataset}_*.py"))
    pairs = [path.stem.removeprefix(f"{dataset}_") for path in paths]
    return [pair for pair in pairs if student_config(dataset, pair)]


def all_methods(dataset: str = DATASET) -> List[str]:
    """The methods that have configs, in the order of tables."""
    folders = [path.name for path in sorted(_folder().glob("[!_]*")) if path.is_dir()]
    found = [name for name in folders if name != VANILLA and pairs_of(name, dataset)]
    known = [name for name in published.METHODS if name in found]
    return list(dict.fromkeys([*known, *found]))
