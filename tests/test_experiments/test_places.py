"""On which GPU a run is trained; GPUs are pretended."""

import itertools
from collections import Counter

import pytest
import torch

from pckd_mm.experiments import (
    LocalExecutor,
    Place,
    Scheduler,
    find_places,
    places,
    scheduler,
)
from tests.test_experiments.test_scheduler import FakeProcess, FakeRun


@pytest.fixture
def machine(monkeypatch):
    """A machine of so many GPUs, of which the environment names some, and 8 cores."""

    def machine(gpus, visible=None, omp=None):
        for name, value in ((places.VISIBLE, visible), ("OMP_NUM_THREADS", omp)):
            monkeypatch.delenv(name, raising=False)
            if value is not None:
                monkeypatch.setenv(name, value)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
        monkeypatch.setattr(places, "cores", lambda: 8)

    return machine


@pytest.mark.parametrize(
    "gpus, visible, given, expected",
    [
        (0, None, {}, ["", ""]),
        (0, None, dict(jobs=3), ["", "", ""]),
        (1, None, {}, ["0"]),
        (8, None, {}, list("01234567")),
        (8, None, dict(jobs=3), list("012")),
        (2, None, dict(jobs=3), list("010")),
        (2, None, dict(per_gpu=3), list("010101")),
        (2, None, dict(per_gpu=3, jobs=5), list("01010")),
        (8, None, dict(gpus_per_run=4), ["0,1,2,3", "4,5,6,7"]),
        (3, "7,5,3", dict(gpus_per_run=2), ["7,5"]),
        (8, None, dict(gpus_per_run=2, jobs=3), ["0,1", "2,3", "4,5"]),
        (2, "5,3", {}, list("53")),
        (2, "GPU-a1, GPU-b2", {}, ["GPU-a1", "GPU-b2"]),
        (1, "5,99,3", {}, ["5"]),  # CUDA stops at the one that is not there
        (0, "", {}, ["", ""]),
        (0, "", dict(together=3), [""]),
        (0, "", dict(together=3, jobs=2), ["", ""]),
    ],
)
def test_one_run_on_each_gpu_unless_told_otherwise(
    gpus, visible, given, expected, machine
):
    machine(gpus, visible)
    found, _ = find_places(**given)
    assert [place.device for place in found] == expected
    assert len(set(found)) == len(found)
    on_gpu = [place.environment.get(places.VISIBLE, "") for place in found]
    assert on_gpu == expected


@pytest.mark.parametrize(
    "gpus, omp, given, expected",
    [
        (0, None, {}, 4),
        (0, None, dict(jobs=16), 1),
        (0, None, dict(together=4), 8),
        (1, None, {}, 8),
        (4, None, {}, 2),
        (4, None, dict(gpus_per_run=2), 2),
        (0, "1", {}, None),
        (0, "1", dict(threads=5), 5),
    ],
)
def test_runs_share_the_cores(gpus, omp, given, expected, machine):
    machine(gpus, omp=omp)
    assert find_places(**given)[1] == expected


@pytest.mark.parametrize(
    "gpus, given, message",
    [
        (0, dict(per_gpu=2), "--per-gpu is 2, and there is no GPU; expected --jobs"),
        (2, dict(gpus_per_run=4), "--gpus-per-run is 4, and there are 2 GPUs; exp"),
        (8, dict(gpus_per_run=4, per_gpu=2), "expected at least as many, and no --per"),
        (2, dict(per_gpu=2, jobs=5), "--jobs is 5, and --per-gpu 2 on 2 GPUs makes 4"),
    ],
)
def test_what_cannot_be_is_refused(gpus, given, message, machine):
    machine(gpus)
    with pytest.raises(ValueError, match=message):
        find_places(**given)


@pytest.mark.parametrize("per_gpu", [1, 3])
def test_twenty_runs_on_eight_gpus(per_gpu, machine, monkeypatch):
    machine(8)
    monkeypatch.setattr(scheduler.time, "sleep", lambda seconds: None)
    found, _ = find_places(per_gpu=per_gpu)
    runs = [FakeRun(str(number)) for number in range(20)]
    clock, busy = itertools.count(), []
    start, poll = FakeRun.start, FakeProcess.poll
    alive = {}

    def begin(run, threads, place):
        start(run, threads, place)
        alive[run.process] = place[places.VISIBLE]
        # Runs of many lengths, so that places come free in another order.
        run.process.until = next(clock) + 7 * (int(run.name) % 5)
        busy.append(Counter(alive.values()))

    def ended(process):
        if next(clock) < process.until:
            return None
        alive.pop(process, None)
        return poll(process)

    monkeypatch.setattr(FakeRun, "start", begin)
    monkeypatch.setattr(FakeProcess, "poll", ended)
    assert Scheduler(runs, LocalExecutor(found)).train() == {}
    assert len(busy) == 20
    assert max(max(count.values()) for count in busy) == per_gpu
    # A second run comes to a GPU when each has one.
    first = min(8, len(found))
    assert busy[first - 1] == Counter(map(str, range(8)))
    assert sum(busy[min(20, 8 * per_gpu) - 1].values()) == min(20, 8 * per_gpu)


def test_a_place_says_where_it_is():
    assert [str(place) for place in (Place(), Place("3", 1))] == ["CPU", "GPU 3"]


def test_which_gpu_a_run_had(machine):
    machine(3, "7,5,3")
    assert [places.gpu_of(Place(name).environment) for name in ("7", "3", "5,3")] == [
        0,
        2,
        1,
    ]
    assert places.gpu_of({}) == 0
    machine(0)
    assert places.gpu_of(Place().environment) == 0
