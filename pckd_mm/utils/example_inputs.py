"""Images that a network takes, found by its own account or by trying."""

import copy
from typing import Iterator, Optional, Sequence, Tuple

import torch
from torch import Tensor, nn

from .input_size import known_input_size
from .randomness import isolated_randomness

__all__ = ["example_inputs", "input_channels", "only_input_size", "takes"]

# Where a network does not say what size it takes: that of CIFAR, a larger one for
# networks that halve an image more often, ImageNet's, Inception's.
_SIZES = (32, 64, 224, 299)


def input_channels(network: nn.Module) -> int:
    """Channels of an image that a network takes.

    Args:
        network (nn.Module): The network.

    Returns:
        int: Those that the first convolution takes, or 3.
    """
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
    if input_shape is not None:
        shapes = [tuple(input_shape)]
    else:
        known = known_input_size(network)
        sizes = [] if known is None else [known.size]
        sizes += [(size, size) for size in _SIZES if (size, size) not in sizes]
        shapes = [(input_channels(network), *size) for size in sizes]
    for shape in shapes:
        yield _images(network, images, shape)


def takes(network: nn.Module, input_shape: Sequence[int]) -> bool:
    """Try whether a network takes images of a shape.

    A copy of it runs on a random image, in evaluation.

    Args:
        network (nn.Module): The network.
        input_shape (Sequence[int]): Channels, height and width.

    Returns:
        bool: Whether it ran.
    """
    network = copy.deepcopy(network).eval()
    with isolated_randomness(), torch.no_grad():
        return _runs(network, _images(network, 1, input_shape))


def only_input_size(
    network: nn.Module, input_shape: Optional[Sequence[int]] = None
) -> Optional[Tuple[int, int]]:
    """Try whether a network takes images of one size only.

    A copy of it runs on random images, in evaluation.

    Args:
        network (nn.Module): The network.
        input_shape (Sequence[int], optional): Channels, height and width of the images
            that it is to take, where they are known. Defaults to None.

    Returns:
        tuple[int, int], optional: The one height and width, or the likeliest, where it
        does not take ``input_shape``. None for a network that takes ``input_shape``, or
        several sizes, or whose size was not found.
    """
    network = copy.deepcopy(network).eval()
    with isolated_randomness(), torch.no_grad():
        if input_shape is not None and _runs(network, _images(network, 1, input_shape)):
            return None
        for inputs in example_inputs(network, 1):
            if not _runs(network, inputs):
                continue
            channels, height, width = inputs.shape[1:]
            if input_shape is None:
                by = (0.5, 2)
                shapes = ((channels, int(height * b), int(width * b)) for b in by)
                if any(_runs(network, _images(network, 1, shape)) for shape in shapes):
                    return None
            return height, width
    return None


def _images(network: nn.Module, count: int, shape: Sequence[int]) -> Tensor:
    weight = next(network.parameters(), torch.zeros(()))
    return torch.randn(count, *shape, dtype=weight.dtype).to(weight.device)


def _runs(network: nn.Module, inputs: Tensor) -> bool:
    try:
        network(inputs)
    except Exception:  # whatever a network says to a size that it cannot take
        return False
    return True
