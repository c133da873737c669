"""Precision and scale, as every loss here needs them."""

from functools import wraps
from typing import Any, Callable, Optional, ParamSpec

import torch
from torch import Tensor

__all__ = [
    "full_precision",
    "l2_normalize",
    "require_group",
    "views_per_image",
    "weight_of_rows",
]

Given = ParamSpec("Given")

_HALF = (torch.float16, torch.bfloat16)


def full_precision(function: Callable[Given, Tensor]) -> Callable[Given, Tensor]:
    """Compute in float32 (float64 for float64 inputs), under autocast as well.

    Exponentials, logarithms and squares of float16 overflow, and autocast would run
    matrix products in half precision whatever the inputs are.
    """

    def upcast(value: Any) -> Any:
        is_half = isinstance(value, Tensor) and value.dtype in _HALF
        return value.float() if is_half else value

    # In quotes, since torch.compile runs this too, and takes no such objects.
    @wraps(function)
    def wrapper(*args: "Given.args", **kwargs: "Given.kwargs") -> Tensor:
        device = next(
            value.device.type
            for value in (*args, *kwargs.values())
            if isinstance(value, Tensor)
        )
        given = [upcast(value) for value in args]
        named = {name: upcast(value) for name, value in kwargs.items()}
        with torch.autocast(device, enabled=False):
            return function(*given, **named)

    return wrapper


def l2_normalize(x: Tensor) -> Tensor:
    """Scale each row to length one; a row of zeros stays, with gradient zero.

    Args:
        x (Tensor): Rows, shape (N, D).

    Returns:
        Tensor: Rows of length one (or zero), shape (N, D). A row of subnormal numbers
        only, by which no gradient can be divided, counts as zero.
    """
    # Dividing by the largest entry first keeps tiny and huge rows from losing their
    # squares to underflow and overflow. It has no part in the gradient: the result
    # does not depend on it.
    largest = x.detach().abs().amax(dim=1, keepdim=True)
    is_zero = largest < torch.finfo(x.dtype).tiny
    x = x / largest.masked_fill(is_zero, 1)
    length = torch.linalg.vector_norm(x.masked_fill(is_zero, 1), dim=1, keepdim=True)
    return x / length.masked_fill(is_zero, torch.inf)


def require_group(group: Optional[Tensor], centers: Tensor, loss: str) -> None:
    """Refuse several sets of category centers where it is not known whose they are.

    Args:
        group (Tensor, optional): Which set is each instance's, shape (N,).
        centers (Tensor): The sets, shape (G, C, D).
        loss (str): Name for the message.

    Raises:
        ValueError: Without group.
    """
    if group is None:
        raise ValueError(
            f"{loss} found {len(centers)} sets of category centers and no group; "
            "expected the set of each instance: add group=dict(recorder='group', "
            "from_student=True, foreground=True) to the loss in loss_forward_mappings."
        )


def views_per_image(
    rows: Tensor, labels: Tensor, weight: Optional[Tensor], loss: str
) -> int:
    """How many rows each image has.

    Args:
        rows (Tensor): Features of all views, shape (V * B, D).
        labels (Tensor): Labels of the images, shape (B,).
        weight (Tensor, optional): Weights of the images, shape (B,).
        loss (str): Name for the message.

    Returns:
        int: V; 1 for no rows of no images.

    Raises:
        ValueError: Where the rows are no multiple of the images.
    """
    views = _views(len(rows), len(labels))
    if not views:
        raise ValueError(
            f"{loss} found {len(rows)} rows for {len(labels)} labels; expected the "
            "same number of views of every image, in sample-major order."
        )
    if weight is not None and weight.shape != labels.shape:
        raise ValueError(
            f"{loss} found weights of shape {tuple(weight.shape)} for labels of shape "
            f"{tuple(labels.shape)}; expected one weight for each image."
        )
    return views


def weight_of_rows(weight: Tensor, rows: Tensor, loss: str) -> Tensor:
    """The weights of the images, for each of their views.

    Args:
        weight (Tensor): Weights of the images, shape (B,).
        rows (Tensor): What all views have, shape (V * B, D), in sample-major order.
        loss (str): Name for the message.

    Returns:
        Tensor: Weights of the rows, shape (V * B,), without gradient.

    Raises:
        ValueError: Where the rows are no multiple of the images.
    """
    views = _views(len(rows), len(weight)) if weight.ndim == 1 else 0
    if not views:
        raise ValueError(
            f"{loss} found weights of shape {tuple(weight.shape)} for {len(rows)} "
            "rows; expected one weight for each image, and the same number of views "
            "of every image, in sample-major order."
        )
    return weight.detach().repeat_interleave(views, output_size=len(rows))


def _views(rows: int, images: int) -> int:
    """Rows of each image; 0 where they have not the same number."""
    views, rest = divmod(rows, images) if images else (1, rows)
    return 0 if rest else views
