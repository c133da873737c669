"""What timm and Hugging Face say of the images that their networks were trained on."""

import json
import os.path as osp
from dataclasses import dataclass
from typing import Any, Optional, Tuple

from torch import nn

from pckd_mm.utils.input_size import as_size

from .normalisation import Normalisation, normalisation_of


@dataclass(frozen=True)
class Card:
    """What is said of a network.

    Args:
        source (str): Who says it, in words.
        normalisation (Normalisation, optional): Defaults to None, not said.
        size (tuple[int, int], optional): Height and width of what an image processor
            gives. Defaults to None, not said.
    """

    source: str
    normalisation: Optional[Normalisation] = None
    size: Optional[Tuple[int, int]] = None


def network_card(network: nn.Module) -> Optional[Card]:
    """Find the card of a network, or of the one inside of a wrapper.

    It tells of the weights that its library gives for the network, not of others.

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
    return Card(
        f"timm's card of {settings.get('architecture', 'the network')}",
        _of_unit_pixels(settings["mean"], settings["std"], 1 / 255),
    )


def _of_hugging_face(config: Any) -> Card:
    """Weights in a folder have their image processor's settings beside them."""
    source = f"Hugging Face's config of {config.model_type}"
    path = osp.join(config._name_or_path or "", "preprocessor_config.json")
    if not osp.isfile(path):
        return Card(source)
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
    sizes = (_sides(settings.get(name)) for name in ("crop_size", "size"))
    return Card(path, normalisation, next((size for size in sizes if size), None))


def _sides(size: Any) -> Optional[Tuple[int, int]]:
    """Some processors keep a number, some height and width, some the shorter side."""
    if isinstance(size, dict):
        size = size.get("height"), size.get("width")
    return as_size(size)


def _of_unit_pixels(mean: Any, std: Any, factor: float) -> Optional[Normalisation]:
    """Of pixels times a factor, in the order RGB."""
    mean, std = ([value / factor for value in values] for values in (mean, std))
    return normalisation_of(dict(mean=mean, std=std, to_rgb=True))
