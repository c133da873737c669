"""Time that the scalars of a step take to be kept, late in a long run.

python tools/benchmarks/histories.py

MMEngine's histories copy themselves for each value, and the longer a run is, the more
there is to copy. The project's have room for values to come. Both get the learning
rates and times that a step has, in interleaved blocks of one process.
"""

import argparse
import functools
import json
import statistics
from typing import Dict, List

import numpy as np
from mmengine.logging import HistoryBuffer

from measure import made_by, seconds
from pckd_mm.engine.histories import GrowingHistory

# train/lr, train/base_lr, train/time and train/data_time.
SCALARS = 4


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--steps",
        type=int,
        nargs="+",
        default=[10000, 187000],
        help="that the run has done before [10000 187000]",
    )
    parser.add_argument("--repeats", type=int, default=7, help="blocks of each [7]")
    parser.add_argument("--block", type=int, default=50, help="steps in a block [50]")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser.parse_args()


def update(histories: list, times: int) -> None:
    """Add to each of them, as a step does."""
    for _ in range(times):
        for history in histories:
            history.update(0.5)


def measure(steps: int, repeats: int, block: int) -> dict:
    """Milliseconds a step of both, and their ratio."""

    def histories(grow: bool) -> list:
        plain = [HistoryBuffer(np.ones(steps), np.ones(steps)) for _ in range(SCALARS)]
        return [GrowingHistory(history) for history in plain] if grow else plain

    kinds = dict(plain=histories(False), growing=histories(True))
    times: Dict[str, List[float]] = {name: [] for name in kinds}
    for repeat in range(repeats + 1):
        for name, each in kinds.items():
            taken = seconds(functools.partial(update, each, block), "cpu")
            if repeat:  # the first makes room
                times[name].append(1000 * taken / block)
    ratios = (p / g for p, g in zip(times["plain"], times["growing"], strict=True))
    return dict(
        steps=steps,
        **{f"{name}_ms": statistics.median(of) for name, of in times.items()},
        plain_over_growing=statistics.median(ratios),
    )


def main() -> None:
    args = parse_args()
    rows = [measure(steps, args.repeats, args.block) for steps in args.steps]
    if args.json:
        print(json.dumps(dict(rows=rows, **made_by())))
        return
    print("| steps before | MMEngine's, ms a step | growing, ms a step | ratio |")
    print("|---|---|---|---|")
    for row in rows:
        print(
            f"| {row['steps']} | {row['plain_ms']:.4f} | {row['growing_ms']:.4f} | "
            f"{row['plain_over_growing']:.1f} |"
        )


if __name__ == "__main__":
    main()
