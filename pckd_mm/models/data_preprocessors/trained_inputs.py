"""What images a network was trained on, read off its configs and the network itself."""

import logging
from dataclasses import dataclass
from typing import Any, Optional, Sequence, Tuple, Union

from mmengine.config import Config
from mmengine.logging import print_log
from torch import nn

from pckd_mm.datasets.image_format import (
    channel_order,
    image_size,
    pixel_transform,
)
from pckd_mm.utils.config import load_config, loader_of
from pckd_mm.utils.example_inputs import only_input_size
from pckd_mm.utils.input_size import InputSize, as_size, known_input_size
from pckd_mm.utils.shipped import find_config

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
        spare (InputSize, optional): For a network that does not take the student's
            images. Defaults to None.
    """

    normalisation: Optional[Normalisation] = None
    normalised_by: str = ""
    order: Optional[str] = None
    size: Optional[Tuple[int, int]] = None
    sized_by: str = ""
    spare: Optional[InputSize] = None


def trained_inputs(
    declared: Union[dict, nn.Module],
    network: nn.Module,
    config_path: Optional[str] = None,
    size: Size = None,
    checkpoint: Optional[str] = None,
    input_shape: Optional[Sequence[int]] = None,
) -> TrainedInputs:
    """Find out what a teacher was trained on.

    How its images were normalised says the ``data_preprocessor`` of its own config,
    else that of the config that trains it, else what timm and Hugging Face give along
    with weights of theirs. Their size says, unless it is given, the end of the pipeline
    for tests in the config that trains it, else the ``img_size`` of the network's
    config, else timm and Hugging Face, again of weights of theirs. What is not said is
    the student's, but for networks that are made for images of one size.

    Args:
        declared (dict | nn.Module): The network as it was given.
        network (nn.Module): The network as it was built.
        config_path (str, optional): The config that trains it. Defaults to None.
        size (int | Sequence[int] | str, optional): Height and width of its images,
            ``'same'`` for those of the student. Defaults to None, what is read.
        checkpoint (str, optional): Where its weights are. Defaults to None, for those
            that it is built with.
        input_shape (Sequence[int], optional): Channels, height and width of the
            student's images, where they are known. Defaults to None.

    Returns:
        TrainedInputs: What is known.

    Raises:
        ValueError: For a size that is none, and for half a normalisation.
    """
    config, dataset = _read_if_there(config_path), None
    if config is not None:
        dataset = loader_of(config, "test", "val", "train").get("dataset")
    card = network_card(network)
    # Whether what comes with the network is about the weights that it has.
    is_true = checkpoint is None and _has_weights_of_library(declared)
    known = None
    if size is not None:
        size, sized_by = _given_size(size)
    elif dataset is not None and image_size(dataset) is not None:
        size, sized_by = image_size(dataset), f"teacher_config {config_path}"
    else:
        known = known_input_size(network, declared)
        if known is None and card is not None and card.size is not None:
            known = InputSize(card.size, card.source)
        is_right = is_true and dataset is None
        size, sized_by = _size_of_network(network, known, is_right, input_shape)
    found = dict(size=size, sized_by=sized_by, spare=known if size is None else None)

    normalisation = declared_normalisation(declared)
    if normalisation is not None:
        by = "the teacher's own data_preprocessor"
        order: Optional[str] = AS_STUDENT
        if _is_model_of(config, declared):
            by, order = f"teacher_config {config_path}", _order(dataset)
        return TrainedInputs(normalisation, by, order, **found)
    if config is not None:
        normalisation = _of_run(config, config_path)
        if normalisation is not None:
            by = f"teacher_config {config_path}"
            return TrainedInputs(normalisation, by, _order(dataset), **found)
    if config is not None or card is None:
        return TrainedInputs(**found)
    if is_true and card.normalisation is not None:
        return TrainedInputs(card.normalisation, card.source, **found)
    why = f"{card.source} does not say it"
    if card.normalisation is not None:
        why = (
            f"{card.source}, which says {card.normalisation}, is about the weights of "
            "that library"
        )
    _warn(
        f"How images were normalised for the teacher {_describe(network)} is not "
        f"known, {why}: it sees them normalised as the student's. Set "
        "teacher.data_preprocessor if that is wrong, or teacher_config to the config "
        "that trains it."
    )
    return TrainedInputs(**found)


def _has_weights_of_library(declared: Any) -> bool:
    """Whether timm or Hugging Face was asked for its weights, and they stay."""
    if not isinstance(declared, dict) or declared.get("init_cfg") is not None:
        return False  # built by other code, with whatever weights
    return bool(declared.get("pretrained") or declared.get("checkpoint_path"))


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
    try:
        find_config(path)
    except FileNotFoundError:
        _warn(
            f"There is no teacher_config {path}: what images the teacher was trained "
            "on is not read from it, and it sees them normalised as the student's "
            "unless teacher.data_preprocessor says otherwise."
        )
        return None
    return load_config(path)


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


def _given_size(size: Size) -> tuple:
    """Size, and who says so."""
    if size == SAME:
        return None, ""
    found = as_size(size)
    if found is None:
        raise ValueError(
            f"teacher_input_size={size!r}; expected the pixels of a side, such as 224, "
            f"(height, width), {SAME!r} for the size of the student's images, or None "
            "to read it: set one of them."
        )
    return found, "teacher_input_size"


def _size_of_network(
    network: nn.Module,
    known: Optional[InputSize],
    is_right: bool,
    input_shape: Optional[Sequence[int]],
) -> tuple:
    """Size that a network says or needs, and who says so.

    Args:
        network (nn.Module): The network.
        known (InputSize, optional): What it says.
        is_right (bool): Whether that is so of its weights, though nobody chose it.
        input_shape (Sequence[int], optional): Of the student's images.
    """
    if known is not None and (known.is_chosen or is_right):
        return known.size, known.source
    embedding = _position_embedding(network)
    of_images = f"of the images that the teacher {_describe(network)} was trained on"
    remedy = "Set teacher_input_size, or teacher_config to the config that trains it"
    same = f"; teacher_input_size={SAME!r} is the student's"
    size: Optional[Tuple[int, int]]
    if known is not None and embedding is not None:
        size, by = known.size, known.source
        why = f"its position embeddings ({embedding}) are for that, as {by} says"
    else:
        size, by = only_input_size(network, input_shape), "a trial of the network"
        why, same = "it does not run on others", ""
    if size is not None:
        if input_shape is None or tuple(input_shape[1:]) != size:
            _warn(
                f"The size {of_images} is not said: it gets {size[0]} x {size[1]} "
                f"pixels, since {why}. {remedy}{same}."
            )
        return size, by
    if known is not None:
        height, width = known.size
        _warn(
            f"The size {of_images} is not known: {known.source} says {height} x "
            f"{width}, which need not be that of its weights, and it gets the "
            f"student's. {remedy}."
        )
    elif embedding is not None:
        _warn(
            f"The size {of_images} is not known, and its position embeddings "
            f"({embedding}) are for one: it gets the student's. {remedy}."
        )
    return None, ""


def _position_embedding(network: nn.Module) -> Optional[str]:
    """Name of a parameter that has an embedding for each place of an image."""
    for name, _ in network.named_parameters():
        # Not the layers of those that are computed for any size, as XCiT's.
        last = name.removesuffix(".weight").rpartition(".")[2]
        if "pos_embed" in last or "position_embedding" in last:
            return name
    return None


def _describe(network: nn.Module) -> str:
    backbone = getattr(network, "backbone", getattr(network, "model", network))
    return type(backbone).__name__


def _warn(message: str) -> None:
    print_log(message, logger="current", level=logging.WARNING)
