"""Compare methods: train each over pairs of networks and seeds, then write a report.

python tools/compare.py --methods kd pckd --pairs resnet56_resnet20 wrn_40_2_wrn_16_2
python tools/compare.py --methods pckd:0,1,2 kd:0,1,2 all:0 \\
    --pairs resnet20_resnet8_30e --work-dir work_dirs/cifar100_30e

trains configs/METHOD/cifar100_PAIR.py. The student alone, which gains are over, is
always among them (configs/vanilla), with the seeds of all methods of the pair. The
teacher is the config's teacher_ckpt where that file is, which is then tested; else it
is trained once from the config's teacher_config. Configs of any other name:

python tools/compare.py --teacher configs/vanilla/cifar100_resnet56.py \\
    --run alone=configs/vanilla/cifar100_resnet20.py \\
    --run mine=configs/kd/cifar100_resnet56_resnet20.py \\
    --seeds 0 1 2 --work-dir work_dirs/resnet56_resnet20

Started again after an interruption, the same command goes on: runs that are finished
are not repeated, a run that was cut off continues from its last checkpoint. A run
whose config, seed or teacher has changed is trained anew; what was there is kept, as
NAME.old. A run that fails does not end the others.

The report is renewed after each run: report.html, which has all of it in one file, and
report.md and report.json. What counts of a run is the metric that its config validates
by, after the last epoch: top-1, or the mAP@0.5 of mmdet's VOCMetric. The best epoch
stands beside it, to compare with published values. So detectors are compared by
--dataset voc_frcnn --pairs r101_r50, which are configs/METHOD/voc_frcnn_r101_r50.py.
"""

import argparse
import contextlib
import re
import shlex
import signal
import sys
from pathlib import Path
from typing import List, Optional, Sequence, Tuple

from mmengine.config import DictAction

from pckd_mm.experiments import (
    Appendix,
    ExperimentError,
    Request,
    Settings,
    all_runs,
    check_buildable,
    compare,
    describe,
    folder_name,
    make_plan,
)
from pckd_mm.experiments.catalogue import DATASET
from pckd_mm.experiments.engine_options import (
    add_engine_options,
    check_engine_options,
    make_executor,
)
from pckd_mm.experiments.inspection import INSPECTION
from pckd_mm.experiments.plan import WORK_DIR
from pckd_mm.experiments.run import TEACHER
from pckd_mm.utils.precision import add_amp_options

ROOT = Path(__file__).resolve().parents[1]


def parse_args(argv: Optional[Sequence[str]] = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--methods",
        nargs="+",
        default=[],
        metavar="METHOD[@OPTION=VALUE...][:SEED,...]",
        help="folders of configs/, or 'all' (others than those named, ablations too, "
        "where they have a config of the pair), 'vanilla' for the student alone; with "
        "seeds of its own where they differ from --seeds; with settings of its own, a "
        "line of the table for each: pckd@loss_kd=4 for the weight of a loss, "
        "pckd@loss_kd.tau=2 for another setting of it, else names as in --cfg-options",
    )
    parser.add_argument(
        "--pairs",
        nargs="+",
        default=[],
        metavar="TEACHER_STUDENT",
        help="pairs of networks as in the configs' names, with the suffix of a short "
        "schedule such as _30e, or 'all'",
    )
    parser.add_argument(
        "--dataset",
        default=DATASET,
        help="what the configs' names begin with [cifar100]",
    )
    parser.add_argument(
        "--run",
        action="append",
        default=[],
        metavar="NAME=CONFIG",
        help="a method and its config; without --methods the first is the student "
        "alone, which gains are over, else it adds a line to the table of its pair; "
        "repeat it for each",
    )
    parser.add_argument(
        "--teacher",
        metavar="CONFIG|CHECKPOINT",
        help="config to train the teacher with, once, or its checkpoint (*.pth) "
        "[that of each config]",
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument(
        "--work-dir",
        type=Path,
        default=WORK_DIR,
        help=f"folder of all runs and of the report [{WORK_DIR}]",
    )
    add_engine_options(parser)
    parser.add_argument(
        "--submit",
        choices=["slurm"],
        help="hand each run to Slurm as a job, and stop; --collect makes the report",
    )
    parser.add_argument(
        "--slurm",
        nargs="+",
        action=DictAction,
        default={},
        metavar="KEY=VALUE",
        help="with --submit: options of sbatch, such as partition=gpu time=12:00:00 "
        "[time=1-00:00:00]",
    )
    parser.add_argument(
        "--collect",
        action="store_true",
        help="make the report of the runs that are finished, and stop",
    )
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="build the networks of each run, print what would be trained where, and "
        "stop; a misspelt setting is named",
    )
    parser.add_argument(
        "--val-share",
        type=float,
        metavar="SHARE",
        help="hold out this share of each category of the training images, such as "
        "0.1, and validate on it; the test set is not read: to choose settings by; a "
        "teacher's checkpoint that is there has seen these images",
    )
    parser.add_argument(
        "--inspect",
        action="store_true",
        help="look into the networks of the first seed when they are trained, for "
        "report.html: images that were previewed longest, category centers, what is "
        "confused; it tests them once more, so it is off by default; classifiers only",
    )
    parser.add_argument("--fresh", action="store_true", help="repeat finished runs")
    add_amp_options(parser)
    parser.add_argument(
        "--cfg-options",
        nargs="+",
        action=DictAction,
        default={},
        metavar="KEY=VALUE",
        help="override settings of every config, such as train_cfg.max_epochs=2",
    )
    args = parser.parse_args(argv)
    args.argv = list(sys.argv[1:] if argv is None else argv)
    check_engine_options(parser, args)
    if args.submit and args.ray is not None:
        parser.error("--submit and --ray are two ways to train; expected one of them")
    if args.submit and args.collect:
        parser.error("--collect is for what --submit has trained; expected one of them")
    if args.submit and args.share_teacher:
        parser.error(
            "--share-teacher connects processes of one machine; expected it without "
            "--submit"
        )
    if args.slurm and not args.submit:
        parser.error("--slurm is for --submit slurm; expected both")
    if args.inspect and (args.submit or args.collect):
        parser.error(
            "--inspect tests networks here, where --submit and --collect do no work; "
            "expected it in a call without them, when the runs are finished"
        )
    if args.collect and (args.fresh or args.ray is not None):
        parser.error("--collect trains nothing; expected no --fresh and no --ray")
    if len(set(args.seeds)) < len(args.seeds):
        parser.error("--seeds names a seed twice; expected different ones")
    if bool(args.methods) != bool(args.pairs):
        parser.error("expected --methods and --pairs together")
    if not args.methods and not args.run:
        parser.error("nothing to compare; expected --methods and --pairs, or --run")
    if args.teacher and len(args.pairs) > 1:
        parser.error("--teacher is one for several --pairs; expected a single pair")
    try:
        methods = [parse_method(text) for text in args.methods]
    except ValueError as error:
        parser.error(str(error))
    args.methods = dict(methods)
    if len(args.methods) < len(methods):
        parser.error("--methods names a method twice; expected different ones")
    folders = [TEACHER, INSPECTION]
    for run in args.run:
        name, _, config = run.partition("=")
        if not name or not config:
            parser.error(f"--run is {run}; expected NAME=CONFIG")
        if folder_name(name) in folders:
            parser.error(
                f"--run {name} would share the folder {folder_name(name)} with another "
                "run; expected different names, and none that is 'teacher' or "
                "'inspection'"
            )
        folders.append(folder_name(name))
    return args


def parse_method(text: str) -> Tuple[str, Optional[List[int]]]:
    """Read METHOD[@OPTION=VALUE...][:SEED,...].

    Args:
        text (str): What the user wrote.

    Returns:
        tuple[str, list[int] | None]: The method with its options, and its seeds if it
        has its own.

    Raises:
        ValueError: Where it is something else.
    """
    pattern = r"([\w.-]+(?:@[^@:=]+=[^@:=]+)*)(?::(\d+(?:,\d+)*))?"
    found = re.fullmatch(pattern, text)
    seeds = [int(seed) for seed in found[2].split(",")] if found and found[2] else None
    if not found or (seeds and len(set(seeds)) < len(seeds)):
        raise ValueError(
            f"--methods has {text}; expected METHOD or METHOD:SEED,SEED with different "
            "seeds, such as pckd:0,1,2, or with options in between, such as "
            "pckd@loss_kd=4:0,1,2"
        )
    return found[1], seeds


def hand_over(request: Request, args: argparse.Namespace) -> None:
    """Check the runs, hand them to Slurm, and say as which jobs.

    Raises:
        ExperimentError: Where one cannot be built, or Slurm takes none.
    """
    from pckd_mm.experiments import slurm  # its library is not needed otherwise

    runs = all_runs(make_plan(request))
    slurm.check_slurm()
    check_buildable([run for run in runs if run.is_left])
    parameters = slurm.job_parameters(
        args.slurm, ROOT, args.gpus_per_run, args.jobs, args.threads
    )
    folder = args.work_dir / "slurm"
    print(*slurm.submit(runs, folder, parameters, args.threads, args.fresh), sep="\n")
    print("The same command with --collect in place of --submit makes the report.")


def main(
    argv: Optional[Sequence[str]] = None,
    title: str = "Comparison",
    notes: Sequence[str] = (),
    command: Optional[str] = None,
    appendix: Optional[Appendix] = None,
) -> int:
    """Compare, print the table and where the report is.

    Args:
        argv (Sequence[str], optional): The command line; None for the process's.
        title (str): Headline of the report.
        notes (Sequence[str]): Paragraphs of the report that explain it.
        command (str, optional): What was called, for the report; None for this tool
            with ``argv``.
        appendix (callable, optional): Gives further pictures of the report in the end,
            see :func:`pckd_mm.experiments.compare`.

    Returns:
        int: Exit status.
    """
    args = parse_args(argv)
    command = command or shlex.join(["python", "tools/compare.py", *args.argv])

    request = Request(
        Settings(
            ROOT,
            args.cfg_options,
            args.amp,
            args.val_share,
            args.gpus_per_run,
            args.share_teacher or 0,
        ),
        args.methods,
        args.pairs,
        dict(run.split("=", 1) for run in args.run),
        args.teacher,
        args.seeds,
        args.dataset,
        args.work_dir,
        args.inspect,
    )

    def end(number, frame):
        raise KeyboardInterrupt

    # The runs must not outlive this process.
    before = signal.signal(signal.SIGTERM, end)
    try:
        if args.submit and not args.dry_run:
            hand_over(request, args)
            return 0
        waits = not (args.submit or args.collect)
        with make_executor(args) if waits else contextlib.nullcontext() as executor:
            if args.dry_run:
                plan = make_plan(request)
                check_buildable([run for run in all_runs(plan) if run.is_left])
                print(describe(plan, executor.places if waits else ()))
                return 0
            tables, failures = compare(
                request, title, notes, command, executor, args.fresh, appendix
            )
    except ExperimentError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        same = "the same command without --fresh" if args.fresh else "the same command"
        print(f"Stopped; {same} goes on from here.", file=sys.stderr)
        return 130
    finally:
        signal.signal(signal.SIGTERM, before)
    if tables:
        print(f"\n{tables}\n\nReport: {args.work_dir / 'report.html'}")
    if failures:
        print("\n" + "\n\n".join(failures.values()), file=sys.stderr)
        print(f"\n{len(failures)} failed: {'; '.join(failures)}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
