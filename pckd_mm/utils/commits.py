"""The commits that runs were started at."""

import contextlib
import subprocess
from pathlib import Path
from typing import Iterable, Optional, Set

# What they are noted in, in a run's folder.
COMMITS = "commits.txt"
# A run that was resumed may have several.
_AND = ", "


def commit(root: Path) -> Optional[str]:
    """The commit of a repository, None where git does not know.

    An installed package may lie inside of the user's repository, whose commit says
    nothing about it.
    """
    if not (root / ".git").exists():
        return None
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        done = subprocess.run(command, cwd=root, capture_output=True, text=True)
    except OSError:
        return None
    return done.stdout.strip() or None


def note_commit(folder: Path, root: Path) -> None:
    """Note the commit that a run is started at: that of its end may be a later one.

    Args:
        folder (Path): The run's folder.
        root (Path): The repository.
    """
    at = commit(root)
    if at is not None and at not in all_of([noted_commits(folder) or ""]):
        with contextlib.suppress(OSError):  # which is no reason not to train
            with open(folder / COMMITS, "a") as file:
                file.write(f"{at}\n")


def noted_commits(folder: Path) -> Optional[str]:
    """The commits that a run was started at; None where there is no note.

    Args:
        folder (Path): The run's folder.
    """
    path = folder / COMMITS
    return _AND.join(path.read_text().split()) if path.is_file() else None


def all_of(texts: Iterable[str]) -> Set[str]:
    """The commits of several runs.

    Args:
        texts (iterable[str]): Those of each, as :func:`noted_commits` gives them.

    Returns:
        set[str]: Each of them.
    """
    return {each for text in texts for each in text.split(_AND)}
