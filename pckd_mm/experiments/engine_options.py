"""Options of the command line that say what trains runs."""

import argparse

from pckd_mm.utils.options import require_at_least

from .executor import Executor, LocalExecutor
from .job import ExperimentError
from .places import find_places

__all__ = ["add_engine_options", "check_engine_options", "make_executor"]

# Where the user does not say.
_RETRIES = 3


def add_engine_options(parser: argparse.ArgumentParser, students: bool = False) -> None:
    """Add the options that :func:`make_executor` reads.

    Args:
        parser (ArgumentParser): The parser of a tool.
        students (bool): Whether what is trained are students that may share a teacher's
            pass. Defaults to False.
    """
    parser.set_defaults(share_teacher=None)
    if students:
        parser.add_argument(
            "--share-teacher",
            type=int,
            nargs="?",
            const=8,
            metavar="N",
            help="train up to N students of one teacher, data and schedule at a time, "
            "on one device, and run the teacher once for all of them; their images "
            "come in one order and with the same views, whatever their seeds; write it "
            "behind a config [8]",
        )
    parser.add_argument(
        "--jobs",
        type=int,
        help="runs at a time [1 on each GPU; without a GPU 2, if cores allow]",
    )
    parser.add_argument(
        "--per-gpu", type=int, metavar="N", help="runs at a time on each GPU [1]"
    )
    parser.add_argument(
        "--gpus-per-run",
        type=int,
        default=1,
        metavar="N",
        help="GPUs of each run, on one machine; the batch size of a config is that of "
        "one of them [1]",
    )
    parser.add_argument(
        "--threads",
        type=int,
        help="threads of a run [cores / runs at a time; of a job of Slurm 1]",
    )
    parser.add_argument(
        "--ray",
        nargs="?",
        const="auto",
        metavar="ADDRESS",
        help="train on the machines of a Ray cluster with a shared file system "
        "[that which this machine is part of]",
    )
    parser.add_argument(
        "--retries",
        type=int,
        metavar="N",
        help="with --ray: how often a run goes on elsewhere when its machine is lost "
        f"[{_RETRIES}]",
    )


def check_engine_options(
    parser: argparse.ArgumentParser, args: argparse.Namespace
) -> None:
    """End with a message where a number cannot be, or an option has no use."""
    least = ("jobs", "per_gpu", "gpus_per_run", "threads", "share_teacher")
    require_at_least(parser, args, {**dict.fromkeys(least, 1), "retries": 0})
    if args.retries is not None and args.ray is None:
        parser.error("--retries is for machines of a Ray cluster; expected --ray, too")
    args.retries = _RETRIES if args.retries is None else args.retries
    if args.share_teacher and (args.ray is not None or args.gpus_per_run > 1):
        parser.error(
            "--share-teacher connects processes of one machine and one device; "
            "expected it without --ray and --gpus-per-run"
        )


def make_executor(args: argparse.Namespace) -> Executor:
    """What trains runs, as the options ask for it.

    Args:
        args (Namespace): The options of :func:`add_engine_options`.

    Returns:
        Executor: To be closed in the end.

    Raises:
        ExperimentError: Where it is not there, or does not have what is asked for.
    """
    wanted = (args.jobs, args.per_gpu, args.threads)
    if args.ray is not None:
        from .ray_executor import RayExecutor  # Ray takes a while to import

        return RayExecutor(args.ray, *wanted, args.retries, args.gpus_per_run)
    try:
        together = args.share_teacher or 1
        return LocalExecutor(*find_places(*wanted, args.gpus_per_run, together))
    except ValueError as error:
        raise ExperimentError(str(error)) from None
