"""Turn a checkpoint of torchvision or timm into one of mmpretrain, such as a teacher's.

  pckd convert to_mmpretrain resnet50-0676ba61.pth teacher.pth \\
      --config mmpretrain::resnet/resnet50_8xb32_in1k.py --network torchvision/resnet50

CHECKPOINT is the state dict of a whole ResNet, MobileNetV2, MobileNetV3, VGG, DenseNet,
EfficientNet, ConvNeXt, ViT or Swin Transformer, or a dict with it as 'model' or
'state_dict'. No code in it runs. Every tensor must be one of the config's network, and
none may lack; what the network computes besides must be the same. With --network both
networks are run on the same images, and must give the same logits.
"""

import argparse

from torch import nn

from pckd_mm.utils.config import load_config
from pckd_mm.utils.conversion import (
    Tensors,
    build_classifier,
    convert_checkpoint,
    published_state_dict,
)
from pckd_mm.utils.options import SettingsAction
from pckd_mm.utils.printable import first_line
from pckd_mm.utils.shipped import find_config
from pckd_mm.utils.zoo_names import (
    convert_state_dict,
    none_of_ours,
    other_kinds,
    require_same_logits,
)

from ..completion import CONFIG, FILE, add_path


def build(path: str, options: dict) -> nn.Module:
    """Build the network of a config.

    Args:
        path (str): Path of the config, or its name in a library.
        options (dict): Settings to override.

    Raises:
        FileNotFoundError: Where there is no such config.
        ValueError: Where its network cannot be built.
    """
    find_config(path)
    try:
        return build_classifier(load_config(path, options).model)
    except Exception as error:  # a config may name and hand over anything
        raise ValueError(
            f"The network of the config {path} cannot be built ({first_line(error)}); "
            "expected that of an ImageClassifier: see to its model and to "
            "--cfg-options."
        ) from error


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options.

    Args:
        parser (ArgumentParser): Of the subcommand.
    """
    add_path(parser, FILE, "checkpoint", help="the published checkpoint, a file or URL")
    add_path(parser, FILE, "out", help="file to write")
    add_path(
        parser,
        CONFIG,
        "--config",
        required=True,
        help="config of the network: its path, or mmpretrain::resnet/...",
    )
    parser.add_argument(
        "--cfg-options",
        nargs="+",
        action=SettingsAction,
        metavar="KEY=VALUE",
        help="override settings of the config, such as model.head.num_classes=10",
    )
    parser.add_argument(
        "--network",
        metavar="LIBRARY/NAME",
        help="the published network, such as timm/tf_efficientnet_b0: build it, run "
        "both, and compare their logits",
    )


def run(args: argparse.Namespace) -> int:
    """Convert.

    Args:
        args (Namespace): What :func:`add_arguments` reads.

    Returns:
        int: Exit status.
    """
    notes = []

    def convert(checkpoint: dict, source: str) -> Tensors:
        state, found = published_state_dict(checkpoint, source)
        notes.extend(found)
        classifier = build(args.config, args.cfg_options or {})
        converted = convert_state_dict(state, classifier, source)
        if args.network:
            difference, largest = require_same_logits(
                state, classifier, args.network, source
            )
            notes.append(
                f"the logits are those of {args.network}, up to {largest:.3g}, with "
                f"differences up to {difference:.1g}"
            )
            return converted
        notes.append("names, shapes and known settings fit")
        alike = none_of_ours(state, classifier, source)
        if alike:
            notes.append(alike)
        kinds = other_kinds(state, classifier, source)
        if kinds:
            notes.append(
                "networks of the same names compute otherwise, for which you would "
                f"give {kinds}"
            )
        notes.append("add --network LIBRARY/NAME to compare the logits")
        return converted

    try:
        convert_checkpoint(args.checkpoint, args.out, convert, network=args.config)
    except (OSError, ValueError) as error:
        args.parser.exit(1, f"{error}\n")
    print(f"{args.out}: {'; '.join(notes)}")

    return 0
