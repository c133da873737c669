"""Write a trained student for use: its weights with a plain config, or ONNX.

  pckd export work_dirs/pckd/letters_resnet20_resnet8_thin/epoch_25.pth student.pth
  pckd export work_dirs/pckd/letters_resnet20_resnet8_thin/epoch_25.pth student.onnx \\
      --preprocess --images photos/

student.pth has the weights alone; student.py beside it is its config, with the data
preprocessor, the steps from an image file to the network's input, and the names of the
categories. Plain MMPretrain and MMDetection read both, where the network is one of
theirs; one of this package, such as CIFARResNet, needs pckd_mm. Training writes such
weights too, beside each checkpoint.

student.onnx takes any number of images and gives scores. With --preprocess it
normalises them itself. It is compared with torch in ONNX Runtime, on the images that
you name, else on random ones.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import List, Tuple

from mmengine.config import Config
from torch import Tensor, nn

from pckd_mm.utils.checkpoint import export_student

from .completion import CONFIG, FILE, add_path

# Images that ONNX is compared with torch on.
_COMPARED = 7


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options.

    Args:
        parser (ArgumentParser): Of the subcommand.
    """
    add_path(parser, FILE, "checkpoint", help="checkpoint of a run, or a student alone")
    add_path(parser, FILE, "out", help="file to write, *.pth or *.onnx")
    add_path(
        parser,
        CONFIG,
        "--config",
        help="what it was trained with [the config beside the checkpoint]",
    )
    parser.add_argument(
        "--preprocess",
        action="store_true",
        help="for *.onnx: normalise inside, for RGB images with pixels from 0 to 255",
    )
    add_path(
        parser,
        FILE,
        "--images",
        nargs="+",
        default=[],
        metavar="PATH",
        help="for *.onnx: images, or folders of them, to compare on [random ones]",
    )


def run(args: argparse.Namespace) -> int:
    """Write the student.

    Args:
        args (Namespace): What :func:`add_arguments` reads.

    Returns:
        int: Exit status.
    """
    is_onnx = args.out.endswith(".onnx")
    if not is_onnx and (args.preprocess or args.images):
        args.parser.error("--preprocess and --images are for *.onnx")
    try:
        _require_room(args)
        Path(args.out).parent.mkdir(parents=True, exist_ok=True)
        write = _write_onnx if is_onnx else _write_weights
        print(*write(args), sep="\n")
    except (ImportError, OSError, RuntimeError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _require_room(args: argparse.Namespace) -> None:
    """Refuse to write where something else would be lost."""
    from pckd_mm.utils.checkpoint import read_checkpoint

    out = Path(args.out)
    if out.suffix not in (".pth", ".onnx") or out.is_dir():
        raise ValueError(
            f"{out} is to be written; expected the name of a file that ends in .pth or "
            ".onnx."
        )
    if not out.exists():
        return
    checkpoint = Path(args.checkpoint)
    reason = ""
    if checkpoint.exists() and out.samefile(checkpoint):
        reason = "is the checkpoint that is to be read"
    elif out.suffix == ".pth":
        try:
            whole = "optimizer" in read_checkpoint(str(out))
        except ValueError:
            reason = "is no student that was exported before"
        else:
            reason = "is a checkpoint that a run can go on from" if whole else ""
    if reason:
        raise ValueError(f"{out} is there and {reason}; expected another name.")


def _write_weights(args: argparse.Namespace) -> List[str]:
    """Write weights and config; what there is to say of them."""
    from pckd_mm.deployment.network import load_network
    from pckd_mm.deployment.plain_config import (
        config_beside,
        require_room_for_config,
        write_plain_config,
    )
    from pckd_mm.utils.checkpoint import classes_of, read_checkpoint

    said: List[str] = []
    config = args.config
    try:
        config = config or config_beside(args.checkpoint)
    except FileNotFoundError as error:
        said = [f"Without a config: {error}"]
    beside = Path(args.out).with_suffix(".py")
    if config is not None:
        require_room_for_config(beside)
        load_network(config, args.checkpoint)  # or says that one does not fit the other
    how_it_loads = export_student(args.checkpoint, args.out, or_network=True)
    if how_it_loads is not None:
        said.insert(0, f"{args.out}: {how_it_loads}")
    if config is None:
        return said
    write_plain_config(config, beside, classes_of(read_checkpoint(args.out)))
    return [*said, f"{beside} is its config."]


def _write_onnx(args: argparse.Namespace) -> List[str]:
    """Write ONNX; what its user has to know."""
    for package in ("onnx", "onnxruntime", "onnxscript"):
        try:
            __import__(package)
        except ImportError:
            raise ImportError(
                f"ONNX needs {package}, which is not installed: pip install "
                "'pckd_mm[export]'"
            ) from None
    from mmpretrain.models import BaseClassifier

    from pckd_mm.datasets.image_format import channel_order
    from pckd_mm.deployment.network import load_network
    from pckd_mm.deployment.onnx_export import (
        Normalise,
        Scores,
        add_facts,
        compare_onnx,
        export_onnx,
    )
    from pckd_mm.deployment.plain_config import config_beside
    from pckd_mm.models.data_preprocessors.normalisation import normalisation_of

    config = args.config or config_beside(args.checkpoint)
    network, plain, classes = load_network(config, args.checkpoint)
    if not isinstance(network, BaseClassifier):
        raise RuntimeError(
            f"{config} has a {type(network).__name__}, whose operators (RoIAlign, NMS) "
            "torch does not write as ONNX; expected a classifier: write *.pth, which "
            "MMDeploy takes with the config beside it."
        )
    images, whence = _inputs(args, network, plain)
    order = channel_order(plain.test_dataloader.dataset)
    normalised = network.data_preprocessor(dict(inputs=images))["inputs"]
    normalise = None
    if not args.preprocess:
        images = normalised
    else:
        is_reversed = order == "bgr"  # users have RGB
        if is_reversed:
            images, order = images.flip(1), "rgb"
        normalise = Normalise(normalisation_of(network.data_preprocessor), is_reversed)
        _require_the_same(normalise(images), normalised, network.data_preprocessor)
    scores = Scores(network, normalise).eval()
    how = export_onnx(scores, images, args.out)
    size = " x ".join(map(str, images.shape[1:]))
    given = "as data_preprocessor gives them"
    facts = dict(
        images=f"float32, N x {size}",
        channels=(order or "not known").upper() if args.preprocess else given,
        pixels="0 to 255" if args.preprocess else given,
        classes=json.dumps(list(classes or [])),
        pipeline=json.dumps(plain.test_pipeline, default=str),
    )
    add_facts(args.out, facts)
    difference = compare_onnx(scores, images, args.out)
    return [
        f"{args.out}, written by {how}, gives the scores of the categories.",
        *(f"  {name}: {facts[name]}" for name in ("images", "pixels", "channels")),
        "  Names of the classes, and the steps from a file to the input (pipeline), "
        "are in its metadata too.",
        f"ONNX Runtime's scores of {len(images)} {whence} differ from torch's by at "
        f"most {difference:.1e}, those of one alone too.",
    ]


def _require_the_same(found: Tensor, expected: Tensor, preprocessor: nn.Module) -> None:
    """Refuse a data preprocessor of which the ONNX file would have but a part."""
    if found.shape == expected.shape and found.allclose(expected, atol=1e-4):
        return
    raise RuntimeError(
        f"The {type(preprocessor).__name__} of the student does more to images than "
        "mean, std and the order of channels, which is what --preprocess writes; "
        "expected one that does no more: leave --preprocess out, and give the file "
        "images as that data preprocessor gives them."
    )


def _inputs(
    args: argparse.Namespace, network: nn.Module, plain: Config
) -> Tuple[Tensor, str]:
    """Images before they are normalised, and what they are."""
    import torch

    from pckd_mm.datasets.image_format import image_size
    from pckd_mm.deployment.images import image_files, read_inputs
    from pckd_mm.utils.example_inputs import input_channels

    if args.images:
        files = image_files(args.images, most=_COMPARED)
        files = (files * _COMPARED)[:_COMPARED]
        return read_inputs(files, plain.test_pipeline), "images"
    size = image_size(plain.test_dataloader.dataset)
    if size is None:
        raise ValueError(
            "The size of the network's images is not in its pipeline; expected images "
            "to take it from: name some by --images."
        )
    generator = torch.Generator().manual_seed(0)
    shape = (_COMPARED, input_channels(network), *size)
    return torch.randint(256, shape, generator=generator).float(), "random images"
