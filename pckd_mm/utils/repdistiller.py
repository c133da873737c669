"""Checkpoints of the CRD benchmark (RepDistiller, mdistiller) as ours.

Our backbones keep the published tensor names, so a converted checkpoint differs in the
prefixes that MMPretrain's ``ImageClassifier`` asks for and in the classifier's name.
"""

from typing import Iterable

from pckd_mm.utils.checkpoint import load_exactly, require_same_tensors
from pckd_mm.utils.conversion import (
    Tensors,
    build_classifier,
    copied,
    with_counters,
)

__all__ = ["config_name", "published_name", "convert_state_dict"]

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


def convert_state_dict(
    state: Tensors, arch: str, network: dict, source: str
) -> Tensors:
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
    classifier = build_classifier(network)
    backbone = type(classifier.backbone).__name__
    ours = classifier.state_dict()
    published = {name: published_name(name, backbone) for name in ours}
    state = with_counters(state, published.values())
    require_same_tensors(
        state,
        {published[name]: tensor for name, tensor in ours.items()},
        source,
        f"{arch} of the benchmark",
        "give the --arch that the checkpoint is of, or fetch it again",
    )
    converted = {name: copied(state[published[name]]) for name in ours}
    load_exactly(classifier, converted, source)
    return converted
