"""Checkpoints of the CRD benchmark (RepDistiller, mdistiller) as ours.

Our backbones keep the published tensor names, so a converted checkpoint differs in the
prefixes that MMPretrain's ``ImageClassifier`` asks for and in the classifier's name.
"""

import os
from typing import Dict, Iterable

import torch
from mmengine.registry import DefaultScope
from torch import Tensor

from pckd_mm.registry import MODELS
from pckd_mm.utils.checkpoint import (
    load_exactly,
    read_checkpoint,
    require_same_tensors,
)

__all__ = [
    "config_name",
    "published_name",
    "published_state_dict",
    "convert_state_dict",
    "convert_checkpoint",
]

# What the benchmark calls the classifier, by the type of our backbone.
_CLASSIFIERS = {
    "CIFARResNet": "fc",
    "CIFARWideResNet": "fc",
    "CIFARVGG": "classifier",
    "CIFARMobileNetV2": "classifier.0",
    "CIFARShuffleNetV1": "linear",
    "CIFARShuffleNetV2": "linear",
    "ResNet_CIFAR": "linear",
}
_COUNTER = ".num_batches_tracked"


def config_name(arch: str, known: Iterable[str]) -> str:
    """Our name of a network, which is the benchmark's in lower case.

    Args:
        arch (str): Either name, such as ``resnet56``, ``ResNet50`` or ``ShuffleV1``.
        known (Iterable[str]): Our names.

    Raises:
        ValueError: For another name.
    """
    known = list(known)
    if arch.lower() not in known:
        raise ValueError(
            f"The benchmark has no network {arch}; expected one of {', '.join(known)}."
        )
    return arch.lower()


def published_name(name: str, backbone: str) -> str:
    """The benchmark's name of one of our tensors.

    Args:
        name (str): Name in an ``ImageClassifier``, such as ``head.fc.weight``.
        backbone (str): Type of the backbone, such as ``CIFARResNet``.
    """
    if name.startswith("head.fc."):
        return name.replace("head.fc", _CLASSIFIERS[backbone], 1)
    name = name.removeprefix("backbone.")
    if backbone == "ResNet_CIFAR":
        name = name.replace(".downsample.", ".shortcut.")
    return name


def published_state_dict(checkpoint: dict, source: str) -> Dict[str, Tensor]:
    """The tensors in a checkpoint of the benchmark, without DataParallel's prefix.

    Args:
        checkpoint (dict): A state dict, or a dict with one as ``model`` (RepDistiller)
            or ``state_dict``.
        source (str): Name of its origin, for the message.

    Raises:
        ValueError: Where there is no state dict.
    """
    state = checkpoint
    for key in ("model", "state_dict"):
        if key in checkpoint:
            state = checkpoint[key]
            break
    if not isinstance(state, dict) or not any(
        isinstance(value, Tensor) for value in state.values()
    ):
        keys = ", ".join(map(str, list(checkpoint)[:10])) or "nothing"
        raise ValueError(
            f"{source} holds no state dict ({keys}); expected one, or a dict with one "
            "as model or state_dict."
        )
    # A prefix of only some would merge tensors of one name.
    if all(str(name).startswith("module.") for name in state):
        return {name.removeprefix("module."): value for name, value in state.items()}
    return {str(name): value for name, value in state.items()}


def convert_state_dict(
    state: Dict[str, Tensor], arch: str, network: dict, source: str
) -> Dict[str, Tensor]:
    """Rename the tensors of a published network to those of our classifier.

    Number types stay as they are. The counters of the norm layers
    (``num_batches_tracked``), which old versions of torch did not write, may be absent
    all together, and are then 0: the benchmark's norm layers do not use them.

    Args:
        state (dict[str, Tensor]): Tensors under their published names.
        arch (str): Name of the network, for the message.
        network (dict): Config of the ``ImageClassifier``.
        source (str): Name of the tensors' origin, for the message.

    Returns:
        dict[str, Tensor]: State dict of the ``ImageClassifier``, loaded into it once.

    Raises:
        ValueError: Lists the tensors that are missing, unknown or of another shape.
    """
    with DefaultScope.overwrite_default_scope("mmpretrain"):
        classifier = MODELS.build(network)
    backbone = type(classifier.backbone).__name__
    ours = classifier.state_dict()
    published = {name: published_name(name, backbone) for name in ours}
    counters = [name for name in published.values() if name.endswith(_COUNTER)]
    if not any(name.endswith(_COUNTER) for name in state):
        state = {**state, **{name: torch.tensor(0) for name in counters}}
    require_same_tensors(
        state,
        {published[name]: tensor for name, tensor in ours.items()},
        source,
        f"{arch} of the benchmark",
        "give the --arch that the checkpoint is of, or fetch it again",
    )
    # Copies, since a view would take its whole storage along into a file.
    converted = {name: state[published[name]].detach().clone() for name in ours}
    load_exactly(classifier, converted, source)
    return converted


def convert_checkpoint(path: str, out: str, arch: str, network: dict) -> None:
    """Write a checkpoint of the benchmark as one of ours, whole or not at all.

    Args:
        path (str): The benchmark's checkpoint: a file or a URL.
        out (str): The file to write.
        arch (str): Name of the network, to be noted in the file.
        network (dict): Config of its ``ImageClassifier``.

    Raises:
        FileNotFoundError: Where there is no such checkpoint, or no folder to write to.
        ValueError: For a checkpoint that would run code or is not of this network.
    """
    if "://" not in path and not os.path.isfile(path):
        raise FileNotFoundError(
            f"There is no checkpoint {path}; expected a file or a URL."
        )
    folder = os.path.dirname(os.path.abspath(out))
    if not os.path.isdir(folder):
        raise FileNotFoundError(
            f"There is no folder {folder} for {os.path.basename(out)}; make it first."
        )
    source = f"The checkpoint {path}"
    state = published_state_dict(read_checkpoint(path), source)
    converted = convert_state_dict(state, arch, network, source)
    meta = dict(arch=arch, converted_from=os.path.basename(path))
    # Renamed when it is whole.
    partial = f"{out}.{os.getpid()}.tmp"
    try:
        torch.save(dict(meta=meta, state_dict=converted), partial)
        os.replace(partial, out)
    finally:
        if os.path.exists(partial):
            os.remove(partial)
