"""The run of a process that has the teacher for others."""

import contextlib
import socket
import threading
from multiprocessing.connection import Connection
from types import SimpleNamespace

import pytest
import torch

from pckd_mm.engine import TeacherLoop
from pckd_mm.utils.handout import Handout, Taker


class Batches(list):
    dataset = ()


@pytest.fixture
def make():
    """A loop over three batches, and the ends of its students."""

    def make(students):
        pairs = [socket.socketpair() for _ in range(students)]
        ours = [Connection(ours.detach()) for ours, _ in pairs]
        loop = TeacherLoop.__new__(TeacherLoop)
        hooks = loop.hooks = []
        wrapper = SimpleNamespace(optim_context=lambda m: contextlib.nullcontext())
        loop._runner = SimpleNamespace(
            call_hook=lambda name, **of: hooks.append((name, loop.epoch, loop.iter)),
            model=torch.nn.Linear(1, 1),
            optim_wrapper=wrapper,
            seed=0,
        )
        loop.dataloader = Batches("abc")
        loop._epoch = loop._iter = 0
        loop._max_epochs = 10**9
        loop._handout = Handout(ours)
        loop._pass = SimpleNamespace(run=run_pass)
        return loop, [Connection(theirs.detach()) for _, theirs in pairs]

    return make


def run_pass(batch, wanting):
    drawn = torch.rand(1).item()
    return {number: (batch, number, drawn) for number in wanting}


def serve(loop, connections, *steps):
    """What each student gets of its steps; it is gone then."""
    found = [[] for _ in connections]

    def take(place):
        taker = Taker(connections[place])
        found[place] += [taker.take(step) for step in steps[place]]
        connections[place].close()

    threads = [threading.Thread(target=take, args=(n,)) for n in range(len(found))]
    for thread in threads:
        thread.start()
    loop.run()
    for thread in threads:
        thread.join(20)
    return found


def test_it_ends_with_its_students(make):
    # Of 10^9 epochs it does what is asked for, from the first epoch that is wanted.
    early = [(7, 0), (7, 1), (7, 2), (8, 0)]
    loop, connections = make(2)
    one, other = serve(loop, connections, early, early[3:])
    assert [batch for batch, _, _ in one] == list("abca")
    assert {number for _, number, _ in one} == {0} and other[0][:2] == ("a", 1)
    assert one[3][2] == other[0][2]
    assert 8 <= loop.epoch < 12  # it may be some batches ahead
    assert ("before_train_epoch", 7, 21) in loop.hooks
    assert ("before_train_iter", 8, 24) in loop.hooks


def test_what_is_drawn_depends_on_the_place_alone(make):
    (whole,) = serve(*make(1), [(e, i) for e in (0, 1) for i in range(3)])
    (later,) = serve(*make(1), [(1, i) for i in range(3)])
    assert whole[3:] == later
    assert len({drawn for _, _, drawn in whole}) == 6


def test_without_students_there_is_nothing_to_do(make):
    loop, _ = make(0)
    loop.run()
    assert [name for name, _, _ in loop.hooks] == ["before_train", "after_train"]
