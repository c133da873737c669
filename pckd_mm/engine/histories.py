"""Histories of scalars that do not copy all they hold for each value."""

from typing import Dict, Union

import numpy as np
from mmengine.logging import HistoryBuffer, MessageHub

__all__ = ["GrowingHistory", "let_histories_grow"]

Number = Union[int, float]


class GrowingHistory(HistoryBuffer):
    """MMEngine's history, with room for values to come.

    ``HistoryBuffer.update`` copies the whole history for every value: after 187,000
    steps (240 epochs of CIFAR-100) 3 MB for each scalar of a step. This copies it when
    the room is used up, and then doubles it. Copies and checkpoints hold MMEngine's own
    class.

    Args:
        history (HistoryBuffer): What there is so far.
    """

    def __init__(self, history: HistoryBuffer) -> None:
        self.max_length = history.max_length
        # Whole arrays; what the base class reads are the parts that hold values.
        self._rooms: Dict[str, np.ndarray] = {}
        self._ends: Dict[str, int] = {}
        self._log_history, self._count_history = history.data

    def update(self, log_val: Number, count: Number = 1) -> None:
        """Append a value.

        Args:
            log_val (int | float): The value.
            count (int | float): How many it stands for. Defaults to 1.

        Raises:
            TypeError: For other types.
        """
        for what, value in (("log_val", log_val), ("count", count)):
            if not isinstance(value, (int, float)):
                raise TypeError(
                    f"GrowingHistory found {what} of {type(value).__name__}; expected "
                    "int or float: convert it."
                )
        self._append("_log_history", log_val)
        self._append("_count_history", count)

    def _append(self, name: str, value: Number) -> None:
        held, room = getattr(self, name), self._rooms.get(name)
        end = self._ends.get(name, 0)
        dtype = np.promote_types(held.dtype, np.asarray(value).dtype)
        if room is None or end == len(room) or dtype != room.dtype:
            room, end = np.empty(2 * len(held) + 64, dtype), len(held)
            room[:end] = held
            self._rooms[name] = room
        room[end] = value
        end += 1
        self._ends[name] = end
        setattr(self, name, room[end - min(len(held) + 1, self.max_length) : end])

    def __deepcopy__(self, memo: dict) -> HistoryBuffer:
        # As message hubs copy what goes into a checkpoint.
        return HistoryBuffer(*self.data, max_length=self.max_length)

    def __reduce__(self) -> tuple:
        return HistoryBuffer, (*self.data, self.max_length)


def let_histories_grow(message_hub: MessageHub) -> None:
    """Give the scalars of a message hub room for values to come.

    Args:
        message_hub (MessageHub): The hub. Those that it has already stay the same
            objects from the second time on.
    """
    scalars = message_hub.log_scalars
    for key, history in scalars.items():
        if type(history) is HistoryBuffer:
            scalars[key] = GrowingHistory(history)
