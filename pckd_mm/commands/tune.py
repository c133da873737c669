"""Search the weights of the losses, or any settings of a config, without the test set.

  pckd tune pckd/cifar100_resnet20_resnet8_6e --trials 30

trains up to 30 students, each with other weights, on nine tenths of the training
images, and measures them on the tenth that is held out, the same one for all. The test
set is not read. The first trial has the weights of the config. Optuna suggests the
others, and those that lag behind are stopped early, so that most of them are cheap.

The end is WORK_DIR/report.md: all trials, what mattered, the winner as a config, and
the commands that train it on all images. Other settings than the weights:

  pckd tune kd/cifar100_resnet20_resnet8_6e \\
      --search loss_kd=0.1..10 loss_kd.tau=1..16 optim_wrapper.optimizer.lr=0.01..0.5

Started again after an interruption, the same command goes on; no trial is lost.
A larger --trials goes on with more.
"""

import argparse
import shlex
import sys
from pathlib import Path

from pckd_mm.experiments import ExperimentError
from pckd_mm.experiments.engine_options import (
    add_engine_options,
    check_engine_options,
    make_executor,
)
from pckd_mm.experiments.lock import alone_in
from pckd_mm.experiments.places import find_places
from pckd_mm.utils.files import WriteError
from pckd_mm.utils.options import (
    SettingsAction,
    require_at_least,
    require_share,
)
from pckd_mm.utils.shipped import find_config
from pckd_mm.utils.trackers import check_trackers

from .completion import DIRECTORY, add_path
from .shared import (
    add_config,
    add_training_options,
    require_folder,
    settings_from,
    sigterm_stops,
)

WORK_DIR = Path("work_dirs/tune")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options.

    Args:
        parser (ArgumentParser): Of the subcommand.
    """
    add_config(parser)
    parser.add_argument(
        "--search",
        nargs="+",
        metavar="NAME=LOW..HIGH",
        help="what is varied: loss_kd=0.1..10 for the weight of a loss, "
        "loss_kd.tau=1..16 for another setting of it, else names as in --cfg-options; "
        "NAME=A,B,C for values one by one; 'losses' for the weights of all losses, a "
        "tenth to ten times, and the temperature of loss_kd, a quarter to four times; "
        "ranges above 0 are searched in logarithmic steps [losses]",
    )
    parser.add_argument(
        "--trials", type=int, default=30, metavar="N", help="trials in all [30]"
    )
    parser.add_argument(
        "--val-share",
        type=float,
        default=0.1,
        metavar="SHARE",
        help="share of each category of the training images that is held out [0.1]",
    )
    parser.add_argument(
        "--grace",
        type=int,
        metavar="EPOCHS",
        help="epochs before a trial may be stopped, all of them for none to be [a "
        "ninth of the epochs]",
    )
    parser.add_argument(
        "--teacher",
        metavar="CONFIG|CHECKPOINT",
        help="config to train the teacher with, once, without the held-out images, or "
        "its checkpoint (*.pth) [that of the config]",
    )
    parser.add_argument("--seed", type=int, default=0, help="of all trials [0]")
    add_path(
        parser,
        DIRECTORY,
        "--work-dir",
        type=Path,
        help=f"folder of all of it [{WORK_DIR}/METHOD/CONFIG, as in configs/]",
    )
    add_engine_options(parser)
    add_training_options(parser)
    parser.add_argument(
        "--cfg-options",
        nargs="+",
        action=SettingsAction,
        default={},
        metavar="KEY=VALUE",
        help="override settings of the config, such as train_cfg.max_epochs=2; where "
        "the teacher is trained, of it too, but for those of model",
    )


def check(args: argparse.Namespace) -> None:
    """End with a message where a number cannot be, or no config is of that name.

    Args:
        args (Namespace): What :func:`add_arguments` reads.

    Raises:
        SystemExit: Where something is wrong.
    """
    parser = args.parser
    check_engine_options(parser, args)
    require_at_least(parser, args, dict(trials=1, grace=1))
    require_share(parser, args)
    try:
        check_trackers(args.track)
    except ValueError as error:
        parser.exit(1, f"{error}\n")


def run(args: argparse.Namespace) -> int:
    """Search, print the trials and where the report is.

    Args:
        args (Namespace): What :func:`add_arguments` reads.

    Returns:
        int: Exit status.
    """
    check(args)
    try:
        with sigterm_stops():
            table = _tune(args)
    except (ExperimentError, FileNotFoundError, WriteError) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Stopped; the same command goes on from here.", file=sys.stderr)
        return 130
    print(f"\n{table}")
    return 0


def _tune(args: argparse.Namespace) -> str:
    """The table of all trials, and where the report is."""
    try:
        from pckd_mm.experiments.ray_cluster import RayCluster
        from pckd_mm.tuning import Tuning, find_ranges, tune
    except ImportError as error:
        if isinstance(error, ModuleNotFoundError):
            why = f"{error.name} is not installed: pip install 'pckd_mm[scale]'"
        else:  # such as one that the NumPy at hand is too old for
            cause = str(error.__cause__ or error).partition("\n")[0]
            why = (
                f"they cannot be imported ({cause}); expected versions that go together"
            )
        raise ExperimentError(
            f"A search needs Ray Tune and Optuna, and {why}"
        ) from None
    config = find_config(args.config)
    folder = args.work_dir
    if folder is None:
        folder = WORK_DIR / Path(config).parent.name / Path(config).stem
    require_folder(folder)
    threads, per_gpu, jobs, at_a_time = args.threads, args.per_gpu, 1, args.jobs
    if args.ray is None:
        try:
            places, threads = find_places(
                args.jobs, args.per_gpu, args.threads, args.gpus_per_run
            )
        except ValueError as error:
            raise ExperimentError(str(error)) from None
        # Ray counts what trials take, and so has to be told of what they share.
        jobs = at_a_time = len(places)
        if places[0].device and args.gpus_per_run == 1:
            per_gpu = 1 + max(place.number for place in places)

    def make_cluster() -> RayCluster:
        return RayCluster(args.ray, per_gpu, threads, args.gpus_per_run, jobs)

    tuning = Tuning(
        args.config,
        find_ranges(args.config, args.search, args.cfg_options),
        settings_from(args),
        folder,
        args.trials,
        args.seed,
        args.teacher,
        args.grace,
        at_a_time,
        args.retries,
    )
    command = shlex.join(["pckd", *args.argv])
    with alone_in(folder):
        table = tune(tuning, lambda: make_executor(args), make_cluster, command)
    return f"{table}\n\nReport: {folder / 'report.md'}"
