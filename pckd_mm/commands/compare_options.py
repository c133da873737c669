"""The options of ``pckd compare``."""

import argparse
import re
from pathlib import Path
from typing import List, Optional, Tuple

from pckd_mm.experiments import ExperimentError
from pckd_mm.experiments.catalogue import DATASET
from pckd_mm.experiments.derived import derive_runs
from pckd_mm.experiments.engine_options import add_engine_options, check_engine_options
from pckd_mm.experiments.inspection import INSPECTION
from pckd_mm.experiments.request import WORK_DIR
from pckd_mm.experiments.run import TEACHER
from pckd_mm.experiments.sharing import SHARED
from pckd_mm.utils.files import WriteError, file_name
from pckd_mm.utils.options import SettingsAction
from pckd_mm.utils.trackers import check_trackers

from .completion import CONFIG, DIRECTORY, add_path
from .shared import add_training_options, require_folder

__all__ = ["add_arguments", "check", "parse_method"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options.

    Args:
        parser (ArgumentParser): Of the subcommand.
    """
    add_path(
        parser,
        CONFIG,
        "config",
        nargs="?",
        help="the config of a distillation: its teacher, its student alone, KD and it "
        "are compared; --methods names others than KD",
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
        help=f"what the names of the configs of --pairs begin with [{DATASET}]",
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
    add_path(
        parser,
        CONFIG,
        "--teacher",
        metavar="CONFIG|CHECKPOINT",
        help="config to train the teacher with, once, or its checkpoint (*.pth) "
        "[that of each config]",
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    add_path(
        parser,
        DIRECTORY,
        "--work-dir",
        type=Path,
        help=f"folder of all runs and of the report [{WORK_DIR}; for a config of your "
        "own work_dirs/CONFIG]",
    )
    add_engine_options(parser, students=True)
    parser.add_argument(
        "--submit",
        choices=["slurm"],
        help="hand each run to Slurm as a job, and stop; --collect makes the report",
    )
    parser.add_argument(
        "--slurm",
        nargs="+",
        action=SettingsAction,
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
    add_training_options(parser)
    parser.add_argument(
        "--cfg-options",
        nargs="+",
        action=SettingsAction,
        default={},
        metavar="KEY=VALUE",
        help="override settings of every config, such as train_cfg.max_epochs=2",
    )


def check(args: argparse.Namespace) -> None:
    """Refuse options that contradict each other, and read those that hold several.

    Args:
        args (Namespace): What :func:`add_arguments` reads; its ``methods`` become a
            dict of seeds.

    Raises:
        SystemExit: For a wrong command line.
    """
    parser = args.parser
    check_engine_options(parser, args)
    if args.dataset is not None and not args.pairs:
        parser.error("--dataset is for --pairs; expected both, or none of them")
    args.dataset = args.dataset or DATASET
    try:
        check_trackers(args.track)
    except ValueError as error:
        parser.exit(1, f"{error}\n")
    if args.submit and args.ray is not None:
        parser.error("--submit and --ray are two ways to train; expected one of them")
    if args.submit and args.collect:
        parser.error("--collect is for what --submit has trained; expected one of them")
    if args.submit and args.share_teacher:
        parser.error(
            "--share-teacher connects processes of one machine; expected it without "
            "--submit"
        )
    if args.submit and args.per_gpu is not None:
        parser.error(
            f"--per-gpu is {args.per_gpu}, and a job of Slurm has its GPU for itself; "
            "expected --submit without it"
        )
    if args.slurm and not (args.submit or args.collect):
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
    if args.work_dir is None:
        name = Path(args.config).stem if args.config else WORK_DIR.name
        args.work_dir = WORK_DIR.with_name(name)
    require_folder(args.work_dir)
    args.teacher_test = None
    if args.config:
        take_config(args)
    if bool(args.methods) != bool(args.pairs):
        parser.error("expected --methods and --pairs together")
    if not args.methods and not args.run:
        parser.error(
            "nothing to compare; expected a config, --methods and --pairs, or --run"
        )
    if args.teacher and len(args.pairs) > 1:
        parser.error("--teacher is one for several --pairs; expected a single pair")
    try:
        methods = [parse_method(text) for text in args.methods]
    except ValueError as error:
        parser.error(str(error))
    args.methods = dict(methods)
    if len(args.methods) < len(methods):
        parser.error("--methods names a method twice; expected different ones")
    folders = [TEACHER, INSPECTION, SHARED]
    for run in args.run:
        name, _, config = run.partition("=")
        if not name or not config:
            parser.error(f"--run is {run}; expected NAME=CONFIG")
        if file_name(name) in folders:
            parser.error(
                f"--run {name} would share the folder {file_name(name)} with another "
                "run; expected different names, and none that is "
                "'teacher', 'inspection' or 'shared_teacher'"
            )
        folders.append(file_name(name))


def take_config(args: argparse.Namespace) -> None:
    """Make runs of the config of a distillation, and of what it is compared with.

    Args:
        args (Namespace): What :func:`add_arguments` reads, with a ``work_dir``; its
            ``run``, ``teacher`` and ``teacher_test`` are set.

    Raises:
        SystemExit: Where that cannot be, and beside options that say other runs.
    """
    if args.pairs:
        args.parser.error("a config and --pairs say different runs; expected one")
    more = [text for text in args.methods if not re.fullmatch(r"[\w.-]+", text)]
    if more:
        args.parser.error(
            f"--methods has {more[0]}, and seeds and settings of one method are for "
            "--pairs; expected names alone beside a config, such as kd dist, and "
            "--seeds for all"
        )
    try:
        derived = derive_runs(
            args.config, args.methods or ["kd"], args.work_dir / "configs"
        )
    except (ExperimentError, WriteError) as error:
        args.parser.exit(1, f"{error}\n")
    args.teacher = args.teacher or derived.teacher
    args.teacher_test = derived.teacher_test
    args.run = [*(f"{name}={path}" for name, path in derived.runs.items()), *args.run]
    args.methods = []


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
