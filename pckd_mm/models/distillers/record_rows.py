"""Rows of a record: those of one view of each image, or of some instances."""

from typing import Any, Iterator, Optional, Union

from torch import Tensor

__all__ = ["check_view", "rows_of_view", "take_rows"]


def take_rows(record: Any, index: Union[Tensor, slice]) -> Any:
    """Some rows of a record; of each tensor where it is a tuple of them.

    Args:
        record (Any): A tensor, None, or a sequence of such.
        index (Tensor | slice): Which rows.

    Returns:
        Any: The same with these rows only.
    """
    if isinstance(record, (list, tuple)):
        return tuple(take_rows(entry, index) for entry in record)
    return None if record is None else record[index]


def check_view(recorder: str, view: int, num_views: int) -> None:
    """Refuse a view that images do not have.

    Args:
        recorder (str): Name of the recorder, for the message.
        view (int): Which view is asked for.
        num_views (int): Views of each image.

    Raises:
        ValueError: For such a view.
    """
    if not 0 <= view < num_views:
        raise ValueError(
            f"A mapping of the recorder {recorder} asks for view={view}, and found "
            f"{num_views} views of each image; expected 0 to {num_views - 1}: change "
            "view in loss_forward_mappings, or the model's num_views."
        )


def rows_of_view(
    recorder: str, record: Any, view: int, num_views: int, images: Optional[int]
) -> Any:
    """The rows of one view of each image.

    Args:
        recorder (str): Name of the recorder, for messages.
        record (Any): Rows of all views in sample-major order, shape (V * B, ...), or a
            sequence of such.
        view (int): Which view.
        num_views (int): Views V of each image.
        images (int, optional): Number of images B; None where it is not known.

    Returns:
        Any: Rows of shape (B, ...).

    Raises:
        ValueError: For a view that is not there, and for rows that are no views.
    """
    check_view(recorder, view, num_views)
    for rows in _row_counts(record) if num_views > 1 else ():
        if rows % num_views or images not in (None, rows // num_views):
            raise ValueError(
                f"A mapping of the recorder {recorder} asks for view={view}, and found "
                f"{rows} rows for {num_views} views of each of {images or 'the'} "
                "images; expected a row for each view of each image: remove view from "
                "this argument in loss_forward_mappings."
            )
    return take_rows(record, slice(view, None, num_views))


def _row_counts(record: Any) -> Iterator[int]:
    if isinstance(record, (list, tuple)):
        for entry in record:
            yield from _row_counts(entry)
    elif isinstance(record, Tensor):
        yield len(record)
