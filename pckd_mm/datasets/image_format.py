"""What the images of a data set are before they are normalised, read off its config."""

from typing import Any, Iterator, List, Optional, Sequence, Tuple

__all__ = ["applies", "channel_order", "image_size"]

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


def channel_order(dataset: Any) -> Optional[str]:
    """Order of the channels that a data set's pipeline ends with.

    Args:
        dataset (dict | Dataset): A data set of OpenMMLab or its config, with or without
            a wrapper.

    Returns:
        str, optional: ``'rgb'``, ``'bgr'`` or ``'gray'``; None where it is not known,
        as for a data set of one's own that reads images by its own code.
    """
    return _of_all(_order(part) for part in _parts(dataset))


def image_size(dataset: Any) -> Optional[Tuple[int, int]]:
    """Height and width of the images that a data set's pipeline ends with.

    Args:
        dataset (dict | Dataset): As for :func:`channel_order`.

    Returns:
        tuple[int, int], optional: None where the pipeline leaves them open.
    """
    return _of_all(_size(part) for part in _parts(dataset))


def applies(dataset: Any, transform: str) -> bool:
    """Whether a data set's pipeline has a transform, by the name of its class.

    Args:
        dataset (dict | Dataset): As for :func:`channel_order`.
        transform (str): Such as ``'Normalize'``.

    Returns:
        bool: Of any part of the data set.
    """
    return any(
        transform in _names(step)
        for part in _parts(dataset)
        for step in _transforms(part)
    )


def _order(dataset: Any) -> Optional[str]:
    order, _ = _held(dataset)
    for step in _transforms(dataset):
        names = _names(step)
        if "LoadImageFromFile" in names:
            color = _get(step, "color_type", "color")
            # OpenCV's order, whatever backend decodes; other types keep the file's.
            order = {"color": "bgr", "grayscale": "gray"}.get(color)
        elif _get(step, "to_rgb" if _to_pillow(names) else "to_bgr", False):
            if _to_pillow(names) or not names.isdisjoint({"PILToNumpy", "ToNumpy"}):
                order = _SWAPPED.get(order, order)
    return order


def _to_pillow(names: set) -> bool:
    return not names.isdisjoint({"NumpyToPIL", "ToPIL"})


def _size(dataset: Any) -> Optional[Tuple[int, int]]:
    _, size = _held(dataset)
    for step in _transforms(dataset):
        names = _names(step)
        if "LoadImageFromFile" in names or "ResizeEdge" in names:
            size = None
        elif not names.isdisjoint({"CenterCrop", "EfficientNetCenterCrop"}):
            size = _height_and_width(_get(step, "crop_size"))
        elif "Resize" in names:
            fixed = not _get(step, "keep_ratio", False)
            size = _height_and_width(_get(step, "scale")) if fixed else None
    return size


def _height_and_width(size: Any) -> Optional[Tuple[int, int]]:
    """Transforms of mmcv have (width, height), or one number for both."""
    if isinstance(size, int):
        return size, size
    if isinstance(size, Sequence) and len(size) == 2:
        width, height = size
        return int(height), int(width)
    return None


def _held(dataset: Any) -> tuple:
    known = [_HELD[name] for name in sorted(_names(dataset)) if name in _HELD]
    return known[0] if known else (None, None)


def _parts(dataset: Any) -> Iterator[Any]:
    """The data sets inside of wrappers."""
    if _get(dataset, "datasets") is not None:
        for part in _get(dataset, "datasets"):
            yield from _parts(part)
    elif _get(dataset, "dataset") is not None:
        yield from _parts(_get(dataset, "dataset"))
    else:
        yield dataset


def _transforms(dataset: Any) -> List[Any]:
    pipeline = _get(dataset, "pipeline") or []
    # A built pipeline is a Compose.
    return list(getattr(pipeline, "transforms", pipeline))


def _names(owner: Any) -> set:
    """Names of the class of an object or a config, and of those that it is based on."""
    cls = type(owner)
    if isinstance(owner, dict):
        cls = owner.get("type")
        if isinstance(cls, str):
            return {cls.rpartition(".")[2]}
    return {base.__name__ for base in getattr(cls, "__mro__", ())}


def _get(owner: Any, name: str, default: Any = None) -> Any:
    if isinstance(owner, dict):
        return owner.get(name, default)
    return getattr(owner, name, default)


def _of_all(values: Iterator[Any]) -> Any:
    found = set(values)
    return found.pop() if len(found) == 1 else None
