"""Seeding by place in the run, and keeping what is drawn aside."""

import random

import numpy as np
import pytest
import torch

from pckd_mm.utils.randomness import isolated_randomness, reseed


@pytest.fixture(autouse=True)
def _keep_generators():
    """These tests seed; others shall not notice."""
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    yield
    random.setstate(states[0])
    np.random.set_state(states[1])
    torch.set_rng_state(states[2])


def draw():
    """One number of each generator."""
    return random.random(), float(np.random.rand()), float(torch.rand(()))


def draw_after(*entropy):
    reseed(*entropy)
    return draw()


def test_reseed_decides_over_every_generator():
    first = draw_after(7, 3, 1)
    draw()
    assert draw_after(7, 3, 1) == first


@pytest.mark.parametrize("other", [(8, 3, 1), (7, 4, 1), (7, 3, 0), (3, 7, 1), (7, 3)])
def test_other_entropy_gives_other_numbers(other):
    pairs = zip(draw_after(7, 3, 1), draw_after(*other), strict=True)
    assert all(a != b for a, b in pairs)


def test_neighbouring_places_do_not_overlap():
    # seed + epoch would give (0, 1) the numbers of (1, 0).
    places = [
        (seed, epoch, rank)
        for seed in range(4)
        for epoch in range(4)
        for rank in range(2)
    ]
    assert len({draw_after(*place) for place in places}) == len(places)


def test_negative_entropy_is_an_error():
    with pytest.raises(ValueError):
        reseed(-1)


def test_isolated_randomness_restores_every_generator():
    reseed(5)
    expected = [draw() for _ in range(3)]
    reseed(5)
    found = [draw()]
    with isolated_randomness():
        reseed(9)
        inside = [draw() for _ in range(5)]
    found += [draw() for _ in range(2)]
    assert found == expected
    reseed(9)
    assert inside == [draw() for _ in range(5)]


def test_isolated_randomness_restores_after_an_error():
    reseed(5)
    expected = draw()
    reseed(5)
    with pytest.raises(KeyError), isolated_randomness():
        reseed(9)
        draw()
        raise KeyError
    assert draw() == expected
