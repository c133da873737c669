"""Search the weights of the losses, or any settings of a config, without the test set.

python tools/tune.py configs/pckd/cifar100_resnet20_resnet8_6e.py --trials 30

trains up to 30 students, each with other weights, on nine tenths of the training
images, and measures them on the tenth that is held out, the same one for all. The test
set is not read. The first trial has the weights of the config. Optuna suggests the
others, and those that lag behind are stopped early, so that most of them are cheap.

The end is WORK_DIR/report.md: all trials, what mattered, the winner as a config, and
the commands that train it on all images. Other settings than the weights:

python tools/tune.py configs/kd/cifar100_resnet20_resnet8_6e.py \\
    --search loss_kd=0.1..10 loss_kd.tau=1..16 optim_wrapper.optimizer.lr=0.01..0.5

Started again after an interruption, the same command goes on; no trial is lost.
A larger --trials goes on with more.
"""

import argparse
import os
import shlex
import signal
import sys
from pathlib import Path
from typing import List, Optional, Sequence

from mmengine.config import DictAction

from pckd_mm.experiments import ExperimentError, Settings
from pckd_mm.experiments.engine_options import (
    add_engine_options,
    check_engine_options,
    make_executor,
)
from pckd_mm.experiments.places import find_places
from pckd_mm.utils.precision import add_amp_options

ROOT = Path(__file__).resolve().parents[1]
WORK_DIR = Path("work_dirs/tune")


def parse_args(argv: Optional[Sequence[str]] = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("config", help="path of the config, a classifier's")
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
    parser.add_argument(
        "--work-dir",
        type=Path,
        help=f"folder of all of it [{WORK_DIR}/METHOD/CONFIG, as in configs/]",
    )
    add_engine_options(parser)
    add_amp_options(parser)
    parser.add_argument(
        "--cfg-options",
        nargs="+",
        action=DictAction,
        default={},
        metavar="KEY=VALUE",
        help="override settings of the config, such as train_cfg.max_epochs=2",
    )
    args = parser.parse_args(argv)
    args.argv = list(sys.argv[1:] if argv is None else argv)
    check_engine_options(parser, args)
    for option, least in (("trials", 1), ("grace", 1)):
        value = getattr(args, option)
        if value is not None and value < least:
            parser.error(f"--{option} is {value}; expected {least} or more")
    if not 0 < args.val_share < 1:
        parser.error(
            f"--val-share is {args.val_share}; expected a share between 0 and 1"
        )
    if args.work_dir is None:
        config = Path(args.config)
        args.work_dir = WORK_DIR / config.parent.name / config.stem
    return args


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Search, print the trials and where the report is.

    Args:
        argv (Sequence[str], optional): The command line; None for the process's.

    Returns:
        int: Exit status.
    """
    args = parse_args(argv)

    def end(number, frame):
        raise KeyboardInterrupt

    # What is trained must not outlive this process.
    before = signal.signal(signal.SIGTERM, end)
    try:
        table = _tune(args)
    except ExperimentError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Stopped; the same command goes on from here.", file=sys.stderr)
        return 130
    finally:
        signal.signal(signal.SIGTERM, before)
    print(f"\n{table}\n\nReport: {args.work_dir / 'report.md'}")
    return 0


def _tune(args: argparse.Namespace) -> str:
    try:
        from pckd_mm.experiments.ray_cluster import RayCluster
        from pckd_mm.tuning import Tuning, find_ranges, tune
    except ImportError as error:
        raise ExperimentError(
            f"A search needs Ray Tune and Optuna, and {error.name} is not installed: "
            "pip install -e .[scale]"
        ) from None
    threads = args.threads
    if args.ray is None:
        try:
            _, threads = find_places(
                args.jobs, args.per_gpu, args.threads, args.gpus_per_run
            )
        except ValueError as error:
            raise ExperimentError(str(error)) from None

    def make_cluster() -> RayCluster:
        return RayCluster(args.ray, args.per_gpu, threads, args.gpus_per_run)

    settings = Settings(
        ROOT, args.cfg_options, args.amp, args.val_share, args.gpus_per_run
    )
    tuning = Tuning(
        args.config,
        find_ranges(args.config, args.search, args.cfg_options),
        settings,
        args.work_dir,
        args.trials,
        args.seed,
        args.teacher,
        args.grace,
        args.jobs,
        args.retries,
    )
    command: List[str] = ["python", "tools/tune.py", *args.argv]
    return tune(tuning, lambda: make_executor(args), make_cluster, shlex.join(command))


if __name__ == "__main__":
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    sys.exit(main())
