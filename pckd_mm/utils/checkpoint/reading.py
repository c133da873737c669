"""Reading checkpoints.

No code of a checkpoint runs, and what cannot be read is explained: ``pckd_mm.compat``
sees to both for MMEngine's loader.
"""

import contextlib
import errno
import os.path as osp
import re
import zipfile
from pathlib import Path
from typing import Any, Iterator, List, Optional
from urllib.error import URLError

import torch
from mmengine.runner import CheckpointLoader

from ..printable import printable
from ..shipped import beside_configs
from .fitting import STATE_DICTS

# Checkpoints of a folder that are named.
_NAMED = 5
# Full disks, and files of other users.
_NOT_OF_THE_FILE = (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM)


def zoo_model(name: str) -> Optional[Any]:
    """A model of MMPretrain's zoo.

    Args:
        name (str): Its name, such as ``resnet18_8xb32_in1k``.

    Returns:
        modelindex.models.Model, optional: With its ``config`` and the address of its
        ``weights``; None where the zoo has none of this name.
    """
    if osp.isfile(name) or "/" in name:
        return None
    from mmpretrain.apis.model import ModelHub

    try:
        return ModelHub.get(name)
    except ValueError:  # no model of the zoo has this name
        return None


def classes_of(checkpoint: Any) -> Optional[List[str]]:
    """Names of the categories that a checkpoint says, in the order of its labels.

    Args:
        checkpoint (Any): What :func:`read_checkpoint` gives.

    Returns:
        list[str], optional: The names; None where it says none.
    """
    meta = (checkpoint.get("meta") if isinstance(checkpoint, dict) else None) or {}
    data = meta.get("dataset_meta") or meta  # MMDetection 2 has them in meta itself
    classes = data.get("classes") or data.get("CLASSES")
    return None if classes is None or isinstance(classes, str) else list(classes)


def _zoo_address(name: str) -> str:
    """The address of the weights, for the name of a model in MMPretrain's zoo."""
    found = zoo_model(name)
    return found.weights or name if found is not None else name


def damage_of(path: str) -> Optional[str]:
    """What is wrong with a file in the form that torch writes today; None if nothing.

    The whole file is read, by its checksums; ``torch.serialization.
    set_crc32_options(False)`` writes none.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            if all(part.CRC == 0 for part in archive.infolist()):
                return None
            damaged = archive.testzip()
    except Exception as error:  # damaged headers raise whatever their bytes lead to
        return f"{osp.getsize(path):,} bytes, {printable(str(error), 300)}"
    if damaged is not None:
        return f"its part {printable(damaged, 300)} is damaged"
    return None


def _is_zip(path: str) -> bool:
    if not osp.isfile(path):
        return False
    with open(path, "rb") as file:
        return file.read(4) == b"PK\x03\x04"


@contextlib.contextmanager
def explaining_unreadable(path: str) -> Iterator[None]:
    """Within it a checkpoint that cannot be read says why, in one sentence.

    A local file of today's form is read by its checksums first, since torch reads
    damaged numbers as others.

    Args:
        path (str): What is read: a file or a URL.

    Raises:
        FileNotFoundError: Where there is no such file.
        ConnectionError: Where a URL cannot be fetched.
        ValueError: For a file that is damaged, or needs code to be run.
    """
    expected = "expected a whole file written by torch.save: fetch or save it again."
    local = osp.expanduser(path)
    try:
        damage = damage_of(local) if _is_zip(local) else None
        if damage is None:
            yield
            return
    except FileNotFoundError:
        raise FileNotFoundError(
            f"There is no checkpoint {path}; expected a file or a URL."
        ) from None
    except (ImportError, torch.cuda.OutOfMemoryError):
        raise  # the file is not at fault
    except (URLError, ConnectionError, TimeoutError) as error:
        reason = getattr(error, "reason", None) or error
        raise ConnectionError(
            f"The checkpoint {path} cannot be fetched ({reason}); expected a URL that "
            "can be reached: fetch it elsewhere and name the file."
        ) from error
    except Exception as error:  # a damaged pickle raises whatever its bytes lead to
        if getattr(error, "errno", None) in _NOT_OF_THE_FILE:
            raise
        # torch < 2.4 writes "Unsupported class".
        wanted = re.findall(r"(?:GLOBAL|Unsupported class) ([\w.]+)", str(error))
        if wanted:
            raise ValueError(
                f"The checkpoint {path} is refused, since reading it would run "
                f"{wanted[0]}; expected tensors and plain values only: save its state "
                "dict alone in a script of your own that allows that name by torch."
                "serialization.add_safe_globals, or reads the file by torch.load(..., "
                "weights_only=False), if you trust it."
            ) from error
        # The rest of torch's advice is to trust the file.
        found = re.search(r"WeightsUnpickler error:\s*(.+)", str(error))
        reason = found[1] if found else str(error).strip() or type(error).__name__
        reason = printable(reason.splitlines()[0], 300)
        raise ValueError(
            f"The checkpoint {path} cannot be read ({reason}); {expected}"
        ) from error
    raise ValueError(f"The checkpoint {path} is not whole ({damage}); {expected}")


def _those_there(path: str) -> str:
    """The checkpoints of a folder, for one that is not there."""
    place = Path(path)
    folder = place if place.is_dir() else place.parent
    names = sorted(file.name for file in folder.glob("*.pth"))
    return f"; in {folder} there are {', '.join(names[-_NAMED:])}" if names else ""


def read_checkpoint(path: str) -> dict:
    """Read a checkpoint on the CPU; no code from it runs.

    Args:
        path (str): A file, which may lie beside the package's configs, a URL, an
            address that MMEngine knows (``torchvision://``, ``open-mmlab://``) or the
            name of a model in MMPretrain's zoo.

    Returns:
        dict: What the file holds.

    Raises:
        FileNotFoundError: Where there is no such file.
        ConnectionError: Where a URL cannot be fetched.
        ValueError: For a file that is damaged, or needs code to be run.
    """
    try:
        checkpoint = CheckpointLoader.load_checkpoint(
            _zoo_address(beside_configs(path)), map_location="cpu", logger="silent"
        )
    except FileNotFoundError:
        raise FileNotFoundError(
            f"There is no checkpoint {path}; expected a file, a URL or the name of a "
            f"model in MMPretrain's zoo{_those_there(path)}."
        ) from None
    if not isinstance(checkpoint, dict):
        raise ValueError(
            f"The checkpoint {path} holds a {type(checkpoint).__name__}; expected a "
            "dict of tensors or one with a state_dict."
        )
    parts = [checkpoint, checkpoint.get("state_dict", {})]
    parts += [
        checkpoint[key] for key in STATE_DICTS if isinstance(checkpoint.get(key), dict)
    ]
    for part in parts:
        if not isinstance(part, dict) or not all(isinstance(key, str) for key in part):
            raise ValueError(
                f"The checkpoint {path} has a damaged state dict, without names of "
                "tensors; expected a dict of tensors or one with a state_dict: fetch "
                "or save it again."
            )
    return checkpoint
