"""The published network and mmpretrain's side by side, on one image."""

from typing import Tuple

import torch
from torch import nn

from pckd_mm.utils.checkpoint import load_exactly
from pckd_mm.utils.conversion import Tensors
from pckd_mm.utils.printable import first_line

from .convert import find_family, none_of_ours, other_kinds

__all__ = ["require_same_logits"]

# Of the largest logit; float32 differs by some 1e-6.
_TOLERANCE = 1e-3
_LIBRARIES = ("torchvision", "timm")


def _build(network: str, classes: int) -> nn.Module:
    """Build ``torchvision/NAME`` or ``timm/NAME``, without weights."""
    library, _, name = network.partition("/")
    if library not in _LIBRARIES or not name:
        raise ValueError(
            f"There is no network {network}; expected its library and its name, such "
            "as torchvision/resnet50 or timm/tf_efficientnet_b0."
        )
    try:
        if library == "timm":
            import timm

            return timm.create_model(name, pretrained=False, num_classes=classes)
        from torchvision.models import get_model

        return get_model(name, weights=None, num_classes=classes)
    except ImportError as error:
        raise ValueError(
            f"{network} cannot be built without {library}; expected it to be "
            f"installed: pip install {library}, or leave --network out."
        ) from error
    except Exception as error:  # each network raises what it likes
        raise ValueError(
            f"{library} cannot build {name} ({first_line(error)}); expected the name "
            "of the checkpoint's network there."
        ) from error


def _load(
    published: nn.Module,
    state: Tensors,
    classifier: nn.Module,
    network: str,
    source: str,
) -> None:
    """Load a state dict, though its names may be those of an older version."""
    family = find_family(state, type(classifier.backbone).__name__, source)
    by_ours = {name: state[key] for key, name in family.names(list(state)).items()}
    wanted = published.state_dict()
    names = family.names(list(wanted))
    found = {key: by_ours[name] for key, name in names.items() if name in by_ours}
    remedy = f"give the --network that the checkpoint is of, instead of {network}"
    load_exactly(published, found, source, remedy)


def require_same_logits(
    state: Tensors, classifier: nn.Module, network: str, source: str
) -> Tuple[float, float]:
    """Refuse a converted classifier that computes other logits than its source.

    Names and shapes do not tell all: numbers of attention heads, strides, epsilons.

    Args:
        state (dict[str, Tensor]): Tensors under their published names.
        classifier (nn.Module): mmpretrain's network with the converted ones.
        network (str): The published network, such as ``timm/tf_efficientnet_b0``.
        source (str): Name of the tensors' origin, for messages.

    Returns:
        tuple[float, float]: The largest difference, and the largest logit.

    Raises:
        ValueError: Where the published network cannot be built, the tensors are not of
            it, or its logits differ.
    """
    patches = getattr(classifier.backbone, "patch_embed", None)
    height, width = getattr(patches, "init_input_size", (224, 224))
    image = torch.randn(2, 3, height, width, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        found = classifier.eval().float()(image)
        published = _build(network, found.shape[1])
        _load(published, state, classifier, network, source)
        try:
            expected = published.eval()(image)
        except (AssertionError, RuntimeError, ValueError) as error:
            raise ValueError(
                f"{network} does not run on the config's images of {height} x {width} "
                f"({first_line(error)}); expected the config of a network for images "
                "of the same size: give that --config."
            ) from error
    difference = (found - expected).abs().max().item()
    largest = expected.abs().max().item()
    if not difference <= _TOLERANCE * largest:
        kinds = other_kinds(state, classifier, source)
        alike = none_of_ours(state, classifier, source)
        what = "give the --config and the --network of the checkpoint's network"
        if kinds:
            what = f"give {kinds}, and set the same in the config that you train with"
        what += f" ({alike})" * bool(alike)
        raise ValueError(
            f"{source} gives logits of up to {largest:.4g} in {network}, and the "
            f"config's network differs from them by up to {difference:.4g}; expected "
            f"the same: {what}."
        )
    return difference, largest
