"""Train a network: a teacher, a student alone, or a student from a teacher.

  pckd train vanilla/letters_resnet20                 a teacher
  pckd train pckd/letters_resnet20_resnet8_thin       a student from it
  pckd train pckd/cifar100_resnet56_resnet20 --fast --amp --resume
  pckd train my_config.py --cfg-options train_cfg.max_epochs=2 randomness.seed=0
  pckd train my_config.py --track tensorboard         curves beside the log

Paths in configs, such as those of data and of teachers, are of the working directory.
What is not there is looked up beside the package's configs.
"""

import argparse
import contextlib
import logging
from typing import Sequence

from mmengine.config import Config
from mmengine.logging import print_log
from mmengine.runner import Runner

from pckd_mm.compat import (
    end_cpu_processes,
    prepare_cpu_processes,
    weights_only_loading,
)
from pckd_mm.engine.console import ConsoleRunner, library_warnings_in_file
from pckd_mm.engine.guards import use_guards
from pckd_mm.engine.hooks import LiveLineHook, RunSummaryHook
from pckd_mm.engine.interruptions import (
    ending_on_sigterm,
    saying_where_resume_goes_on,
    unwinding_undisturbed,
)
from pckd_mm.engine.skip_broken import skip_broken_files
from pckd_mm.engine.speed_options import use_speed_options
from pckd_mm.utils.checkpoint import checkpoint_to_resume
from pckd_mm.utils.endings import networks_of, trace_faults
from pckd_mm.utils.speed_arguments import SpeedArguments
from pckd_mm.utils.trackers import use_trackers

from .completion import DIRECTORY, add_path
from .shared import (
    add_config,
    add_shared_options,
    add_training_options,
    config_from,
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options.

    Args:
        parser (ArgumentParser): Of the subcommand.
    """
    add_config(parser)
    add_path(
        parser,
        DIRECTORY,
        "--work-dir",
        help="folder of logs and checkpoints [work_dirs/METHOD/CONFIG, as in configs/; "
        "of a config of your own work_dirs/CONFIG]",
    )
    parser.add_argument(
        "--resume",
        nargs="?",
        const="auto",
        metavar="PATH",
        help="go on from a checkpoint, or from the newest whole one of a folder [the "
        "work dir]",
    )
    add_training_options(parser)
    parser.add_argument(
        "--auto-scale-lr",
        action="store_true",
        help="scale the learning rate to the batch size of all processes",
    )
    parser.add_argument(
        "--no-live",
        action="store_true",
        help="on a terminal: print a line of the log for every so many steps, in place "
        "of one line that is rewritten",
    )
    parser.add_argument(
        "--verbose",
        action="store_true",
        help="print all of the log, with the environment, all settings and all hooks, "
        "which the log's file has in any case",
    )
    add_shared_options(parser)


def train(cfg: Config, looks: Sequence[str], verbose: bool, live: bool) -> None:
    """Train, and leave nothing of it in memory."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(weights_only_loading())
        if verbose:
            runner = Runner.from_cfg(cfg)
        else:
            write_warnings_to = stack.enter_context(library_warnings_in_file())
            runner = ConsoleRunner.from_cfg(cfg)
            write_warnings_to(runner.logger)
        runner.register_hook(RunSummaryHook(looks))
        line = LiveLineHook()
        if live:
            runner.register_hook(line)
        runner.logger.info(
            f"Networks: {networks_of(cfg.model)}. A fault in compiled code would print "
            "Python's place in it to stderr, not to this log's file."
        )
        stack.enter_context(saying_where_resume_goes_on(runner))
        # Trackers hold back what they have not written.
        stack.enter_context(contextlib.closing(runner.visualizer))
        stack.callback(line.close, runner)
        stack.enter_context(unwinding_undisturbed())
        runner.train()


@ending_on_sigterm()
def run(args: argparse.Namespace) -> int:
    """Train.

    Args:
        args (Namespace): What :func:`add_arguments` reads.

    Returns:
        int: Exit status.
    """
    trace_faults()
    cfg = config_from(args)
    try:
        if args.resume is not None:
            checkpoint = checkpoint_to_resume(cfg.work_dir, args.resume)
            cfg.resume = checkpoint is not None
            if cfg.resume:
                cfg.load_from = checkpoint
            else:  # the run begins, from load_from if the config has it
                print_log(
                    f"There is no checkpoint in {cfg.work_dir}: --resume begins anew.",
                    logger="current",
                    level=logging.WARNING,
                )
        use_speed_options(cfg, SpeedArguments.of(args))
        use_guards(cfg)
        if args.skip_broken:
            skip_broken_files(cfg)
        looks = use_trackers(cfg, args.track)
    except (FileNotFoundError, ValueError) as error:
        raise SystemExit(str(error)) from None
    if args.auto_scale_lr:
        base = (cfg.get("auto_scale_lr") or {}).get("base_batch_size")
        if not isinstance(base, int) or base < 1:
            raise SystemExit(
                f"{args.config} has auto_scale_lr={cfg.get('auto_scale_lr')}; expected "
                "auto_scale_lr=dict(base_batch_size=...) for --auto-scale-lr, the "
                "images that its learning rate is for, 1 or more."
            )
        cfg.auto_scale_lr.enable = True
    prepare_cpu_processes(cfg)

    train(cfg, looks, args.verbose, live=not (args.verbose or args.no_live))
    end_cpu_processes()

    return 0
