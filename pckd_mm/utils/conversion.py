"""Checkpoints of other projects as ours: what all converters share.

A converter knows names; reading, counters, copies and writing are here.
"""

import os
from typing import Callable, Dict, Iterable

import torch
from torch import Tensor, nn

from pckd_mm.registry import MODELS
from pckd_mm.utils.checkpoint import (
    Fitted,
    plain_names,
    read_checkpoint,
    tensors_of,
)
from pckd_mm.utils.files import save_whole

__all__ = [
    "Tensors",
    "build_classifier",
    "convert_checkpoint",
    "copied",
    "published_state_dict",
    "with_counters",
]

Tensors = Dict[str, Tensor]

_COUNTER = ".num_batches_tracked"


def build_classifier(network: dict) -> nn.Module:
    """Build one of mmpretrain's or our networks by its config."""
    return MODELS.build(network)


def published_state_dict(checkpoint: dict, source: str) -> Fitted:
    """The tensors in a published checkpoint, without the names of torch's wrappers.

    Args:
        checkpoint (dict): A state dict, or a dict with one, as ``model`` for one
            (RepDistiller, torchvision's and timm's scripts).
        source (str): Name of its origin, for the message.

    Returns:
        Fitted: The tensors; notes on where they were, and what else their names had.

    Raises:
        ValueError: Where there is no state dict.
    """
    state, found = tensors_of(checkpoint, source)
    if not any(isinstance(value, Tensor) for value in state.values()):
        keys = ", ".join(map(str, list(checkpoint)[:10])) or "nothing"
        raise ValueError(
            f"{source} holds no state dict ({keys}); expected one, or a dict with one "
            "as model or state_dict."
        )
    tensors, notes = plain_names(state)
    return Fitted(tensors, [*found, *notes])


def with_counters(state: Tensors, names: Iterable[str]) -> Tensors:
    """A state dict with the counters of its norm layers, where it has none at all.

    Old versions of torch did not write ``num_batches_tracked``. They are 0 then: norm
    layers with a momentum, as all of these have, do not use them.

    Args:
        state (dict[str, Tensor]): The tensors.
        names (Iterable[str]): Names of all that the network has, in the same spelling.
    """
    if any(name.endswith(_COUNTER) for name in state):
        return state
    counters = [name for name in names if name.endswith(_COUNTER)]
    return {**state, **{name: torch.tensor(0) for name in counters}}


def copied(tensor: Tensor) -> Tensor:
    """A copy, since a view would take its whole storage along into a file."""
    return tensor.detach().clone(memory_format=torch.contiguous_format)


def convert_checkpoint(
    path: str, out: str, convert: Callable[[dict, str], Tensors], **meta: str
) -> None:
    """Write a published checkpoint as one of ours, whole or not at all.

    Args:
        path (str): The published checkpoint: a file or a URL.
        out (str): The file to write.
        convert (Callable): Gives our state dict for what the checkpoint holds and the
            name of its origin, for messages.
        **meta (str): What is noted in the file.

    Raises:
        FileNotFoundError: Where there is no such checkpoint, or no folder to write to.
        ValueError: For a checkpoint that would run code or is not of the network.
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
    converted = convert(read_checkpoint(path), f"The checkpoint {path}")
    meta["converted_from"] = os.path.basename(path)
    save_whole(out, dict(meta=meta, state_dict=converted))
