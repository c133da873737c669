"""A whole state dict of torchvision or timm for a network of mmpretrain."""

import re
from typing import Iterable, List

from mmpretrain.models import ImageClassifier
from torch import nn

from pckd_mm.utils.checkpoint import load_exactly
from pckd_mm.utils.conversion import Tensors, copied, with_counters

from . import (
    convnext,
    densenet,
    efficientnet,
    mobilenet,
    resnet,
    swin,
    vgg,
    vision_transformer,
)
from .family import Family, last_number
from .settings import advice, differences

__all__ = ["FAMILIES", "convert_state_dict", "find_family", "other_kinds"]

FAMILIES: List[Family] = [
    family
    for module in (
        resnet,
        mobilenet,
        vgg,
        densenet,
        efficientnet,
        convnext,
        vision_transformer,
        swin,
    )
    for family in module.FAMILIES
]


def find_family(state: Tensors, backbone: str, source: str) -> Family:
    """The family whose names a state dict has.

    Args:
        state (dict[str, Tensor]): The published tensors.
        backbone (str): Type of the backbone that they are for.
        source (str): Name of the tensors' origin, for the message.

    Raises:
        ValueError: Where there is none, or only one of other backbones.
    """
    served = [family for family in FAMILIES if backbone in family.backbones]
    if not served:
        known = sorted({name for family in FAMILIES for name in family.backbones})
        raise ValueError(
            f"The config's backbone is a {backbone}, whose names in torchvision and "
            f"timm are not known here; expected one of {', '.join(known)}."
        )
    for family in served:
        if set(family.marks) <= state.keys():
            return family
    others = [
        family.title
        for family in FAMILIES
        if all(mark in state for mark in family.marks)
    ]
    what = (
        f"of {' or '.join(others)}" if others else f"named {', '.join(list(state)[:3])}"
    )
    expected = " or ".join(family.title for family in served)
    raise ValueError(
        f"{source} has tensors {what}, and the config's backbone is a {backbone}; "
        f"expected those of {expected}: give the --config of the checkpoint's network."
    )


def convert_state_dict(state: Tensors, classifier: nn.Module, source: str) -> Tensors:
    """Rename the tensors of a published network to those of mmpretrain's.

    Every tensor is accounted for, and loaded into the classifier once. Number types
    stay as they are. Counters of norm layers may be absent all together.

    Args:
        state (dict[str, Tensor]): Tensors under their published names.
        classifier (nn.Module): mmpretrain's ``ImageClassifier``.
        source (str): Name of the tensors' origin, for messages.

    Returns:
        dict[str, Tensor]: State dict of the classifier.

    Raises:
        ValueError: Names the tensors that do not fit, the number of classes that
            differs, or the settings by which the classifier computes otherwise.
    """
    if not isinstance(classifier, ImageClassifier):
        raise ValueError(
            f"The config's model is a {type(classifier).__name__}; expected an "
            "ImageClassifier of mmpretrain."
        )
    family = find_family(state, type(classifier.backbone).__name__, source)
    _require_same_computation(family, list(state), classifier, source)
    ours = classifier.state_dict()
    head = _linear_layers(classifier)
    names = family.names(list(state))
    _require_same_depth_of_head(family, names.values(), classifier, source)
    converted: Tensors = {}
    for theirs, name in names.items():
        if re.search(family.dropped, theirs):
            continue
        name = _placed(name, head)
        # What is not known keeps the name by which the message is understood.
        name = name if name in ours else theirs
        if name in converted:
            raise ValueError(
                f"{source} has two tensors that become {name}, one of them {theirs}; "
                "expected the state dict of one network: take the other out."
            )
        tensor = state[theirs]
        if name in ours:
            tensor = family.values(name, tensor, ours[name].shape)
        converted[name] = copied(tensor)
    for name, tensor in ours.items():
        if re.search(family.made, name):
            converted.setdefault(name, copied(tensor))
    converted = with_counters(converted, ours)
    _require_same_classes(classifier, converted, ours, source)
    remedy = f"give the --config of the checkpoint's network, {family.title}"
    load_exactly(classifier, converted, source, remedy)
    return {name: converted[name] for name in ours}


def _linear_layers(classifier: nn.Module) -> List[str]:
    """Names of the linear layers of the head, in their order."""
    head = getattr(classifier, "head", None) or nn.Identity()
    return [
        f"head.{name}"
        for name, module in head.named_modules()
        if isinstance(module, nn.Linear)
    ]


def _placed(name: str, head: List[str]) -> str:
    """A name within the classifier, for one of a family's."""
    found = re.match(r"head\.(\d+)\.", name)
    if not found:
        return f"backbone.{name}"
    number = int(found[1])
    return f"{head[number]}.{name[found.end() :]}" if number < len(head) else name


def _require_same_computation(
    family: Family, names: List[str], classifier: nn.Module, source: str
) -> None:
    kinds = family.computes(names)
    found = [differences(classifier.backbone, kind) for kind in kinds]
    if not all(found):
        return
    has = " and ".join(f"{setting} of {value}" for setting, value in found[0].items())
    raise ValueError(
        f"{source} is of {family.title}, which computes otherwise than the config's "
        f"{type(classifier.backbone).__name__} with {has}; expected the same: give "
        f"{advice(classifier.backbone, kinds)}, and set the same in the config that "
        "you train with."
    )


def other_kinds(state: Tensors, classifier: nn.Module, source: str) -> str:
    """What to give for networks that have the same names and compute otherwise.

    Args:
        state (dict[str, Tensor]): Tensors under their published names.
        classifier (nn.Module): mmpretrain's ``ImageClassifier``.
        source (str): Name of the tensors' origin, for messages.

    Returns:
        str: Options of the command line; empty where names tell all kinds apart.
    """
    family = find_family(state, type(classifier.backbone).__name__, source)
    return advice(classifier.backbone, family.computes(list(state)))


def _require_same_depth_of_head(
    family: Family, names: Iterable[str], classifier: nn.Module, source: str
) -> None:
    theirs = last_number((f"{name}." for name in names), r"head\.(\d+)\.") + 1
    ours = len(_linear_layers(classifier))
    if ours in (0, theirs):  # without one, the backbone has the classifier
        return
    hidden = getattr(classifier.head, "hidden_dim", None) is not None
    what = "give the --config of the checkpoint's network"
    if hidden and theirs == 1:
        what = "give --cfg-options model.head.hidden_dim=None"
    raise ValueError(
        f"{source} is of {family.title}, whose linear layers in the head are {theirs}, "
        f"those of the config's {type(classifier.head).__name__} {ours}; expected as "
        f"many: {what}, and set the same in the config that you train with."
    )


def _require_same_classes(
    classifier: nn.Module, converted: Tensors, ours: Tensors, source: str
) -> None:
    weights = [name for name, value in ours.items() if value.dim() == 2]
    last = weights[-1] if weights else ""
    found, wanted = converted.get(last), ours.get(last)
    if found is None or found.dim() != 2 or len(found) == len(wanted):
        return
    owner = "head" if last.startswith("head.") else "backbone"
    raise ValueError(
        f"{source} has a classifier of {len(found)} classes, the config's network one "
        f"of {len(wanted)}; expected the same: give --cfg-options "
        f"model.{owner}.num_classes={len(found)}, and set the same in the config that "
        "you train with."
    )
