"""The model inside of what distributes it."""

from mmengine.model import BaseModel, is_model_wrapper
from torch import nn


def unwrap(model: nn.Module) -> BaseModel:
    """The model itself, without DDP or any other wrapper that MMEngine knows.

    Args:
        model (nn.Module): A runner's model.

    Returns:
        BaseModel: What it wraps, or the model where it wraps nothing.
    """
    return model.module if is_model_wrapper(model) else model
