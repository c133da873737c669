"""Reading checkpoints, finding whole ones, fitting them exactly, exporting students.

No code of a checkpoint runs, and what cannot be read is explained: ``pckd_mm.compat``
sees to both for MMEngine's loader.
"""

import contextlib
import errno
import io
import logging
import os
import os.path as osp
import re
import zipfile
from typing import Dict, Iterator, List, Optional, Tuple
from urllib.error import URLError

import torch
from mmengine.logging import print_log
from mmengine.runner import CheckpointLoader
from torch import Tensor, nn

from .files import WriteError, write_whole
from .printable import printable

__all__ = [
    "explaining_unreadable",
    "read_checkpoint",
    "require_whole",
    "find_whole_checkpoint",
    "checkpoint_to_resume",
    "where_resume_goes_on",
    "naming_where_resume_goes_on",
    "model_state_dict",
    "require_same_tensors",
    "load_exactly",
    "export_student",
    "student_beside",
]

# Where an algorithm of MMRazor keeps the student.
_STUDENT = "architecture."
# Full disks, and files of other users.
_NOT_OF_THE_FILE = (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM)
# What to do about a checkpoint that does not fit.
_REMEDY = "change the checkpoint or the network's config"


def _zoo_address(name: str) -> str:
    """The address of the weights, for the name of a model in MMPretrain's zoo."""
    if osp.isfile(name) or "/" in name:
        return name
    from mmpretrain.apis.model import ModelHub

    try:
        return ModelHub.get(name).weights or name
    except ValueError:  # no model of the zoo has this name
        return name


def _damage(path: str) -> Optional[str]:
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
        damage = _damage(local) if _is_zip(local) else None
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


def read_checkpoint(path: str) -> dict:
    """Read a checkpoint on the CPU; no code from it runs.

    Args:
        path (str): A file, a URL, an address that MMEngine knows (``torchvision://``,
            ``open-mmlab://``) or the name of a model in MMPretrain's zoo.

    Returns:
        dict: What the file holds.

    Raises:
        FileNotFoundError: Where there is no such file.
        ConnectionError: Where a URL cannot be fetched.
        ValueError: For a file that is damaged, or needs code to be run.
    """
    try:
        checkpoint = CheckpointLoader.load_checkpoint(
            _zoo_address(path), map_location="cpu", logger="silent"
        )
    except FileNotFoundError:
        raise FileNotFoundError(
            f"There is no checkpoint {path}; expected a file, a URL or the name of a "
            "model in MMPretrain's zoo."
        ) from None
    if not isinstance(checkpoint, dict):
        raise ValueError(
            f"The checkpoint {path} holds a {type(checkpoint).__name__}; expected a "
            "dict of tensors or one with a state_dict."
        )
    for part in (checkpoint, checkpoint.get("state_dict", {})):
        if not isinstance(part, dict) or not all(isinstance(key, str) for key in part):
            raise ValueError(
                f"The checkpoint {path} has a damaged state dict, without names of "
                "tensors; expected a dict of tensors or one with a state_dict: fetch "
                "or save it again."
            )
    return checkpoint


def require_whole(path: str) -> None:
    """Refuse a checkpoint that a run cannot go on from.

    The whole file is read: its checksums, then what it holds, without running code.

    Args:
        path (str): A local file, as MMEngine's runner saves it.

    Raises:
        ValueError: Says what is wrong with it.
    """
    expected = "expected a whole checkpoint of MMEngine's runner"
    damage = _damage(path)
    if damage is not None:
        raise ValueError(f"{path} is not whole ({damage}); {expected}.")
    content = read_checkpoint(path)
    parts = {"state_dict": (), "optimizer": (), "message_hub": ()}
    parts["meta"] = ("epoch", "iter")
    for part, names in parts.items():
        if not isinstance(content.get(part), dict):
            raise ValueError(f"{path} holds no {part}; {expected}.")
        for name in names:
            if name not in content[part]:
                raise ValueError(f"{path} holds no {part}.{name}; {expected}.")


def _kind_and_number(path: str) -> Tuple[Optional[str], int]:
    """``epoch_`` and 12 of ``epoch_12.pth``; None where the name is another one."""
    found = re.fullmatch(r"(.*?)(\d+)\.pth", osp.basename(path))
    return (found[1], int(found[2])) if found else (None, -1)


def _newest_first(folder: str) -> List[str]:
    """Checkpoints of a run that it may be resumed from.

    MMEngine notes the newest in the file ``last_checkpoint``, by its path. The file of
    that name in the folder itself comes before it, since work dirs are moved and
    copied. A higher number is newer where it was written after the note; else an
    earlier run in the folder left it. Without a note the numbers count.
    """
    note, last = osp.join(folder, "last_checkpoint"), ""
    if osp.isfile(note):
        with open(note, encoding="utf-8", errors="replace") as file:
            last = file.read().strip()
    if "://" in last:  # in a remote storage, which cannot be looked through
        return [last]
    kind, newest = _kind_and_number(last)
    kinds = ("epoch_", "iter_") if kind is None else (kind,)
    found: Dict[str, int] = {}
    for place in (folder, osp.dirname(last)):
        if found or not osp.isdir(place):
            continue
        for name in os.listdir(place):
            path = osp.join(place, name)
            of_kind, number = _kind_and_number(name)
            if of_kind not in kinds or not osp.isfile(path):
                continue
            if kind is None or number <= newest:
                found[path] = number
            elif osp.getmtime(path) >= osp.getmtime(note):
                found[path] = number
    if not found:  # it has a name of its own
        for path in (osp.join(folder, osp.basename(last)), last):
            if osp.isfile(path):
                found = {path: 0}
                break
    if last and not found:
        raise FileNotFoundError(
            f"{note} names {last}, which is not there, and no other checkpoint "
            "is; expected one to go on from: bring it back, or remove "
            f"{note} to begin anew."
        )
    return sorted(found, key=lambda path: (found[path], path), reverse=True)


def find_whole_checkpoint(folder: str) -> Optional[str]:
    """Find the newest checkpoint of a run that is whole.

    Each one that is not is named in a warning, with the reason. The answer depends on
    the files only, so that all processes of a run that see the same file system find
    the same one.

    Args:
        folder (str): Work dir of the run, which may have been moved.

    Returns:
        str | None: Its path; None where no checkpoint was saved.

    Raises:
        FileNotFoundError: Where the checkpoint that was noted is gone, and all others.
        ValueError: Where there are checkpoints, and none is whole.
    """
    broken = []
    for path in _newest_first(folder):
        if "://" in path:
            return path
        try:
            require_whole(path)
        except ValueError as error:
            broken.append(str(error))
        else:
            for reason in broken:
                warning = f"{reason} The one before it, {path}, is used."
                print_log(warning, logger="current", level=logging.WARNING)
            return path
    if not broken:
        return None
    raise ValueError(
        f"No checkpoint of this run in {folder} is whole: {' '.join(broken)} "
        "Bring one back, or train in another work dir."
    )


def checkpoint_to_resume(work_dir: str, path: str = "auto") -> Optional[str]:
    """The checkpoint that ``--resume`` goes on from.

    Args:
        work_dir (str): Work dir of the run.
        path (str): A checkpoint, a work dir with several, or "auto" for the newest
            whole one of this run. Defaults to "auto".

    Returns:
        str | None: Its path; None where the run is to begin.

    Raises:
        FileNotFoundError: Where it is not there.
        ValueError: Where it is not whole; names one in its folder that is.
    """
    if path == "auto":
        return find_whole_checkpoint(work_dir)
    if "://" in path:
        return path
    if osp.isdir(path):
        found = find_whole_checkpoint(path)
        if found is None:
            raise FileNotFoundError(
                f"There is no checkpoint in {path}; expected one to resume from."
            )
        return found
    try:
        if not osp.isfile(path):
            raise FileNotFoundError(
                f"There is no checkpoint {path}; expected a file to resume from."
            )
        require_whole(path)
    except (FileNotFoundError, ValueError) as error:
        other = None
        with contextlib.suppress(FileNotFoundError, ValueError):
            other = find_whole_checkpoint(osp.dirname(path) or ".")
        advice = f"{other} is whole." if other else "No other one beside it is whole."
        raise type(error)(f"{error} {advice}") from error
    return path


def where_resume_goes_on(work_dir: str) -> str:
    """What ``--resume`` will do, in words.

    Args:
        work_dir (str): Work dir of the run.

    Returns:
        str: Half a sentence.
    """
    try:
        path = find_whole_checkpoint(work_dir)
    except (FileNotFoundError, ValueError) as error:
        return f"--resume has nothing to go on from: {error}"
    if path is None:
        return "no checkpoint was saved yet, so that --resume begins anew"
    return f"--resume goes on from the newest whole checkpoint, {path}"


@contextlib.contextmanager
def naming_where_resume_goes_on(work_dir: str) -> Iterator[None]:
    """Within it a file that cannot be written ends the run with what to do.

    Args:
        work_dir (str): Work dir of the run.
    """
    try:
        yield
    except WriteError as error:
        advice = f"make room; {where_resume_goes_on(work_dir)}"
        raise WriteError(error.errno, f"{error.strerror}; {advice}.") from error


def model_state_dict(checkpoint: dict) -> Dict[str, Tensor]:
    """The tensors of one plain network in a checkpoint.

    Args:
        checkpoint (dict): A state dict, or a checkpoint with one; of a network, or of
            a distillation, of which the student is taken.

    Returns:
        dict[str, Tensor]: State dict of the network.
    """
    state = checkpoint.get("state_dict", checkpoint)
    state = {name.removeprefix("module."): value for name, value in state.items()}
    student = {
        name.removeprefix(_STUDENT): value
        for name, value in state.items()
        if name.startswith(_STUDENT)
    }
    return student or state


def require_same_tensors(
    state: Dict[str, Tensor],
    expected: Dict[str, Tensor],
    source: str,
    network: str,
    remedy: str = _REMEDY,
) -> None:
    """Refuse a state dict that differs in a name or shape from the expected one.

    Args:
        state (dict[str, Tensor]): The tensors.
        expected (dict[str, Tensor]): Tensors of the same names and shapes.
        source (str): Name of the tensors' origin, for the message.
        network (str): Name of the network, for the message.
        remedy (str): What to do, for the message.

    Raises:
        ValueError: Lists the tensors that are missing, of another shape, or unknown.
    """
    problems = [f"{name} is missing" for name in expected if name not in state]
    problems += [f"{name} is unknown" for name in state if name not in expected]
    for name in expected.keys() & state.keys():
        found, wanted = _form(state[name]), _form(expected[name])
        if found != wanted:
            problems.append(f"{name} is {found} instead of {wanted}")
    if problems:
        shown = "; ".join(printable(each, 300) for each in sorted(problems)[:20])
        more = f"; and {len(problems) - 20} more" if len(problems) > 20 else ""
        raise ValueError(
            f"{source} does not fit the {network} in {len(problems)} "
            f"tensors: {shown}{more}. Expected the checkpoint of this very network: "
            f"{remedy}."
        )


def _form(value: object) -> object:
    """The shape of a tensor; of a module's extra state its type."""
    is_tensor = isinstance(value, Tensor)
    return tuple(value.shape) if is_tensor else type(value).__name__


def load_exactly(
    module: nn.Module,
    state: Dict[str, Tensor],
    source: str,
    remedy: str = _REMEDY,
) -> None:
    """Load a state dict that fits in every tensor, or none of it.

    Args:
        module (nn.Module): The network.
        state (dict[str, Tensor]): Its tensors.
        source (str): Name of their origin, for the message.
        remedy (str): What to do, for the message.

    Raises:
        ValueError: Lists the tensors that are missing, of another shape, or unknown.
    """
    network = type(module).__name__
    require_same_tensors(state, module.state_dict(), source, network, remedy)
    module.load_state_dict(state)


def student_beside(checkpoint: str) -> str:
    """Where the student of a distillation checkpoint lies, once it is exported.

    Args:
        checkpoint (str): Path of the checkpoint, such as ``epoch_4.pth``.

    Returns:
        str: Path of the student alone, such as ``epoch_4_student.pth``.
    """
    return osp.splitext(checkpoint)[0] + "_student.pth"


def export_student(checkpoint: str, out: str) -> None:
    """Write the student of a distillation checkpoint alone.

    The file holds the student's tensors under the names of the plain network,
    the names of the categories, and epoch and seed of the run.

    Args:
        checkpoint (str): Path of a checkpoint of a distillation run.
        out (str): Path of the file to write.

    Raises:
        ValueError: Where the checkpoint holds no student.
        WriteError: Where the file cannot be written.
    """
    content = read_checkpoint(checkpoint)
    state = content.get("state_dict", {})
    if not any(name.startswith(_STUDENT) for name in state):
        raise ValueError(
            f"The checkpoint {checkpoint} holds no student; expected one of a "
            f"distillation run, with tensors named {_STUDENT}*: a plain network's "
            "checkpoint needs no export."
        )
    meta = _plain_meta(content.get("meta"))
    with io.BytesIO() as file:
        torch.save({"meta": meta, "state_dict": model_state_dict(content)}, file)
        write_whole(out, file.getvalue())


def _plain_meta(meta: Optional[dict]) -> dict:
    kept = ("dataset_meta", "epoch", "iter", "seed", "mmengine_version")
    return {name: meta[name] for name in kept if name in (meta or {})}
