"""What images a network was trained on, read off its configs and the network itself."""

import inspect
import logging
import os.path as osp
from dataclasses import dataclass
from typing import Any, Iterator, Optional, Sequence, Tuple, Union

from mmengine.config import Config
from mmengine.logging import print_log
from torch import nn

from pckd_mm.datasets.image_format import (
    channel_order,
    image_size,
    pixel_transform,
)
from pckd_mm.utils.config import load_config

from .network_cards import network_card
from .normalisation import Normalisation, declared_normalisation, normalisation_of

__all__ = ["AS_STUDENT", "SAME", "TrainedInputs", "trained_inputs"]

# Its images are read as those of the run are, in whatever order of channels.
AS_STUDENT = "as the student's"
# A size: that of the student's images, whatever it is.
SAME = "same"

Size = Union[int, Sequence[int], str, None]


@dataclass(frozen=True)
class TrainedInputs:
    """What a network was trained on.

    Args:
        normalisation (Normalisation, optional): Defaults to None, not known.
        normalised_by (str): Who says so, in words.
        order (str, optional): Order of channels of the images as they were read:
            ``'rgb'``, ``'bgr'``, ``'gray'`` or ``AS_STUDENT``. Defaults to None, not
            known.
        size (tuple[int, int], optional): Height and width. Defaults to None, that of
            the student's images.
        sized_by (str): Who says so, in words.
    """

    normalisation: Optional[Normalisation] = None
    normalised_by: str = ""
    order: Optional[str] = None
    size: Optional[Tuple[int, int]] = None
    sized_by: str = ""


def trained_inputs(
    declared: Union[dict, nn.Module],
    network: nn.Module,
    config_path: Optional[str] = None,
    size: Size = None,
) -> TrainedInputs:
    """Find out what a teacher was trained on.

    How its images were normalised says the ``data_preprocessor`` of its own config,
    else that of the config that trains it, else what timm and Hugging Face give along.
    Their size says, unless it is given, the end of the pipeline for tests in the config
    that trains it, else the network's ``img_size``, else timm and Hugging Face.

    Args:
        declared (dict | nn.Module): The network as it was given.
        network (nn.Module): The network as it was built.
        config_path (str, optional): The config that trains it. Defaults to None.
        size (int | Sequence[int] | str, optional): Height and width of its images,
            ``'same'`` for those of the student. Defaults to None, what is read.

    Returns:
        TrainedInputs: What is known.

    Raises:
        ValueError: For a size that is none, and for half a normalisation.
    """
    config, dataset = _read_if_there(config_path), None
    if config is not None:
        dataset = _test_set(config)
    size, sized_by = _size(declared, network, dataset, config_path, size)
    found = dict(size=size, sized_by=sized_by)

    normalisation = declared_normalisation(declared)
    if normalisation is not None:
        by, order = "the teacher's own data_preprocessor", AS_STUDENT
        if _is_model_of(config, declared):
            by, order = f"teacher_config {config_path}", _order(dataset)
        return TrainedInputs(normalisation, by, order, **found)
    if config is not None:
        normalisation = _of_run(config, config_path)
        if normalisation is not None:
            by = f"teacher_config {config_path}"
            return TrainedInputs(normalisation, by, _order(dataset), **found)
    card = network_card(network)
    if config is not None or card is None:
        return TrainedInputs(**found)
    if card.normalisation is None:
        _warn(
            f"How images were normalised for the teacher {_describe(network)} is not "
            f"known, {card.source} does not say it: it sees them normalised as the "
            "student's. Set teacher.data_preprocessor if that is wrong."
        )
    return TrainedInputs(card.normalisation, card.source, **found)


# ------------------------------------------------------------------ normalisation


def _is_model_of(config: Optional[Config], declared: Any) -> bool:
    if config is None or not isinstance(declared, dict):
        return False
    preprocessor = (config.get("model") or {}).get("data_preprocessor")
    return preprocessor is not None and declared["data_preprocessor"] == preprocessor


def _of_run(config: Config, path: Optional[str]) -> Optional[Normalisation]:
    """How a run normalises; a model's own preprocessor comes first, as in a runner."""
    found = declared_normalisation(config.get("model") or {})
    preprocessor = config.get("data_preprocessor")
    if found is None and isinstance(preprocessor, dict):
        found = normalisation_of(preprocessor)
    if found is None:
        _warn(
            f"The teacher_config {path} has no data_preprocessor whose mean and std "
            "can be read: the teacher sees images normalised as the student's. Set "
            "teacher.data_preprocessor if that is wrong."
        )
    return found


# ------------------------------------------------------------------ data set


def _read_if_there(path: Optional[str]) -> Optional[Config]:
    if path is None:
        return None
    if "::" not in path and not osp.isfile(path):
        _warn(
            f"There is no teacher_config {path}: what images the teacher was trained "
            "on is not read from it, and it sees them normalised as the student's "
            "unless teacher.data_preprocessor says otherwise."
        )
        return None
    return load_config(path)


def _test_set(config: Config) -> Any:
    for name in ("test_dataloader", "val_dataloader", "train_dataloader"):
        loader = config.get(name)
        if isinstance(loader, dict) and loader.get("dataset") is not None:
            return loader["dataset"]
    return None


def _order(dataset: Any) -> Optional[str]:
    if dataset is None:
        return None
    found = pixel_transform(dataset)
    if found is not None:
        _warn(
            f"The pipeline of teacher_config has a {found}, which is not done for "
            "the teacher: set teacher.data_preprocessor to the mean, std and order "
            "of channels that the teacher was trained with."
        )
    return channel_order(dataset)


# ------------------------------------------------------------------ size


def _size(
    declared: Any,
    network: nn.Module,
    dataset: Any,
    config_path: Optional[str],
    size: Size,
) -> tuple:
    """Size and who says so."""
    if size == SAME:
        return None, ""
    if size is not None:
        return _checked_size(size), "teacher_input_size"
    if dataset is not None:
        found = image_size(dataset)
        if found is not None:
            return found, f"teacher_config {config_path}"
    for found, sized_by in _sizes_of(declared, network):
        found = _pair(found)
        if found is not None:
            return found, sized_by
    card = network_card(network)
    if card is not None and dataset is None and _pair(card.size) is not None:
        return _pair(card.size), card.source
    name = _position_embedding(network)
    if name is not None:
        _warn(
            f"The teacher {_describe(network)} has position embeddings ({name}) for "
            "images of one size, which is not known, and may take others in silence: "
            "set teacher_input_size to the size that it was trained on, or to "
            f"{SAME!r} to leave the images as they are."
        )
    return None, ""


def _sizes_of(declared: Any, network: nn.Module) -> Iterator[tuple]:
    """What a network says of its images' size, from its own modules inwards."""
    for module in network.modules():
        name = type(module).__name__
        yield getattr(module, "img_size", None), f"img_size of {name}"
    backbone = getattr(network, "backbone", None)
    if backbone is None:
        return
    name = type(backbone).__name__
    own = declared.get("backbone") if isinstance(declared, dict) else None
    if isinstance(own, dict):
        yield own.get("img_size"), f"img_size of {name}"
        # The built network does not keep it: what it takes where nothing is said.
        parameter = inspect.signature(type(backbone).__init__).parameters.get(
            "img_size"
        )
        if parameter is not None:
            yield parameter.default, f"img_size of {name}"


def _pair(size: Any) -> Optional[Tuple[int, int]]:
    if isinstance(size, int) and not isinstance(size, bool):
        size = size, size
    if not isinstance(size, (tuple, list)) or len(size) != 2:
        return None
    if not all(isinstance(part, int) and part > 0 for part in size):
        return None
    return tuple(size)


def _checked_size(size: Size) -> Tuple[int, int]:
    found = _pair(size)
    if found is None:
        raise ValueError(
            f"teacher_input_size={size!r}; expected the pixels of a side, such as 224, "
            f"(height, width), {SAME!r} for the size of the student's images, or None "
            "to read it: set one of them."
        )
    return found


def _position_embedding(network: nn.Module) -> Optional[str]:
    for name, _ in network.named_parameters():
        if "pos_embed" in name or "position_embedding" in name:
            return name
    return None


def _describe(network: nn.Module) -> str:
    backbone = getattr(network, "backbone", getattr(network, "model", network))
    return type(backbone).__name__


def _warn(message: str) -> None:
    print_log(message, logger="current", level=logging.WARNING)
