"""What a comparison would do, before it does anything."""

import json
import shlex
from pathlib import Path
from typing import List, Optional, Sequence

from .places import Place
from .planned import PlannedTable, all_runs, left_of
from .run import SECONDS, Run
from .scheduler import duration, time_left
from .sharing import shared_part

__all__ = ["describe", "expected_seconds"]


def expected_seconds(run: Run, fresh: bool = False) -> Optional[float]:
    """How long the epochs that a run lacks took runs of other seeds in its folder.

    Args:
        run (Run): The run.
        fresh (bool): Whether it is repeated as a whole. Defaults to False.

    Returns:
        float, optional: Seconds; None where no other seed is finished.
    """
    # A folder that was set aside, NAME.old, was of another training.
    seeds = [path for path in run.kin.glob("seed_*") if "." not in path.name]
    found = [_seconds_per_epoch(seed / "finished.json") for seed in seeds]
    known = [seconds for seconds in found if seconds is not None]
    if not known:
        return None
    kept = 0 if fresh else run.epochs_kept()
    return sum(known) / len(known) * (run.epochs - kept)


def _seconds_per_epoch(path: Path) -> Optional[float]:
    return json.loads(path.read_text()).get(SECONDS) if path.is_file() else None


def describe(
    tables: Sequence[PlannedTable], places: Sequence[Place] = (), fresh: bool = False
) -> str:
    """What would be trained, where, with which command, and what is done already.

    Args:
        tables (Sequence[PlannedTable]): What is planned.
        places (Sequence[Place]): Where runs would be trained. Defaults to none.
        fresh (bool): Whether finished runs are repeated. Defaults to False.

    Returns:
        str: Two lines for each run that is not finished, one for others, and a sum.
    """
    runs = all_runs(tables)
    left = left_of(runs, fresh)
    free = list(places)
    lines: List[str] = []
    for run in runs:
        words = ["removed, anew" if fresh and run.is_begun else run.state()]
        if run in left:
            waits = run.after in left
            words += [_where(places, None if waits or not free else free.pop(0))]
            words += [f"after {run.after}"] if waits else []
            words += ["with a shared teacher"] if shared_part(run.cfg) else []
            seconds = expected_seconds(run, fresh)
            words += [f"about {duration(seconds)}"] if seconds is not None else []
        text = ", ".join(filter(None, words))
        lines.append(f"{run}: {text}  [{run.made_from}]")
        if run in left:
            # The name alone, as one types it.
            lines.append(f"    {shlex.join(['python', *run.command()])}")
    total = f"{len(runs)} runs, {len(runs) - len(left)} finished"
    of_each = [expected_seconds(run, fresh) for run in left]
    known = [seconds for seconds in of_each if seconds is not None]
    if left and places and len(known) == len(left):
        at_a_time = len(places) * (runs[0].settings.share_teacher or 1)
        total += f", about {duration(time_left(known, at_a_time))} for the others"
    return "\n".join([*lines, total])


def _where(places: Sequence[Place], place: Optional[Place]) -> str:
    """The place of a run: its own, or whichever comes free."""
    kinds = list(dict.fromkeys(map(str, places)))
    if len(kinds) == 1:
        return f"on {kinds[0]}"
    if place is not None:
        return f"on {place}"
    return f"on the first that is free of {', '.join(kinds)}" if kinds else ""
