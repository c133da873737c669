"""Turn a checkpoint of torchvision or timm into one of mmpretrain, such as a teacher's.

python tools/model_converters/to_mmpretrain.py resnet50-0676ba61.pth teacher.pth \\
    --config mmpretrain::resnet/resnet50_8xb32_in1k.py --network torchvision/resnet50

CHECKPOINT is the state dict of a whole ResNet, MobileNetV2, MobileNetV3, VGG, DenseNet,
EfficientNet, ConvNeXt, ViT or Swin Transformer, or a dict with it as 'model' or
'state_dict'. No code in it runs. Every tensor must be one of the config's network, and
none may lack; what the network computes besides must be the same. With --network both
networks are run on the same images, and must give the same logits.
"""

import argparse
import os.path as osp
from typing import List, Optional

from mmengine.config import DictAction
from torch import nn

from pckd_mm.utils.config import load_config
from pckd_mm.utils.conversion import (
    Tensors,
    build_classifier,
    convert_checkpoint,
    published_state_dict,
)
from pckd_mm.utils.printable import printable
from pckd_mm.utils.zoo_names import (
    convert_state_dict,
    none_of_ours,
    other_kinds,
    require_same_logits,
)


def build(path: str, options: dict) -> nn.Module:
    """Build the network of a config.

    Args:
        path (str): Path of the config, or its name in a library.
        options (dict): Settings to override.

    Raises:
        FileNotFoundError: Where there is no such config.
        ValueError: Where its network cannot be built.
    """
    if "::" not in path and not osp.isfile(path):
        raise FileNotFoundError(
            f"There is no config {path}; expected a file, or the name of one in a "
            "library, such as mmpretrain::resnet/resnet50_8xb32_in1k.py."
        )
    try:
        return build_classifier(load_config(path, options).model)
    except Exception as error:  # a config may name and hand over anything
        reason = printable(str(error) or type(error).__name__, 300)
        raise ValueError(
            f"The network of the config {path} cannot be built ({reason}); expected "
            "that of an ImageClassifier: see to its model and to --cfg-options."
        ) from error


def main(argv: Optional[List[str]] = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("checkpoint", help="the published checkpoint, a file or URL")
    parser.add_argument("out", help="file to write")
    parser.add_argument(
        "--config",
        required=True,
        help="config of the network: its path, or mmpretrain::resnet/...",
    )
    parser.add_argument(
        "--cfg-options",
        nargs="+",
        action=DictAction,
        metavar="KEY=VALUE",
        help="override settings of the config, such as model.head.num_classes=10",
    )
    parser.add_argument(
        "--network",
        metavar="LIBRARY/NAME",
        help="the published network, such as timm/tf_efficientnet_b0: build it, run "
        "both, and compare their logits",
    )
    args = parser.parse_args(argv)
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
        parser.exit(1, f"{error}\n")
    print(f"{args.out}: {'; '.join(notes)}")


if __name__ == "__main__":
    main()
