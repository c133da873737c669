"""Which machines a Ray cluster has, and what a run gets of them."""

import socket
from types import SimpleNamespace

import pytest

from pckd_mm.experiments import ExperimentError

pytest.importorskip("ray")

from pckd_mm.experiments import ray_cluster  # noqa: E402
from pckd_mm.experiments.ray_cluster import RayCluster, share  # noqa: E402

EIGHT = {"CPU": 64.0, "GPU": 8.0}
ONE = {"CPU": 4.0, "GPU": 1.0}
NONE = {"CPU": 16.0}


@pytest.fixture(autouse=True)
def threads_are_open(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)


@pytest.mark.parametrize(
    "machines, given, expected",
    [
        ([EIGHT], {}, (1, 8)),
        ([EIGHT, ONE], {}, (1, 4)),  # fits both
        ([EIGHT, NONE], {}, (1, 8)),
        ([EIGHT], dict(per_gpu=4), (0.25, 2)),
        ([EIGHT], dict(threads=3), (1, 3)),
        ([EIGHT, ONE], dict(gpus_per_run=4), (4, 32)),
        ([EIGHT], dict(gpus_per_run=8, threads=2), (8, 16)),
        ([NONE], {}, (0, 8)),
        ([NONE, {"CPU": 1.0}], {}, (0, 1)),
        ([{}, NONE], {}, (0, 8)),  # the head may train nothing
    ],
)
def test_what_a_run_gets(machines, given, expected):
    assert share(machines, **given) == expected


def test_threads_that_the_environment_says(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    assert share([EIGHT]) == (1, 5) and share([EIGHT], threads=2) == (1, 2)


def test_runs_on_gpus_that_are_not_there():
    with pytest.raises(ExperimentError, match="--per-gpu is 2, and the Ray cluster ha"):
        share([NONE], per_gpu=2)
    with pytest.raises(ExperimentError, match="--gpus-per-run is 8, which no machine"):
        share([ONE, ONE], gpus_per_run=8)


def test_a_run_that_fits_on_no_machine_is_refused(monkeypatch):
    machines = [dict(Alive=True, Resources=ONE)]
    pretended = SimpleNamespace(
        nodes=lambda: machines, init=lambda *a, **s: None, shutdown=machines.clear
    )
    monkeypatch.setattr(ray_cluster, "ray", pretended)
    with pytest.raises(ExperimentError, match="no machine with 1 GPU and 9 CPUs f"):
        RayCluster("auto", threads=9)
    assert not machines  # and left


@pytest.mark.parametrize(
    "given, cpus",
    [({}, 4), (dict(jobs=2), 4), (dict(threads=1, jobs=6), 6)],
)
def test_a_machine_has_room_for_as_many_runs_as_are_asked_for(given, cpus, monkeypatch):
    begun = []
    pretended = SimpleNamespace(
        init=lambda *_, num_cpus, **s: begun.append(num_cpus),
        nodes=lambda: [dict(Alive=True, Resources={"CPU": float(begun[0])})],
        shutdown=lambda: None,
    )
    monkeypatch.setattr(ray_cluster, "ray", pretended)
    monkeypatch.setattr(ray_cluster, "cores", lambda: 4)
    cluster = RayCluster(**given)
    assert begun == [cpus] and cluster.room() >= given.get("jobs", 1)


def test_no_cluster_at_an_address_is_said_at_once():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # which nothing listens at
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(
            ExperimentError, match=f"no Ray cluster at {address} .*start"
        ):
            RayCluster(address)


def test_without_ray_it_is_said_how_to_get_it(monkeypatch):
    monkeypatch.setattr(ray_cluster, "ray", None)
    with pytest.raises(ExperimentError, match=r"pip install 'pckd_mm\[scale\]'"):
        RayCluster()
