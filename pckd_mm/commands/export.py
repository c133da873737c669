"""Write the student of a distillation's checkpoint alone.

  pckd export work_dirs/pckd/letters_resnet20_resnet8_thin/epoch_25.pth student.pth

Plain MMPretrain and MMDetection load what is written. Training writes such a file too,
beside each checkpoint.
"""

import argparse

from pckd_mm.utils.checkpoint import export_student

from .completion import FILE


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options.

    Args:
        parser (ArgumentParser): Of the subcommand.
    """
    parser.add_argument(
        "checkpoint", help="checkpoint of a distillation run"
    ).complete = FILE
    parser.add_argument("out", help="file to write").complete = FILE


def run(args: argparse.Namespace) -> int:
    """Write the student.

    Args:
        args (Namespace): What :func:`add_arguments` reads.

    Returns:
        int: Exit status.
    """
    try:
        how_it_loads = export_student(args.checkpoint, args.out)
    except (OSError, ValueError) as error:
        args.parser.exit(1, f"{error}\n")
    if how_it_loads is not None:
        print(f"{args.out}: {how_it_loads}")
    return 0
