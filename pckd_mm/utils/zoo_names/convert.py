"""A whole state dict of torchvision or timm for a network of mmpretrain."""

import math
import re
from typing import Iterable, List, Optional

from mmpretrain.models import ImageClassifier
from torch import Tensor, nn

from pckd_mm.utils.checkpoint import load_exactly
from pckd_mm.utils.conversion import Tensors, copied, with_counters
from pckd_mm.utils.printable import printable

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

__all__ = [
    "FAMILIES",
    "convert_state_dict",
    "find_family",
    "none_of_ours",
    "other_kinds",
]

# mmpretrain's VGG has its classifier in the backbone.
_CLASSIFIER_OF_VGG = "backbone.classifier.6"

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
    others = [each.title for each in FAMILIES if set(each.marks) <= state.keys()]
    what = f"named {printable(', '.join(list(state)[:3]), 300)}"
    if others:
        what = f"of {' or '.join(others)}"
    expected = " or ".join(family.title for family in served)
    raise ValueError(
        f"{source} has tensors {what}, and the config's backbone is a {backbone}; "
        f"expected those of {expected}: give the --config of the checkpoint's network."
    )


def convert_state_dict(
    state: Tensors, classifier: ImageClassifier, source: str
) -> Tensors:
    """Rename the tensors of a published network to those of mmpretrain's.

    Every tensor is accounted for, and loaded into the classifier once. Number types
    stay as they are. Counters of norm layers may be absent all together.

    Args:
        state (dict[str, Tensor]): Tensors under their published names.
        classifier (ImageClassifier): The network of mmpretrain.
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
        if name not in ours:
            # The message is understood by the published name, which is not ours.
            name = f"{theirs} as published" if theirs in ours else theirs
        if name in converted:
            raise ValueError(
                f"{source} has two tensors that become {name}, one of them {theirs}; "
                "expected the state dict of one network: take the other out."
            )
        converted[name] = state[theirs]
        if isinstance(converted[name], Tensor) and name in ours:
            shape = ours[name].shape
            converted[name] = copied(family.values(name, converted[name], shape))
    for name, tensor in ours.items():
        if re.search(family.made, name):
            converted.setdefault(name, copied(tensor))
    converted = with_counters(converted, ours)
    _require_same_classes(classifier, converted, ours, source)
    remedy = f"give the --config of the checkpoint's network, {family.title}"
    size = _image_size(classifier, converted)
    if size is not None:
        remedy = f"give --cfg-options model.backbone.img_size={size}, and set the same"
        remedy += " in the config that you train with"
    load_exactly(classifier, converted, source, remedy)
    return {name: converted[name] for name in ours}


def _linear_layers(classifier: ImageClassifier) -> List[str]:
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
    family: Family, names: List[str], classifier: ImageClassifier, source: str
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


def other_kinds(state: Tensors, classifier: ImageClassifier, source: str) -> str:
    """What to give for networks that have the same names and compute otherwise.

    Args:
        state (dict[str, Tensor]): Tensors under their published names.
        classifier (ImageClassifier): The network of mmpretrain.
        source (str): Name of the tensors' origin, for messages.

    Returns:
        str: Options of the command line; empty where names tell all kinds apart.
    """
    family = find_family(state, type(classifier.backbone).__name__, source)
    return advice(classifier.backbone, family.computes(list(state)))


def none_of_ours(state: Tensors, classifier: ImageClassifier, source: str) -> str:
    """Networks with the same names and shapes that mmpretrain's cannot be set to be.

    Args:
        state (dict[str, Tensor]): Tensors under their published names.
        classifier (ImageClassifier): The network of mmpretrain.
        source (str): Name of the tensors' origin, for messages.

    Returns:
        str: The networks and what they are, in words; empty where none are known.
    """
    alike = find_family(state, type(classifier.backbone).__name__, source).alike
    return f"{alike}, have these names too and are none of mmpretrain's" * bool(alike)


def _require_same_depth_of_head(
    family: Family, names: Iterable[str], classifier: ImageClassifier, source: str
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
    classifier: ImageClassifier, converted: Tensors, ours: Tensors, source: str
) -> None:
    layers = _linear_layers(classifier) or [_CLASSIFIER_OF_VGG]
    last = f"{layers[-1]}.weight"
    found, wanted = (_rows(state.get(last)) for state in (converted, ours))
    if found is None or wanted in (None, found):
        return
    owner = last.split(".")[0]
    raise ValueError(
        f"{source} has a classifier of {found} classes, the config's network one of "
        f"{wanted}; expected the same: give --cfg-options "
        f"model.{owner}.num_classes={found}, and set the same in the config that you "
        "train with."
    )


def _rows(weight: object) -> Optional[int]:
    return len(weight) if isinstance(weight, Tensor) and weight.dim() == 2 else None


def _image_size(classifier: ImageClassifier, converted: Tensors) -> Optional[int]:
    """Size of the square images of a ViT, where it is not the config's."""
    found = converted.get("backbone.pos_embed")
    wanted = classifier.state_dict().get("backbone.pos_embed")
    if not isinstance(found, Tensor) or wanted is None or found.dim() != 3:
        return None
    backbone = classifier.backbone
    patches = found.shape[1] - backbone.num_extra_tokens
    side = math.isqrt(max(patches, 0))
    if found.shape[1] == wanted.shape[1] or side**2 != patches:
        return None
    return side * backbone.patch_embed.projection.kernel_size[0]
