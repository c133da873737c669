"""Runs on a Ray cluster, which is made of processes here."""

import json
import os
import re
import subprocess
import sys
from types import SimpleNamespace

import pytest

from tests.builders import ROOT

pytest.importorskip("ray")

from pckd_mm.experiments import ray_cluster, ray_executor  # noqa: E402
from pckd_mm.experiments.ray_executor import RayExecutor, RayProcess  # noqa: E402

EIGHT = {"CPU": 64.0, "GPU": 8.0}
ONE = {"CPU": 4.0, "GPU": 1.0}
NONE = {"CPU": 16.0}


class PretendedRay:
    """A cluster of these machines."""

    def __init__(self, machines):
        self.machines = machines

    def nodes(self):
        return [dict(Alive=alive, Resources=has) for alive, has in self.machines]

    def init(self, *args, **settings):
        pass

    def shutdown(self):
        self.machines = []

    def remote(self, **options):
        self.options = options
        return lambda function: function


def connect(monkeypatch, *machines, **settings):
    pretended = PretendedRay([(True, machine) for machine in machines])
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(ray_executor, "ray", pretended)
    monkeypatch.setattr(ray_cluster, "ray", pretended)
    monkeypatch.setattr(ray_executor, "MEMORY", 0)
    return RayExecutor(**settings), pretended


def test_there_are_as_many_places_as_machines_have_room_for(monkeypatch):
    executor, pretended = connect(monkeypatch, EIGHT, ONE, retries=5)
    assert pretended.options == dict(num_cpus=4, num_gpus=1, max_retries=5)
    assert len(set(executor.places)) == 9
    assert str(executor.places[0]) == "a GPU of the Ray cluster"
    pretended.machines[0] = (False, EIGHT)  # is lost
    assert len(executor.places) == 1
    pretended.machines.append((True, EIGHT))
    assert len(executor.places) == 9
    executor, _ = connect(monkeypatch, EIGHT, jobs=3)
    assert len(executor.places) == 3
    executor, _ = connect(monkeypatch, NONE)
    assert [str(place) for place in executor.places] == ["a CPU of the Ray cluster"] * 2


class Task:
    """A task of Ray that ends when it is told to, or only when it has to."""

    def __init__(self, patient=True):
        self.patient, self.told = patient, []

    @property
    def ended(self):
        return bool(self.told) and (self.patient or True in self.told)


def test_stopping_cancels_the_runs_of_the_call_alone(monkeypatch):
    executor, pretended = connect(monkeypatch, NONE)
    tasks = [Task(), Task(patient=False), Task()]

    def wait(tasks, num_returns=1, **settings):
        return [t for t in tasks if t.ended], [t for t in tasks if not t.ended]

    pretended.wait = wait
    pretended.cancel = lambda task, force: task.told.append(force)
    runs = [SimpleNamespace(process=RayProcess(task, None)) for task in tasks]
    executor.stop(runs[:2])
    assert [task.told for task in tasks] == [[False], [False, True], []]
    executor.stop([])


class LostError(Exception):
    pass


@pytest.mark.parametrize(
    "result, status, said",
    [
        (0, 0, ""),
        (3, 3, ""),
        (LostError("line\nit is lost"), 1, "Ray: LostError: line"),
    ],
)
def test_a_task_in_the_form_of_a_process(monkeypatch, tmp_path, result, status, said):
    _, pretended = connect(monkeypatch, NONE)
    log = tmp_path / "output.log"
    log.touch()
    done = []

    def get(task):
        if isinstance(result, Exception):
            raise result
        return result

    pretended.wait = lambda tasks, **settings: (done, tasks)
    pretended.get, pretended.exceptions = get, SimpleNamespace(RayError=LostError)
    process = RayProcess("task", SimpleNamespace(folder=tmp_path, log=log))
    assert process.poll() is None
    done.append("task")
    assert process.poll() == process.returncode == status
    assert said in log.read_text() and bool(said) == bool(log.read_text())


# In a process of its own, with which all of Ray's end.
@pytest.mark.skipif(sys.platform != "linux", reason="children end with it on Linux")
def test_a_run_goes_on_elsewhere_when_its_machine_is_lost(tmp_path):
    script = "tools/benchmarks/lost_machine.py"
    options = ["--methods=alone", "--seeds=1", "--epochs=30", "--machines=2"]
    done = subprocess.run(
        [sys.executable, script, *options, f"--work-dir={tmp_path}"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "ray" / "alone" / "seed_0"
    assert f"The machine that trained {folder} was killed." in done.stdout
    log = (folder / "output.log").read_text()
    # It was begun once, and gone on with once, after an epoch that was not lost.
    assert log.count("--resume begins anew") == 1
    (resumed,) = map(int, re.findall(r"resumed epoch: (\d+)", log))
    assert 1 <= resumed < 30
    curves = [
        json.loads((tmp_path / name / "report.json").read_text())["tables"]
        for name in ("ray", "local")
    ]
    one, other = (table["methods"][0]["runs"][0]["accuracy"] for (table,) in curves)
    assert one == other and len(one) == 30
    assert "The same to the last bit: yes" in done.stdout
