"""Images that a network takes, found by its own account or by trying."""

from typing import Any, Iterator, Optional, Sequence, Tuple

import torch
from torch import Tensor, nn

__all__ = ["example_inputs", "known_input_size"]

# Where a network does not say what size it takes: that of CIFAR, a larger one for
# networks that halve an image more often, ImageNet's, Inception's.
_SIZES = (32, 64, 224, 299)


def _pair(size: Any) -> Optional[Tuple[int, int]]:
    """Height and width of a size that is written as one number or as two."""
    if isinstance(size, int) and size > 0:
        return size, size
    if isinstance(size, (list, tuple)) and len(size) in (2, 3):  # 3: channels first
        height, width = size[-2:]
        if isinstance(height, int) and isinstance(width, int):
            return height, width
    return None


def known_input_size(network: nn.Module) -> Optional[Tuple[int, int]]:
    """Height and width of the images that a network is made for, where it says so.

    Args:
        network (nn.Module): One of mmpretrain, timm or Hugging Face.

    Returns:
        tuple[int, int], optional: From ``img_size``, timm's ``default_cfg`` or Hugging
        Face's ``config.image_size``; None where there is none of these.
    """
    for module in network.modules():
        for settings, name in (
            (module, "img_size"),
            (getattr(module, "default_cfg", None), "input_size"),
            (getattr(module, "config", None), "image_size"),
        ):
            if isinstance(settings, dict):
                size = settings.get(name)
            else:
                size = getattr(settings, name, None)
            if _pair(size) is not None:
                return _pair(size)
    return None


def _channels(network: nn.Module) -> int:
    """Channels of an image: those that the first convolution takes."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            return module.in_channels
    return 3


def example_inputs(
    network: nn.Module, images: int, input_shape: Optional[Sequence[int]] = None
) -> Iterator[Tensor]:
    """Batches of random images that a network may take, the likeliest first.

    Args:
        network (nn.Module): The network.
        images (int): Images in a batch.
        input_shape (Sequence[int], optional): Channels, height and width, where they
            are known. Defaults to None.

    Yields:
        Tensor: Images of another size each, shape (images, C, H, W).
    """
    parameter = next(network.parameters())
    if input_shape is not None:
        shapes = [tuple(input_shape)]
    else:
        known = known_input_size(network)
        sizes = [] if known is None else [known]
        sizes += [(size, size) for size in _SIZES if (size, size) != known]
        shapes = [(_channels(network), *size) for size in sizes]
    for shape in shapes:
        yield torch.randn(images, *shape, dtype=parameter.dtype).to(parameter.device)
