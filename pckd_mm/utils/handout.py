"""Batches from one process to others, which take them at about the same time.

Tensors of the CPU travel through shared memory, those of a GPU stay there: a message
holds where they are. A message to the giver is the step that a taker begins.
"""

import os
from collections import deque
from multiprocessing.connection import Connection, wait
from typing import Any, Deque, Dict, List, Mapping, Optional, Sequence, Tuple, cast

import torch.multiprocessing

__all__ = ["SOCKETS", "TEACHER_LOG", "Handout", "Taker", "connections_from_parent"]

# What a process's environment says of its sockets, and where the giver logs.
SOCKETS = "PCKD_MM_SOCKETS"
TEACHER_LOG = "PCKD_MM_TEACHER_LOG"
# Batches that are ready beyond the one that the slowest taker works on.
AHEAD = 2

Step = Tuple[int, int]  # epoch and iteration, counted from 0


def connections_from_parent() -> List[Connection]:
    """What the process that started this one connected it to.

    Returns:
        list[Connection]: One for each process at the other end; none where it was
        started otherwise.
    """
    numbers = [int(part) for part in os.environ.pop(SOCKETS, "").split(",") if part]
    for number in numbers:
        # Else what this process starts, as torch's manager of shared memory, would keep
        # the end open when this process has ended.
        os.set_inheritable(number, False)
    # Names of shared memory, which need no server as file descriptors do.
    torch.multiprocessing.set_sharing_strategy("file_system")
    return [Connection(number) for number in numbers]


class Handout:
    """Give batches to several takers, none of which gets far ahead of the others.

    A taker that is gone, however it ended, is forgotten.

    Args:
        connections (Sequence[Connection]): To the takers.
        ahead (int): Batches that a taker may have before it asks for them.
    """

    def __init__(self, connections: Sequence[Connection], ahead: int = AHEAD) -> None:
        self._numbers = {taker: number for number, taker in enumerate(connections)}
        self._ahead = ahead
        self._first: Dict[Connection, Step] = {}
        self._at: Dict[Connection, Optional[Step]] = dict.fromkeys(connections)
        self._given: Dict[Connection, Deque[Step]] = {t: deque() for t in connections}
        # A GPU's tensors live as long as here.
        self._parcels: Dict[Step, Mapping[int, Any]] = {}

    @property
    def takers(self) -> List[int]:
        """list[int]: Those that are there, by their places in ``connections``."""
        return [self._numbers[taker] for taker in self._at]

    def begin(self) -> Optional[Step]:
        """Wait until each taker has said where it begins.

        Returns:
            tuple[int, int], optional: The first step that is wanted; None if there is
            no taker any more.
        """
        while any(at is None for at in self._at.values()):
            self._listen()
        return min(self._first[taker] for taker in self._at) if self._at else None

    def wanting(self, step: Step) -> List[int]:
        """Wait until no taker has too many batches before it.

        Args:
            step (tuple[int, int]): A step that was not given yet.

        Returns:
            list[int]: The takers that want it, which others are beyond.
        """
        self._listen(0)
        while any(len(given) > self._ahead for given in self._given.values()):
            self._listen()
        return [self._numbers[t] for t in self._at if step >= self._first[t]]

    def give(self, step: Step, parcels: Mapping[int, Any]) -> None:
        """Give a batch.

        Args:
            step (tuple[int, int]): Which one.
            parcels (Mapping[int, Any]): What each taker gets.
        """
        self._parcels[step] = parcels
        for taker, number in list(self._numbers.items()):
            if number in parcels and taker in self._at:
                self._given[taker].append(step)
                try:
                    taker.send((step, parcels[number]))
                except OSError:
                    self._forget(taker)

    def finish(self) -> None:
        """Wait until all takers are gone, who may not have opened the last batches."""
        while self._at:
            self._listen()

    def _listen(self, seconds: Optional[float] = None) -> None:
        """Hear at least one taker, or all that have said something by a time."""
        # What was given, of which wait() says no more than that one can wait for it.
        ready = cast(List[Connection], wait(list(self._at), seconds))
        for taker in ready:
            try:
                step = taker.recv()
            except (EOFError, OSError):
                self._forget(taker)
                continue
            self._first.setdefault(taker, step)
            self._at[taker] = step
            given = self._given[taker]
            while given and given[0] < step:
                given.popleft()
        used = {step for given in self._given.values() for step in given}
        self._parcels = {k: v for k, v in self._parcels.items() if k in used}

    def _forget(self, taker: Connection) -> None:
        del self._at[taker], self._given[taker]
        taker.close()


class Taker:
    """Take batches from another process.

    Args:
        connection (Connection): To a :class:`Handout`.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._last: Optional[Step] = None

    def take(self, step: Step) -> Any:
        """Wait for the batch of a step.

        Args:
            step (tuple[int, int]): Epoch and iteration, counted from 0; none before
                one that was taken.

        Returns:
            Any: What was given; of the step before nothing is in use any more.

        Raises:
            RuntimeError: Where the giver is gone, and for a step that is not behind
                the last one.
        """
        if self._last is not None and step <= self._last:
            raise RuntimeError(
                f"The batch of step {step} was asked for behind that of {self._last}; "
                "expected that the training images are gone through once in an epoch: "
                "leave out the hook that does it again, or --share-teacher."
            )
        self._last = step
        try:
            self._connection.send(step)
            given, parcel = self._connection.recv()
        except (EOFError, OSError):
            log = os.environ.get(TEACHER_LOG)
            raise RuntimeError(
                "The process that runs the teacher for this run has ended; expected it "
                f"to go on while this run does: {log or 'its log'} says why."
            ) from None
        if given != step:
            raise RuntimeError(f"Expected the batch of step {step}, found {given}.")
        return parcel
