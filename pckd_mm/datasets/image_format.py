"""What the images of a data set are before they are normalised, read off its config."""

import re
from typing import Any, Iterator, Optional, Sequence, Tuple

from pckd_mm.utils.nested_datasets import inner_datasets

__all__ = [
    "channel_order",
    "held_format",
    "image_size",
    "pixel_transform",
]

# Data sets that hold arrays instead of naming files: order of channels and size.
_HELD = dict(
    CIFAR10=("rgb", (32, 32)),
    CIFAR100=("rgb", (32, 32)),
    CheckedCIFAR100=("rgb", (32, 32)),
    STL10=("rgb", (96, 96)),
    MNIST=("gray", (28, 28)),
    FashionMNIST=("gray", (28, 28)),
    DigitsDataset=("gray", (8, 8)),
    LettersDataset=("gray", (16, 16)),
)
_SWAPPED = dict(rgb="bgr", bgr="rgb")
# Transforms, of torchvision too, that leave the size as it is.
_KEEP_SIZE = frozenset(
    (
        "PackInputs PackMultiTaskInputs Collect ToTensor ImageToTensor PILToTensor "
        "ToPILImage NumpyToPIL PILToNumpy ToPIL ToNumpy ConvertImageDtype Compose "
        "LoadAnnotations CleanCaption RandomFlip RandomHorizontalFlip "
        "RandomVerticalFlip Normalize ColorJitter Lighting Grayscale RandomGrayscale "
        "RandomErasing GaussianBlur AutoContrast Brightness ColorTransform Contrast "
        "Cutout Equalize Invert Posterize Rotate Sharpness Shear Solarize SolarizeAdd "
        "Translate AutoAugment RandAugment TrivialAugmentWide AugMix RandomInvert "
        "RandomPosterize RandomSolarize RandomAdjustSharpness RandomAutocontrast "
        "RandomEqualize"
    ).split()
)
# Those that cut out a size; where it stands, and whether it is (width, height) there.
# Torchvision's have size, (height, width).
_CROPS = dict(
    CenterCrop=("crop_size", True),
    EfficientNetCenterCrop=("crop_size", True),
    RandomCrop=("crop_size", False),
    RandomResizedCrop=("scale", False),
    EfficientNetRandomCrop=("scale", False),
)


def channel_order(dataset: Any) -> Optional[str]:
    """Order of the channels that a data set's pipeline ends with.

    Args:
        dataset (dict | Dataset): A data set of OpenMMLab or its config, with or without
            a wrapper.

    Returns:
        str, optional: ``'rgb'``, ``'bgr'`` or ``'gray'``; None where it is not known,
        as for a data set of one's own that reads images by its own code.
    """
    return _of_all(_order(part) for part in inner_datasets(dataset))


def image_size(dataset: Any) -> Optional[Tuple[int, int]]:
    """Height and width of the images that a data set's pipeline ends with.

    Args:
        dataset (dict | Dataset): As for :func:`channel_order`.

    Returns:
        tuple[int, int], optional: None where the pipeline leaves them open.
    """
    return _of_all(_size(part) for part in inner_datasets(dataset))


def held_format(dataset: Any) -> Tuple[Optional[str], Optional[Tuple[int, int]]]:
    """What images of a data set are that holds arrays instead of naming files.

    Args:
        dataset (dict | Dataset): As for :func:`channel_order`, without a wrapper.

    Returns:
        tuple: Order of their channels, and height and width; None of other data sets.
    """
    known = [_HELD[name] for name in sorted(_names(dataset)) if name in _HELD]
    return known[0] if known else (None, None)


def pixel_transform(dataset: Any) -> Optional[str]:
    """Transform of a data set's pipeline after which pixels are not 0 to 255.

    Args:
        dataset (dict | Dataset): As for :func:`channel_order`.

    Returns:
        str, optional: Name of its class: ``'Normalize'``, or one of torchvision's that
        scale to 0 to 1. None where there is none.
    """
    for part in inner_datasets(dataset):
        for step in _transforms(part):
            names = _names(step)
            if "Normalize" in names:
                return "Normalize"
            if _is_of_torchvision(step):
                for name in ("ToTensor", "ConvertImageDtype"):
                    if name in names:
                        return f"torchvision/{name}"
    return None


def _order(dataset: Any) -> Optional[str]:
    order, _ = held_format(dataset)
    for step in _transforms(dataset):
        names = _names(step)
        if "LoadImageFromFile" in names:
            color = _get(step, "color_type", "color")
            # OpenCV's order, whatever backend decodes; other types keep the file's.
            order = {"color": "bgr", "grayscale": "gray"}.get(color)
        elif _get(step, "to_rgb" if _to_pillow(names) else "to_bgr", False):
            if _to_pillow(names) or not names.isdisjoint({"PILToNumpy", "ToNumpy"}):
                order = _SWAPPED.get(order or "", order)
    return order


def _to_pillow(names: set) -> bool:
    return not names.isdisjoint({"NumpyToPIL", "ToPIL"})


def _size(dataset: Any) -> Optional[Tuple[int, int]]:
    _, size = held_format(dataset)
    for step in _transforms(dataset):
        names = _names(step)
        of_torchvision = _is_of_torchvision(step)
        crops = [place for name, place in _CROPS.items() if name in names]
        if crops:
            name, is_swapped = ("size", False) if of_torchvision else crops[0]
            size = _height_and_width(_get(step, name), is_swapped)
        elif "Resize" in names and of_torchvision:
            size = _resized(size, _get(step, "size"))
        elif "Resize" in names:
            fixed = not _get(step, "keep_ratio", False)
            size = _height_and_width(_get(step, "scale"), True) if fixed else None
        elif "ResizeEdge" in names:
            size = _resized(size, _get(step, "scale"))
        elif names.isdisjoint(_KEEP_SIZE):
            size = None  # of images in files, or whatever the transform does
    return size


def _resized(size: Optional[Tuple[int, int]], wanted: Any) -> Optional[Tuple[int, int]]:
    """Resized to height and width, or to an edge, which fixes both of a square."""
    is_edge = isinstance(wanted, int) or (
        isinstance(wanted, Sequence) and len(wanted) == 1
    )
    if is_edge and (size is None or size[0] != size[1]):
        return None
    return _height_and_width(wanted, False)


def _height_and_width(size: Any, is_swapped: bool) -> Optional[Tuple[int, int]]:
    """One number for both, or two, which mmcv has as (width, height)."""
    if isinstance(size, Sequence) and len(size) == 1:
        (size,) = size
    if isinstance(size, int):
        return size, size
    if isinstance(size, Sequence) and len(size) == 2:
        height, width = reversed(size) if is_swapped else size
        return int(height), int(width)
    return None


def _transforms(dataset: Any) -> Iterator[Any]:
    """Transforms of a data set's pipeline, one after the other."""
    return _flat(_get(dataset, "pipeline") or [])


def _flat(steps: Any) -> Iterator[Any]:
    # A built pipeline is a Compose.
    for step in getattr(steps, "transforms", steps):
        if isinstance(step, (list, tuple)):
            yield from _flat(step)
            continue
        if "TorchVisonTransformWrapper" in _names(step):
            step = getattr(step, "t", step)
        # Those inside of Compose, RandomApply and the like come first.
        yield from _flat(_get(step, "transforms") or [])
        yield step


def _is_of_torchvision(step: Any) -> bool:
    if isinstance(step, dict):
        kind = step.get("type")
        if isinstance(kind, str):
            return "torchvision/" in kind
        return getattr(kind, "__module__", "").startswith("torchvision.")
    return type(step).__module__.startswith("torchvision.")


def _names(owner: Any) -> set:
    """Names of the class of an object or a config, and of those that it is based on."""
    cls: Any = type(owner)
    if isinstance(owner, dict):
        cls = owner.get("type")
        if isinstance(cls, str):
            return {re.split("[./]", cls)[-1]}
    return {base.__name__ for base in getattr(cls, "__mro__", ())}


def _get(owner: Any, name: str, default: Any = None) -> Any:
    if isinstance(owner, dict):
        return owner.get(name, default)
    return getattr(owner, name, default)


def _of_all(values: Iterator[Any]) -> Any:
    found = set(values)
    return found.pop() if len(found) == 1 else None
