"""Turn a checkpoint of another project into one for here.

  pckd convert repdistiller_to_pckd ckpt_epoch_240.pth teacher.pth --arch resnet56
  pckd convert to_mmpretrain resnet50-0676ba61.pth teacher.pth \\
      --config mmpretrain::resnet/resnet50_8xb32_in1k.py --network torchvision/resnet50

No code in a checkpoint runs. What is written serves as teacher_ckpt.
"""

import argparse

from . import add_commands

CONVERTERS = {
    "repdistiller_to_pckd": "of the CRD benchmark, RepDistiller or mdistiller",
    "to_mmpretrain": "of torchvision or timm",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add a subcommand for each kind of checkpoint.

    Args:
        parser (ArgumentParser): Of the subcommand.
    """
    add_commands(parser, CONVERTERS, f"{__package__}.converters")


def run(args: argparse.Namespace) -> int:
    """The converter that was chosen runs in place of this."""
    raise NotImplementedError
