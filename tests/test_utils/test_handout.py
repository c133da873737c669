"""Batches that one process gives to several."""

import os
import socket
import threading
from multiprocessing.connection import Connection

import pytest

from pckd_mm.utils import handout
from pckd_mm.utils.handout import Handout, Taker, connections_from_parent


def connected(number):
    """Ends of the giver and takers."""
    pairs = [socket.socketpair() for _ in range(number)]
    ours, theirs = zip(*pairs, strict=True)
    return (
        [Connection(end.detach()) for end in ours],
        [Connection(end.detach()) for end in theirs],
    )


@pytest.fixture
def two():
    ours, theirs = connected(2)
    return Handout(ours, ahead=1), theirs


def ask(connections, *steps):
    for connection, step in zip(connections, steps, strict=True):
        connection.send(step)


def test_it_begins_where_the_first_of_them_does(two):
    given, (one, other) = two
    ask([one, other], (3, 0), (1, 0))
    assert given.begin() == (1, 0)
    # The other is beyond these.
    assert given.wanting((1, 0)) == [1]
    given.give((1, 0), {1: "a"})
    assert other.recv() == ((1, 0), "a") and not one.poll()
    assert given.wanting((3, 0)) == [0, 1]


def test_no_taker_gets_further_ahead_than_it_may(two):
    given, (quick, slow) = two
    ask([quick, slow], (0, 0), (0, 0))
    given.begin()
    for index in range(2):  # that which they work on, and one more
        step = (0, index)
        assert given.wanting(step) == [0, 1]
        given.give(step, {0: index, 1: index})
    quick.send((0, 1))
    waited = []
    thread = threading.Thread(target=lambda: waited.append(given.wanting((0, 2))))
    thread.start()
    thread.join(0.3)
    assert waited == []
    slow.send((0, 1))
    thread.join(20)
    assert waited == [[0, 1]]


def test_a_taker_that_is_gone_is_waited_for_no_more(two):
    given, (one, other) = two
    ask([one], (0, 0))
    other.close()  # before it has said anything
    assert given.begin() == (0, 0) and given.takers == [0]
    given.give((0, 0), {0: "a", 1: "b"})
    given.give((0, 1), {0: "a"})
    one.close()
    assert given.wanting((0, 2)) == [] and given.takers == []
    given.give((0, 2), {0: "c"})
    given.finish()
    assert Handout([]).begin() is None


def test_what_is_given_is_kept_until_it_is_used(two):
    given, (one, other) = two
    ask([one, other], (0, 0), (0, 0))
    given.begin()
    given.give((0, 0), {0: "a", 1: "a"})
    given.give((0, 1), {0: "b", 1: "b"})
    ask([one, other], (0, 1), (0, 1))
    given._listen()
    given._listen(0)
    assert list(given._parcels) == [(0, 1)]


def test_takers_take_step_by_step():
    ours, (theirs,) = connected(1)
    given, taken = Handout(ours), []

    def take():
        taker = Taker(theirs)
        for step in ((0, 0), (0, 1), (1, 0)):
            taken.append(taker.take(step))
        theirs.close()

    thread = threading.Thread(target=take)
    thread.start()
    assert given.begin() == (0, 0)
    for step in ((0, 0), (0, 1), (1, 0)):
        assert given.wanting(step) == [0]
        given.give(step, {0: f"batch {step}"})
    given.finish()
    thread.join(20)
    assert taken == ["batch (0, 0)", "batch (0, 1)", "batch (1, 0)"]


@pytest.mark.parametrize("when", ["before", "while it waits"])
def test_without_the_giver_a_taker_says_where_to_look(when, monkeypatch):
    monkeypatch.setenv(handout.TEACHER_LOG, "work/output.log")
    (ours,), (theirs,) = connected(1)
    threading.Timer(0 if when == "before" else 0.2, ours.close).start()
    with pytest.raises(RuntimeError, match="has ended; .* work/output.log says why"):
        Taker(theirs).take((0, 0))


def test_another_step_than_was_asked_for_is_refused():
    (ours,), (theirs,) = connected(1)
    ours.send(((0, 7), "batch"))
    with pytest.raises(RuntimeError, match=r"step \(0, 3\), found \(0, 7\)"):
        Taker(theirs).take((0, 3))


def test_a_process_finds_its_connections_once(monkeypatch):
    ours, theirs = socket.socketpair()
    monkeypatch.setenv(handout.SOCKETS, str(theirs.detach()))
    os.set_inheritable(int(os.environ[handout.SOCKETS]), True)  # as it comes there
    (found,) = connections_from_parent()
    assert not os.get_inheritable(found.fileno())
    found.send("hello")
    assert Connection(ours.detach()).recv() == "hello"
    assert handout.SOCKETS not in os.environ and connections_from_parent() == []
