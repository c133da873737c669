"""Histories that grow hold what MMEngine's do."""

import copy
import pickle

import numpy as np
import pytest
from mmengine.logging import HistoryBuffer, MessageHub

from pckd_mm.engine.histories import GrowingHistory, let_histories_grow


def assert_same(found: HistoryBuffer, wanted: HistoryBuffer) -> None:
    for ours, theirs in zip(found.data, wanted.data, strict=True):
        assert ours.dtype == theirs.dtype
        assert ours.tolist() == theirs.tolist()
    assert found.max_length == wanted.max_length


@pytest.mark.parametrize("max_length", [4, 1000])
@pytest.mark.parametrize("first", [[], [1, 2], [0.5]])
@pytest.mark.filterwarnings("error::UserWarning")  # of a history that is too long
def test_values_types_and_lengths_are_those_of_mmengine(first, max_length):
    wanted = HistoryBuffer(first, [1] * len(first), max_length)
    found = GrowingHistory(copy.deepcopy(wanted))
    for index, value in enumerate([3, True, 4, 0.25, 7, *range(300)]):
        for history in (found, wanted):
            history.update(value, 1 + index % 3)
        assert_same(found, wanted)
    assert found.current() == 299
    assert found.mean(3) == wanted.mean(3)
    assert found.statistics("max", 2) == wanted.statistics("max", 2) == 299


def test_what_was_handed_out_does_not_change():
    history = GrowingHistory(HistoryBuffer([1.0, 2.0], [1, 1], max_length=3))
    values, _ = history.data
    for value in range(200):
        history.update(float(value))
    assert values.tolist() == [1.0, 2.0]


def test_values_are_copied_when_the_room_is_used_up_only(monkeypatch):
    history = GrowingHistory(HistoryBuffer(np.ones(1000), np.ones(1000)))
    made, empty = [], np.empty

    def counting(size, dtype):
        made.append(size)
        return empty(size, dtype)

    monkeypatch.setattr(np, "empty", counting)
    for _ in range(3000):
        history.update(1.0)
    assert made == [2064, 2064, 4192, 4192]  # values and counts


def test_copies_and_checkpoints_hold_mmengines_own_class():
    history = GrowingHistory(HistoryBuffer([1.0], [1]))
    history.update(2.0)
    for copied in (copy.deepcopy(history), pickle.loads(pickle.dumps(history))):
        assert type(copied) is HistoryBuffer
        assert_same(copied, history)
    assert b"pckd_mm" not in pickle.dumps(history)


def test_a_hub_keeps_those_that_grow():
    hub = MessageHub("histories")
    hub.update_scalar("train/time", 0.5)
    let_histories_grow(hub)
    held = hub.get_scalar("train/time")
    assert type(held) is GrowingHistory
    hub.update_scalar("train/time", 0.25)
    let_histories_grow(hub)
    assert hub.get_scalar("train/time") is held
    assert held.data[0].tolist() == [0.5, 0.25]
    assert type(hub.state_dict()["log_scalars"]["train/time"]) is HistoryBuffer


@pytest.mark.parametrize("values", [("1", 1), (1.0, "1"), (np.ones(1), 1)])
def test_other_types_are_refused(values):
    with pytest.raises(TypeError, match="GrowingHistory found"):
        GrowingHistory(HistoryBuffer()).update(*values)
