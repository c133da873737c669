"""How a data preprocessor normalises images, and how to get from one to another."""

from dataclasses import dataclass
from typing import Any, Optional, Tuple, Union

import torch
from mmengine.model import BaseDataPreprocessor, ImgDataPreprocessor
from mmpretrain.models.utils import ClsDataPreprocessor
from torch import Tensor, nn

# Settings of OpenMMLab's preprocessors that say how they normalise.
_SETTINGS = ("mean", "std", "to_rgb", "bgr_to_rgb", "rgb_to_bgr")
_KNOWN = (ClsDataPreprocessor, ImgDataPreprocessor)


@dataclass(frozen=True)
class Normalisation:
    """What is done to the pixels of an image, 0 to 255.

    Args:
        mean (tuple[float, ...]): Subtracted from each channel, or from all if it is
            one number. Defaults to (0.0,).
        std (tuple[float, ...]): What that is divided by. Defaults to (1.0,).
        order (str, optional): ``'rgb'`` or ``'bgr'``, the order that the channels are
            brought into first. Defaults to None, that of the images as they are read.
        pad_value (float): What lies beside a smaller image of a batch, afterwards.
            Defaults to 0.0.
    """

    mean: Tuple[float, ...] = (0.0,)
    std: Tuple[float, ...] = (1.0,)
    order: Optional[str] = None
    pad_value: float = 0.0

    def __str__(self) -> str:
        if self == Normalisation():
            return "nothing"
        order = self.order.upper() if self.order else "as read"
        mean, std = (
            [round(value, 3) for value in values] for values in (self.mean, self.std)
        )
        return f"mean {mean}, std {std}, channels {order}"

    def is_like(self, other: "Normalisation") -> bool:
        """Whether another one gives the same numbers but for rounding."""
        scale, shift = conversion(self, other)
        return (
            self.order == other.order
            and self.pad_value == other.pad_value
            and is_identity(scale, shift)
        )


def conversion(
    before: Normalisation, after: Normalisation, swap: bool = False
) -> Tuple[Tensor, Tensor]:
    """Scale and shift that turn one normalisation of an image into another.

    Args:
        before (Normalisation): The one that the image has.
        after (Normalisation): The one that it shall have.
        swap (bool): Whether the image's channels are put into the reverse order first.
            Defaults to False.

    Returns:
        tuple[Tensor, Tensor]: ``scale`` and ``shift``, float64 of shape (C, 1, 1),
        with which ``image * scale + shift`` is normalised as ``after`` says.
    """
    mean, std, new_mean, new_std = (
        torch.tensor(values, dtype=torch.float64).view(-1, 1, 1)
        for values in (before.mean, before.std, after.mean, after.std)
    )
    if swap:
        mean, std = mean.flip(0), std.flip(0)
    return std / new_std, (mean - new_mean) / new_std


def is_identity(scale: Tensor, shift: Tensor) -> bool:
    """Whether a conversion changes nothing but for rounding.

    Args:
        scale (Tensor): Factors, of any shape.
        shift (Tensor): What is added, of the same shape.

    Returns:
        bool: Whether no number of the size of one changes by more than 1e-5.
    """
    return bool(((scale - 1).abs() < 1e-5).all() and (shift.abs() < 1e-5).all())


def normalisation_of(
    preprocessor: Union[dict, nn.Module, None],
) -> Optional[Normalisation]:
    """How a data preprocessor normalises.

    Args:
        preprocessor (dict | nn.Module, optional): A preprocessor of OpenMMLab, or its
            config.

    Returns:
        Normalisation, optional: None where it is not known, for preprocessors of
        another kind.

    Raises:
        ValueError: For a config that has one of ``mean`` and ``std``.
    """
    if isinstance(preprocessor, dict):
        return _of_config(preprocessor)
    if type(preprocessor) is BaseDataPreprocessor:
        return Normalisation()
    if not isinstance(preprocessor, _KNOWN):
        return None
    swaps = "to_rgb"
    if isinstance(preprocessor, ImgDataPreprocessor):
        swaps = "_channel_conversion"  # rgb_to_bgr, hardly ever, looks the same
    settings = dict(
        to_rgb=getattr(preprocessor, swaps), pad_value=preprocessor.pad_value
    )
    if preprocessor._enable_normalize:
        for name in ("mean", "std"):
            settings[name] = getattr(preprocessor, name).flatten().tolist()
    return _of_config(settings)


def declared_normalisation(model: Any) -> Optional[Normalisation]:
    """How a model says that its images are normalised.

    Args:
        model (dict | BaseModel): A network of OpenMMLab or its config.

    Returns:
        Normalisation, optional: That of its ``data_preprocessor``; None where it has
        none, or of a built network one that does nothing, as the default one.
    """
    if isinstance(model, dict):
        preprocessor = model.get("data_preprocessor")
        if isinstance(preprocessor, dict):
            if not any(name in preprocessor for name in ("type", *_SETTINGS)):
                return None  # labels and mixing only
        return normalisation_of(preprocessor)
    found = normalisation_of(getattr(model, "data_preprocessor", None))
    return None if found == Normalisation() else found


def _of_config(config: dict) -> Optional[Normalisation]:
    kind = config.get("type", "ClsDataPreprocessor")
    name = kind if isinstance(kind, str) else kind.__name__
    is_known = name.endswith("DataPreprocessor")  # OpenMMLab's way to call them
    if not is_known and not any(key in config for key in _SETTINGS):
        return None
    mean, std = config.get("mean"), config.get("std")
    if (mean is None) != (std is None):
        raise ValueError(
            f"A data_preprocessor has mean={mean} and std={std}; expected both, one "
            "number for each channel, or neither for pixels of 0 to 255: give both."
        )
    order = None
    if config.get("to_rgb") or config.get("bgr_to_rgb"):
        order = "rgb"
    elif config.get("rgb_to_bgr"):
        order = "bgr"
    numbers = {}
    if mean is not None:
        numbers = dict(mean=_floats(mean), std=_floats(std))
    return Normalisation(
        order=order, pad_value=float(config.get("pad_value", 0)), **numbers
    )


def _floats(values: Any) -> Tuple[float, ...]:
    if isinstance(values, (int, float)):
        return (float(values),)
    return tuple(float(value) for value in values)
