"""Write networks as ONNX, and compare them with torch: the table of docs/networks.md.

python tools/dev/sweep_onnx.py

Each network of configs/vanilla/ for CIFAR-100, and eleven of MMPretrain's zoo at their
own size of images, with random weights, for 1 and for 7 images. Scores of random
weights are nearly equal, so the largest difference is given as a share of their range.
"""

import argparse
import tempfile
import time
from pathlib import Path
from typing import Iterator, Optional, Sequence, Tuple

import torch
from torch import nn

from pckd_mm.deployment.onnx_export import Scores, compare_onnx, export_onnx
from pckd_mm.registry import MODELS
from pckd_mm.starting.networks import find_classifier
from pckd_mm.utils.config import load_config
from pckd_mm.utils.shipped import config_names

OF_MMPRETRAIN = {
    "resnet18": 224,
    "mobilenet_v2": 224,
    "mobilenet_v3_small": 224,
    "shufflenet-v2-1x": 224,
    "efficientnet_b0": 224,
    "regnetx-400mf": 224,
    "repvgg-A0": 224,
    "densenet121": 224,
    "convnext-tiny": 224,
    "swin-tiny": 224,
    "deit-tiny": 224,
}


def parse_args(argv: Optional[Sequence[str]] = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", default=[], help="names of networks [all]")
    return parser.parse_args(argv)


def networks() -> Iterator[Tuple[str, dict, int]]:
    """Name, model and size of images of each network."""
    seen = []
    for name in config_names():
        stem = name.removeprefix("vanilla/cifar100_")
        if stem == name or stem.endswith(("_6e", "_12e", "_30e", "_60e")):
            continue
        model = load_config(name).model.to_dict()
        if model not in seen:
            seen.append(model)
            yield stem, model, 32
    for name, size in OF_MMPRETRAIN.items():
        try:
            yield name, find_classifier(name, 1000, pretrained=False).model, size
        except ValueError as error:
            print(f"| {name} | {error} | - | - |", flush=True)


def row(name: str, model: dict, size: int) -> str:
    """A line of the table."""
    torch.manual_seed(0)
    network: nn.Module = MODELS.build(model).eval()
    scores = Scores(network)
    images = torch.randn(7, 3, size, size)
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "network.onnx")
        try:
            how = export_onnx(scores, images, path)
        except (RuntimeError, TypeError) as error:
            return f"| {name} | {size} | no: {error} | - |"
        several = compare_onnx(scores, images, path)
        single = compare_onnx(scores, images[:1], path)
    took = time.monotonic() - began
    with torch.no_grad():
        found = scores(images)
    share = max(several, single) / float(found.max() - found.min())
    return f"| {name} | {size} | {how} | {share:.1e} | {took:.0f} s |"


def main(argv: Optional[Sequence[str]] = None) -> None:
    args = parse_args(argv)
    print("| network | pixels | written by | difference | took |")
    print("|---|---|---|---|---|", flush=True)
    for name, model, size in networks():
        if not args.only or name in args.only:
            print(row(name, model, size), flush=True)


if __name__ == "__main__":
    main()
