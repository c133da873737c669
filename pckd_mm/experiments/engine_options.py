"""Options of the command line that say what trains runs."""

import argparse

from .executor import Executor, LocalExecutor
from .job import ExperimentError
from .places import find_places

__all__ = ["add_engine_options", "check_engine_options", "make_executor"]


def add_engine_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that :func:`make_executor` reads.

    Args:
        parser (ArgumentParser): The parser of a tool.
    """
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
        default=3,
        metavar="N",
        help="with --ray: how often a run goes on elsewhere when its machine is lost "
        "[3]",
    )


def check_engine_options(
    parser: argparse.ArgumentParser, args: argparse.Namespace
) -> None:
    """End with a message where a number cannot be."""
    least = dict.fromkeys(("jobs", "per_gpu", "gpus_per_run", "threads"), 1)
    for option, lowest in {**least, "retries": 0}.items():
        value = getattr(args, option)
        if value is not None and value < lowest:
            option = option.replace("_", "-")
            parser.error(f"--{option} is {value}; expected {lowest} or more")


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
        return LocalExecutor(*find_places(*wanted, args.gpus_per_run))
    except ValueError as error:
        raise ExperimentError(str(error)) from None
