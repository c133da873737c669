"""Finding whole checkpoints that a run goes on from."""

import contextlib
import logging
import os
import os.path as osp
import re
from typing import Dict, Iterator, List, Optional, Tuple

from mmengine.logging import print_log

from ..files import WriteError
from .reading import damage_of, read_checkpoint


def require_whole(path: str) -> None:
    """Refuse a checkpoint that a run cannot go on from.

    The whole file is read: its checksums, then what it holds, without running code.

    Args:
        path (str): A local file, as MMEngine's runner saves it.

    Raises:
        ValueError: Says what is wrong with it.
    """
    expected = "expected a whole checkpoint of MMEngine's runner"
    damage = damage_of(path)
    if damage is not None:
        raise ValueError(f"{path} is not whole ({damage}); {expected}.")
    content = read_checkpoint(path)
    parts: Dict[str, Tuple[str, ...]] = {"state_dict": (), "optimizer": ()}
    parts.update(message_hub=(), meta=("epoch", "iter"))
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


def newest_checkpoint(work_dir: str) -> Optional[str]:
    """The newest checkpoint in a work dir, whole or not; None where there is none."""
    with contextlib.suppress(FileNotFoundError):  # of a folder, or what it notes
        return next(iter(_newest_first(work_dir)), None)
    return None


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
