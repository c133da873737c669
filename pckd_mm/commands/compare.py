"""Compare methods: train each over pairs of networks and seeds, then write a report.

  pckd compare --methods kd pckd --pairs resnet56_resnet20 wrn_40_2_wrn_16_2
  pckd compare --methods pckd:0,1,2 kd:0,1,2 all:0 \\
      --pairs resnet20_resnet8_30e --work-dir work_dirs/cifar100_30e

trains configs/METHOD/cifar100_PAIR.py. The student alone, which gains are over, is
always among them (configs/vanilla), with the seeds of all methods of the pair. The
teacher is the config's teacher_ckpt where that file is, which is then tested; else it
is trained once from the config's teacher_config. Configs of any other name:

  pckd compare --teacher vanilla/cifar100_resnet56 \\
      --run alone=vanilla/cifar100_resnet20 \\
      --run mine=kd/cifar100_resnet56_resnet20 \\
      --seeds 0 1 2 --work-dir work_dirs/resnet56_resnet20

A distillation's config of your own, such as pckd init writes, is enough:

  pckd compare photos_resnet34_mobilenet_v2.py

trains its teacher, its student alone, with KD, and with the config itself. A teacher
that is there, by --teacher or as the config's teacher_ckpt, is tested instead.

Started again after an interruption, the same command goes on: runs that are finished
are not repeated, a run that was cut off continues from its last checkpoint. A run
whose config, seed or teacher has changed, or an option such as --amp, is trained anew;
what was there is kept, as NAME.old. A run that fails does not end the others.

The report is renewed after each run: report.html, which has all of it in one file, and
report.md and report.json. What counts of a run is the metric that its config validates
by, after the last epoch: top-1, or the mAP@0.5 of mmdet's VOCMetric. The best epoch
stands beside it, to compare with published values. So detectors are compared by
--dataset voc --pairs frcnn_r101_r50 gfl_r101_r50, which are
configs/METHOD/voc_frcnn_r101_r50.py and configs/METHOD/voc_gfl_r101_r50.py.
"""

import argparse
import contextlib
import shlex
import sys
from typing import Any, Optional, Sequence

from pckd_mm.experiments import (
    Appendix,
    ExperimentError,
    Request,
    all_runs,
    check_buildable,
    compare,
    describe,
    left_of,
    make_plan,
)
from pckd_mm.experiments.engine_options import make_executor
from pckd_mm.experiments.lock import alone_in
from pckd_mm.utils.files import WriteError

from . import parse
from .compare_options import add_arguments, check, parse_method
from .shared import ROOT, settings_from, sigterm_stops

__all__ = ["add_arguments", "main", "parse_args", "parse_method", "run"]


def hand_over(request: Request, args: argparse.Namespace) -> None:
    """Check the runs, hand them to Slurm, and say as which jobs.

    Raises:
        ExperimentError: Where one cannot be built, or Slurm takes none.
    """
    from pckd_mm.experiments import slurm  # its library is not needed otherwise

    runs = all_runs(make_plan(request))
    slurm.check_slurm()
    check_buildable(left_of(runs, args.fresh))
    parameters = slurm.job_parameters(
        args.slurm, ROOT, args.gpus_per_run, args.jobs, args.threads
    )
    folder = args.work_dir / "slurm"
    with alone_in(args.work_dir):  # no call trains them here meanwhile
        jobs = slurm.submit(runs, folder, parameters, args.threads, args.fresh)
    print(*jobs, sep="\n")
    print("The same command with --collect in place of --submit makes the report.")


def parse_args(argv: Sequence[str]) -> argparse.Namespace:
    """Read and check the options.

    Args:
        argv (Sequence[str]): The command line, from the first option on.

    Returns:
        Namespace: What :func:`compare_as_asked` takes.

    Raises:
        SystemExit: For a wrong command line.
    """
    args = parse(["compare", *argv])
    check(args)
    return args


def main(argv: Sequence[str], **shown: Any) -> int:
    """Compare, for a script that writes the command line itself.

    Args:
        argv (Sequence[str]): The command line, from the first option on.
        **shown: What the report shows, see :func:`compare_as_asked`.

    Returns:
        int: Exit status.
    """
    return compare_as_asked(parse_args(argv), **shown)


def run(args: argparse.Namespace) -> int:
    """Compare.

    Args:
        args (Namespace): What :func:`add_arguments` reads.

    Returns:
        int: Exit status.
    """
    check(args)
    return compare_as_asked(args)


def compare_as_asked(
    args: argparse.Namespace,
    title: str = "Comparison",
    notes: Sequence[str] = (),
    command: Optional[str] = None,
    appendix: Optional[Appendix] = None,
) -> int:
    """Compare, print the table and where the report is.

    Args:
        args (Namespace): The options, read and checked.
        title (str): Headline of the report.
        notes (Sequence[str]): Paragraphs of the report that explain it.
        command (str, optional): What was called, for the report; None for ``pckd``
            with its command line.
        appendix (callable, optional): Gives further pictures of the report in the end,
            see :func:`pckd_mm.experiments.compare`.

    Returns:
        int: Exit status.
    """
    command = command or shlex.join(["pckd", *args.argv])

    request = Request(
        settings_from(args),
        args.methods,
        args.pairs,
        dict(run.split("=", 1) for run in args.run),
        args.teacher,
        args.seeds,
        args.dataset,
        args.work_dir,
        args.inspect,
        args.teacher_test,
    )

    try:
        with sigterm_stops():
            if args.submit and not args.dry_run:
                hand_over(request, args)
                return 0
            waits = not (args.submit or args.collect)
            with make_executor(args) if waits else contextlib.nullcontext() as executor:
                if args.dry_run:
                    plan = make_plan(request)
                    check_buildable(left_of(all_runs(plan), args.fresh))
                    places = () if executor is None else executor.places
                    print(describe(plan, places, args.fresh))
                    return 0
                tables, failures = compare(
                    request, title, notes, command, executor, args.fresh, appendix
                )
    except (ExperimentError, WriteError) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        same = "the same command without --fresh" if args.fresh else "the same command"
        print(f"Stopped; {same} goes on from here.", file=sys.stderr)
        return 130
    if tables:
        print(f"\n{tables}\n\nReport: {args.work_dir / 'report.html'}")
    if failures:
        print("\n" + "\n\n".join(failures.values()), file=sys.stderr)
        print(f"\n{len(failures)} failed: {'; '.join(failures)}", file=sys.stderr)
        return 1
    return 0
