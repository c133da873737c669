"""What the package brings along: configs, tools and trained weights.

They lie in ``pckd_mm/.mim``, where OpenMMLab's tools look for them. Of a clone these
are links to the folders of the repository.
"""

import os.path as osp
from pathlib import Path
from typing import List, Union

from .nearest import nearest_names

__all__ = ["CONFIGS", "MIM", "beside_configs", "config_names", "find_config"]

MIM = Path(__file__).resolve().parents[1] / ".mim"
CONFIGS = MIM / "configs"
PACKAGE = "pckd_mm"
# What they are made of: its files need not be named in full by who inherits from them.
BASES = "_base_"
# Names that a misspelt one is answered with.
_MOST = 3


def beside_configs(path: Union[str, Path]) -> str:
    """A path of a config, as seen from the working directory or from the package.

    Args:
        path (str | Path): Such as ``zoo/teacher.pth``.

    Returns:
        str: The path as it is where something is there, and where the package has
        nothing of that name; else where it is in the package.
    """
    shipped = osp.join(MIM, path)
    return shipped if osp.isfile(shipped) and not osp.exists(path) else str(path)


def config_names() -> List[str]:
    """The configs that can be run, as ``METHOD/NAME``."""
    found = sorted(CONFIGS.glob("[!_]*/*.py"))
    return [path.relative_to(CONFIGS).with_suffix("").as_posix() for path in found]


def find_config(name: Union[str, Path]) -> str:
    """The file of a config that a user names.

    It is the first of these that is there: a file; a config of the package, as
    ``pckd/NAME``, ``pckd/NAME.py``, ``configs/pckd/NAME.py`` or
    ``pckd_mm::pckd/NAME``; one of its bases, such as ``methods/pckd``; the only one of
    its configs that is called NAME.

    Args:
        name (str | Path): The name. That of another library's config,
            ``mmdet::faster_rcnn/...``, is returned as it is.

    Returns:
        str: Its path.

    Raises:
        FileNotFoundError: Names what it may have been.
    """
    library, is_of_library, rest = str(name).rpartition("::")
    if osp.isfile(name) or (is_of_library and library != PACKAGE):
        return str(name)
    wanted = rest.removeprefix("configs/").removesuffix(".py")
    if "/" not in wanted:
        return str(CONFIGS / f"{_only_one(wanted, str(name))}.py")
    for folder in (CONFIGS, CONFIGS / BASES):
        path = folder / f"{wanted}.py"
        if not osp.isabs(wanted) and osp.isfile(path):
            return str(path)
    raise FileNotFoundError(
        _not_there(str(name), nearest_names(wanted, config_names()))
    )


def _only_one(stem: str, name: str) -> str:
    """The config of a name without its folder."""
    names = config_names()
    found = [full for full in names if full.rpartition("/")[2] == stem]
    if len(found) == 1:
        return found[0]
    if found:
        raise FileNotFoundError(
            f"There are {len(found)} configs {name}; expected one of them with its "
            f"folder: {', '.join(found)}."
        )
    # Of methods that have a config of that name, the one that this package is for.
    names.sort(key=lambda full: full.startswith("pckd/"))
    stems = {full.rpartition("/")[2]: full for full in names}
    alike = [stems[other] for other in nearest_names(stem, stems)]
    raise FileNotFoundError(_not_there(name, [*_own(stem), *alike][:_MOST]))


def _own(stem: str) -> List[str]:
    """Configs of the working folder whose names are near."""
    files = {file.stem: file.name for file in Path().glob("*.py")}
    return [files[near] for near in nearest_names(stem, files)]


def _not_there(name: str, alike: List[str]) -> str:
    meant = f": did you mean {' or '.join(alike)}?" if alike else "."
    if osp.isdir(name):
        meant = f"; this is a folder: pckd init --data {name} writes a config for it."
    return (
        f"There is no config {name}; expected a file, or a config of the package, such "
        f"as pckd/cifar100_resnet56_resnet20{meant}"
    )
