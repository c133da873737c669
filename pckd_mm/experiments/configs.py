"""Configs of runs: read once, and with settings that override their own."""

import functools
from copy import deepcopy
from pathlib import Path
from typing import Any, Mapping

from mmengine.config import Config

from pckd_mm.utils.config import load_config, require_model
from pckd_mm.utils.shipped import find_config

from .job import ExperimentError

_from_file = functools.lru_cache(None)(load_config)


def read_config(path: str, name: str) -> Config:
    """Read a config, once in a process.

    Args:
        path (str): Its path, or its name in a library.
        name (str): What needs it, for the message.

    Returns:
        Config: The config; not to be changed.

    Raises:
        ExperimentError: Where there is none, or none of a training.
    """
    try:
        found = find_config(path)
        cfg = _from_file(found if "::" in found else Path(found).absolute())
        require_model(cfg, path)
    except (FileNotFoundError, ImportError, RuntimeError, ValueError) as error:
        raise ExperimentError(f"{name}: {error}") from None
    return cfg


def changed_config(path: str, name: str, changes: Mapping[str, Any]) -> Config:
    """Read a config, with settings that override its own.

    Args:
        path (str): Its path, or its name in a library.
        name (str): What needs it, for the message.
        changes (Mapping): The settings.

    Returns:
        Config: A config of the caller's own.

    Raises:
        ExperimentError: Where there is none.
    """
    cfg = deepcopy(read_config(path, name))
    cfg.merge_from_dict(dict(changes))
    return cfg
