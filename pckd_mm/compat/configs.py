"""MMEngine 0.10 finds this package's configs, bases of either kind, and both soon.

MMEngine knows the names of OpenMMLab's own packages only, looks for an installed
package where its metadata are, which for an editable install is elsewhere, and refuses
a config with ``_base_`` whose base has ``read_base()``, and the other way round. For
each base of another package it lists what is installed anew, and parses all metafiles
of that package; and it lays a run's config out anew for each log and each checkpoint.
"""

import contextlib
import functools
from importlib import import_module
from typing import Any, Dict, Iterator, Optional, Tuple

from mmengine.config import Config, ConfigDict
from mmengine.config import utils as config_utils
from mmengine.config.utils import MODULE2PACKAGE
from mmengine.utils import get_installed_path

from pckd_mm.utils.shipped import MIM, PACKAGE, find_config

__all__ = [
    "find_configs_of_this_package",
    "lay_out_once",
    "look_packages_up_once",
    "read_bases_of_either_kind",
]

# Texts of configs that are kept: those of a run, its teacher and its student.
TEXTS = 16
# MMEngine's modules that read and write configs, and find those of packages.
_READER: Any = import_module("mmengine.config.config")
_HUB: Any = import_module("mmengine.hub.hub")


def find_configs_of_this_package() -> None:
    """Let ``pckd_mm::METHOD/CONFIG`` and ``pckd_mm.configs`` be found."""
    MODULE2PACKAGE[PACKAGE] = PACKAGE

    @functools.wraps(get_installed_path)
    def installed_path(package: str) -> str:
        return str(MIM.parent) if package == PACKAGE else get_installed_path(package)

    for module in (_READER, _HUB):
        module.get_installed_path = installed_path

    inner = Config._get_cfg_path

    @functools.wraps(inner)
    def _get_cfg_path(cfg_path: str, filename: str) -> Tuple[str, Optional[str]]:
        if cfg_path.startswith(f"{PACKAGE}::"):
            # Without a scope: the names in these configs are those of their libraries.
            return find_config(cfg_path), None
        return inner(cfg_path, filename)

    Config._get_cfg_path = staticmethod(_get_cfg_path)


@contextlib.contextmanager
def _laziness(lazy: bool) -> Iterator[None]:
    """The state that MMEngine reads a config of the one or the other kind in."""
    before = ConfigDict.lazy
    ConfigDict.lazy = lazy
    try:
        yield
    finally:
        ConfigDict.lazy = before


def read_bases_of_either_kind() -> None:
    """Let configs with ``_base_`` have bases with ``read_base()``, and vice versa."""
    with_base, with_read_base = Config._file2dict, Config._parse_lazy_import

    @functools.wraps(with_base)
    def _file2dict(filename: str, *args: Any, **kwargs: Any) -> Tuple[dict, str, dict]:
        lazy_import = kwargs.get("lazy_import", (*args, None, None, None)[2])
        if lazy_import is None and Config._is_lazy_import(filename):
            with _laziness(False):
                cfg = Config.fromfile(filename)
            return cfg.to_dict(), cfg.text, {}
        return with_base(filename, *args, **kwargs)

    @functools.wraps(with_read_base)
    def _parse_lazy_import(filename: str) -> Tuple[ConfigDict, set]:
        if Config._is_lazy_import(filename) or not Config._get_base_files(filename):
            return with_read_base(filename)
        with _laziness(False):
            cfg_dict = Config._file2dict(filename)[0]
        return Config._dict_to_config_dict_lazy(cfg_dict), set()

    Config._file2dict = staticmethod(_file2dict)
    Config._parse_lazy_import = staticmethod(_parse_lazy_import)


def look_packages_up_once() -> None:
    """Let a process keep what it found of installed packages.

    mmdet has about a hundred metafiles, which it would parse for each base of each
    config. What is not installed is looked for again.
    """
    config_utils.load = functools.lru_cache(None)(config_utils.load)
    looked_up, found = _READER.is_installed, set()

    @functools.wraps(looked_up)
    def is_installed(package: str) -> bool:
        if package not in found and looked_up(package):
            found.add(package)
        return package in found

    _READER.is_installed = is_installed


def lay_out_once() -> None:
    """Let a process keep the texts of configs, which yapf takes long to lay out.

    A run asks for that of its own at its start three times, and for each checkpoint.
    """
    lay_out = _READER.FormatCode
    kept: Dict[Tuple[str, str], Tuple[str, bool]] = {}

    @functools.wraps(lay_out)
    def format_code(text: str, **settings: Any) -> Tuple[str, bool]:
        key = text, repr(settings)
        if key not in kept:
            if len(kept) == TEXTS:
                del kept[next(iter(kept))]
            kept[key] = lay_out(text, **settings)
        return kept[key]

    _READER.FormatCode = format_code
