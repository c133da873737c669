"""What timm and Hugging Face say of the images that their networks were trained on."""

import json
import os.path as osp
from dataclasses import dataclass
from typing import Any, Optional

from torch import nn

from .normalisation import Normalisation, normalisation_of


@dataclass(frozen=True)
class Card:
    """What is said of a network.

    Args:
        source (str): Who says it, in words.
        normalisation (Normalisation, optional): Defaults to None, not said.
        size (Any, optional): Height and width, or one number for both. Defaults to
            None, not said.
    """

    source: str
    normalisation: Optional[Normalisation] = None
    size: Any = None


def network_card(network: nn.Module) -> Optional[Card]:
    """Find the card of a network, or of the one inside of a wrapper.

    Args:
        network (nn.Module): Any network.

    Returns:
        Card, optional: None for networks of other origin.
    """
    for module in network.modules():
        settings = getattr(module, "pretrained_cfg", None)
        if isinstance(settings, dict) and "mean" in settings:
            return _of_timm(settings)
        # Of the class PretrainedConfig, which need not be installed.
        config = getattr(module, "config", None)
        if hasattr(config, "_name_or_path") and hasattr(config, "model_type"):
            return _of_hugging_face(config)
    return None


def _of_timm(settings: dict) -> Card:
    size = settings.get("input_size", ())
    return Card(
        f"timm's card of {settings.get('architecture', 'the network')}",
        _of_unit_pixels(settings["mean"], settings["std"], 1 / 255),
        tuple(size[1:]) if len(size) == 3 else None,
    )


def _of_hugging_face(config: Any) -> Card:
    """Weights in a folder have their image processor's settings beside them."""
    source = f"Hugging Face's config of {config.model_type}"
    size = getattr(config, "image_size", None)
    path = osp.join(config._name_or_path or "", "preprocessor_config.json")
    if not osp.isfile(path):
        return Card(source, size=size)
    with open(path, encoding="utf-8") as file:
        settings = json.load(file)
    factor = 1.0
    if settings.get("do_rescale", True):
        factor = settings.get("rescale_factor", 1 / 255)
    mean, std = [0.0] * 3, [1.0] * 3
    if settings.get("do_normalize", True):
        mean, std = (settings.get(f"image_{name}") for name in ("mean", "std"))
    normalisation = None
    if mean is not None and std is not None:
        normalisation = _of_unit_pixels(mean, std, factor)
    for name in ("crop_size", "size"):
        size = size or _sides(settings.get(name))
    return Card(path, normalisation, size)


def _sides(size: Any) -> Any:
    """Some processors keep a number, some height and width, some the shorter side."""
    if isinstance(size, dict):
        sides = size.get("height"), size.get("width")
        return None if None in sides else sides
    return size


def _of_unit_pixels(mean: Any, std: Any, factor: float) -> Normalisation:
    """Of pixels times a factor, in the order RGB."""
    mean, std = ([value / factor for value in values] for values in (mean, std))
    return normalisation_of(dict(mean=mean, std=std, to_rgb=True))
