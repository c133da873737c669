"""Show what a run did, in one HTML file that opens anywhere.

  pckd report work_dirs/pckd/letters_resnet20_resnet8_thin
  pckd report work_dirs/vanilla/NAME work_dirs/pckd/NAME --out report

Curves, the share of each loss in the sum and in the student's gradient, what the
preview did and which images were learned later, category centers of student and
teacher, their features in a plane, and what is taken for what. Of detectors, what they
find. It can be called while a run goes on. report.html has all of it, report.md the
same without the images.
"""

import argparse
import shlex
import sys
from pathlib import Path

from pckd_mm.utils.options import require_at_least

from .completion import DIRECTORY, add_path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options.

    Args:
        parser (ArgumentParser): Of the subcommand.
    """
    add_path(
        parser,
        DIRECTORY,
        "work_dirs",
        nargs="+",
        type=Path,
        metavar="WORK_DIR",
        help="folders of runs; several stand side by side",
    )
    add_path(
        parser,
        DIRECTORY,
        "--out",
        type=Path,
        metavar="FOLDER",
        help="where to write [WORK_DIR/report; of several runs report, here]",
    )
    parser.add_argument(
        "--curves-only",
        action="store_true",
        help="what the logs have: no network is run, and no data is needed",
    )
    parser.add_argument(
        "--images",
        type=int,
        default=4,
        metavar="N",
        help="test images of detectors that are drawn [4]",
    )


def run(args: argparse.Namespace) -> int:
    """Write the report.

    Args:
        args (Namespace): What :func:`add_arguments` reads.

    Returns:
        int: Exit status.
    """
    from pckd_mm.analysis.run_report import report_runs
    from pckd_mm.analysis.trained_runs import find_runs

    require_at_least(args.parser, args, dict(images=1))
    folder = args.out
    if folder is None:
        alone = len(args.work_dirs) == 1
        folder = args.work_dirs[0] / "report" if alone else Path("report")
    command = shlex.join(["pckd", *args.argv])
    try:
        runs = find_runs(args.work_dirs)
        print(report_runs(runs, folder, command, not args.curves_only, args.images))
    except (ImportError, OSError, RuntimeError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    print(f"\nThe report: {folder / 'report.html'}")
    return 0
