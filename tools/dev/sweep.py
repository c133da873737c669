"""Try PCKD with the smallest network of every kind, as student and as teacher.

python tools/dev/sweep.py --out sweep.json --docs                 # all
python tools/dev/sweep.py --only mmpretrain/levit 'mmdet/g*'      # some of them

Each trial is one step of training on random images, in a process of its own: no weights
and no data are needed. It works where the losses are finite, the student learns from
the teacher, and the logits that are distilled are those that the network predicts with.
"""

import os

# Forked processes would wait for threads that stayed behind. Before torch.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import contextlib
import functools
import sys
import warnings
from collections import Counter
from pathlib import Path
from typing import Optional, Sequence

import torch

import pckd_mm  # noqa: F401  before all that imports mmrazor

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(Path(__file__).resolve().parent))
from sweeping import kinds, outcomes, page  # noqa: E402


def main(argv: Optional[Sequence[str]] = None, root: Path = ROOT) -> int:
    """Run the sweep.

    Args:
        argv (Sequence[str], optional): The command line; None for the process's.
        root (Path): Root of the repository, whose docs are written.

    Returns:
        int: Exit status: 1 where a network dies, hangs, fails in words that are not
        ours, or is distilled by other logits than it predicts with.
    """
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--only", nargs="+", metavar="KIND", help="such as mmdet/gfl or 'timm/*'")
    add("--roles", nargs="+", choices=("student", "teacher"), metavar="ROLE")
    add("--out", type=Path, help="JSON file; what it has of other trials is kept")
    add("--docs", action="store_true", help="write the table of docs/networks.md")
    add("--jobs", type=int, default=1, help="processes at a time")
    add("--limit", type=float, default=120, help="seconds that a trial may take")
    add("--list", action="store_true", help="name the kinds, try none")
    args = parser.parse_args(argv)
    try:
        chosen = kinds.choose(args.only)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    if args.list:
        print("\n".join(kind.id for kind in chosen))
        return 0

    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    from sweeping import trial

    _import_all()
    rows = page.read(args.out)
    trials = (
        ((kind, role), functools.partial(trial.attempt, kind, role))
        for kind in chosen
        for role in args.roles or ("student", "teacher")
    )
    tally: Counter = Counter()
    for (kind, role), result in outcomes.run(trials, args.limit, args.jobs):
        tally[result["result"]] += 1
        rows[kind.id, role] = dict(
            kind=kind.id, role=role, source=kind.source, size=kind.size, **result
        )
        said = f"{result['result']}: {result['detail']}".rstrip(": ")
        print(f"{kind.id} as {role} ({result['seconds']} s): {said}", flush=True)
        if args.out:
            page.write_rows(args.out, rows)
    if args.docs:
        page.write(root / "docs" / "networks.md", rows)
    print(", ".join(f"{name}: {count}" for name, count in tally.items()))
    fine = {outcomes.WORKS, outcomes.REFUSED, outcomes.ALONE}
    return int(bool(set(tally) - fine))


def _import_all() -> None:
    """Once, before processes are forked."""
    import mmpretrain.models  # noqa: F401
    import mmrazor.models  # noqa: F401

    import pckd_mm.models  # noqa: F401

    for library in ("mmdet.models", "timm", "transformers", "torchvision.models"):
        with contextlib.suppress(ImportError):
            __import__(library)


if __name__ == "__main__":
    sys.exit(main())
