"""Turn a checkpoint of the CRD benchmark into one of ours.

  pckd convert repdistiller_to_pckd ckpt_epoch_240.pth teacher.pth --arch resnet56

CHECKPOINT is one of RepDistiller or mdistiller: {'model': ...}, {'state_dict': ...} or
the tensors alone, with or without "module.". No code in it runs. Every tensor must be
one of the network, and none may lack; OUT then serves as teacher_ckpt and for
pckd test with vanilla/cifar100_ARCH.
"""

import argparse

from mmengine.config import Config

from pckd_mm.utils.conversion import (
    Tensors,
    convert_checkpoint,
    published_state_dict,
)
from pckd_mm.utils.repdistiller import config_name, convert_state_dict
from pckd_mm.utils.shipped import find_config

from ..completion import FILE, add_path

NETWORKS = "pckd_mm::networks/cifar100"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options.

    Args:
        parser (ArgumentParser): Of the subcommand.
    """
    add_path(
        parser, FILE, "checkpoint", help="the benchmark's checkpoint, a file or URL"
    )
    add_path(parser, FILE, "out", help="file to write")
    parser.add_argument(
        "--arch",
        required=True,
        help="its network: resnet56, ResNet50, wrn_40_2, ShuffleV1, ...",
    )


def run(args: argparse.Namespace) -> int:
    """Convert.

    Args:
        args (Namespace): What :func:`add_arguments` reads.

    Returns:
        int: Exit status.
    """
    networks = Config.fromfile(find_config(NETWORKS))
    notes = []
    try:
        arch = config_name(args.arch, networks)

        def convert(checkpoint: dict, source: str) -> Tensors:
            state, found = published_state_dict(checkpoint, source)
            notes.extend(found)
            return convert_state_dict(state, arch, networks[arch], source)

        convert_checkpoint(args.checkpoint, args.out, convert, arch=arch)
    except (OSError, ValueError) as error:
        args.parser.exit(1, f"{error}\n")
    notes.insert(0, f"{arch}, for configs/vanilla/cifar100_{arch}.py")
    print(f"{args.out}: {'; '.join(notes)}")

    return 0
