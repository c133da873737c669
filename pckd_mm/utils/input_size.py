"""The size of the images that a network is made for: which it is, and who says so."""

import inspect
from dataclasses import dataclass
from typing import Any, Iterator, Optional, Tuple

from torch import nn

__all__ = ["InputSize", "as_size", "known_input_size"]

# What networks and the functions that make them call it.
_NAMES = ("img_size", "image_size")


@dataclass(frozen=True)
class InputSize:
    """A size, and where it stands.

    Args:
        size (tuple[int, int]): Height and width.
        source (str): Who says so, in words.
        is_chosen (bool): Whether it was chosen for this network, in its config, and is
            no default of its kind. Defaults to False.
    """

    size: Tuple[int, int]
    source: str
    is_chosen: bool = False


def as_size(value: Any) -> Optional[Tuple[int, int]]:
    """Height and width of a size that is written as one number or as two.

    Args:
        value (Any): Anything.

    Returns:
        tuple[int, int], optional: None for what is no size.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        value = value, value
    if not isinstance(value, (tuple, list)) or len(value) != 2:
        return None
    if not all(isinstance(side, int) and side > 0 for side in value):
        return None
    return tuple(value)


def known_input_size(network: nn.Module, declared: Any = None) -> Optional[InputSize]:
    """Find out what size of images a network is made for, where it says so.

    Args:
        network (nn.Module): One of mmpretrain, torchvision, timm or Hugging Face, or a
            wrapper of one.
        declared (dict | nn.Module, optional): The network as it was given, if that was
            a config. Defaults to None.

    Returns:
        InputSize, optional: From ``img_size`` or ``image_size`` of its config, else of
        its modules, else from what comes with a network of timm or Hugging Face, else
        what its backbone takes where nothing is said. None where none of these is.
    """
    for value, source, is_chosen in _said(network, declared):
        size = as_size(value)
        if size is not None:
            return InputSize(size, source, is_chosen)
    return None


def _said(network: nn.Module, declared: Any) -> Iterator[tuple]:
    configs = {}
    if isinstance(declared, dict):
        backbone = declared.get("backbone")
        configs = dict(
            backbone=backbone if isinstance(backbone, dict) else {}, model=declared
        )
    for place, config in configs.items():
        kind = type(getattr(network, place, network)).__name__
        for name in _NAMES:
            yield config.get(name), f"{name} of {kind}", True
    for module in network.modules():
        for name in _NAMES:
            value = getattr(module, name, None)
            yield value, f"{name} of {type(module).__name__}", False
    for module in network.modules():
        # Newer versions of timm call it pretrained_cfg.
        for name in ("pretrained_cfg", "default_cfg"):
            card = getattr(module, name, None)
            if isinstance(card, dict):
                shape = card.get("input_size") or ()
                who = card.get("architecture") or type(module).__name__
                yield tuple(shape)[1:], f"timm's card of {who}", False
        own: Any = getattr(module, "config", None)
        if hasattr(own, "model_type"):
            source = f"Hugging Face's config of {own.model_type}"
            yield getattr(own, "image_size", None), source, False
    if configs.get("backbone"):
        # The built network does not keep it.
        made_by = type(network.backbone)
        parameter = inspect.signature(made_by).parameters.get("img_size")
        if parameter is not None:
            yield (
                parameter.default,
                f"the default img_size of {made_by.__name__}",
                False,
            )
