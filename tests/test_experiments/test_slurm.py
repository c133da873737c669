"""Runs as jobs of Slurm, whose commands are stood in for."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pckd_mm.experiments import ExperimentError, Settings
from tests.builders import ROOT
from tests.test_experiments.test_executor import CONFIG, Pretended

pytest.importorskip("submitit")

from pckd_mm.experiments import slurm  # noqa: E402

# Counts the jobs, from 1 on, and keeps their scripts.
SBATCH = """#!/bin/sh
number=$(($(ls {folder}/*.sh 2>/dev/null | wc -l) + 1))
cp "$1" {folder}/$number.sh
echo "Submitted batch job $number"
"""


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    """Slurm's commands; the folder of what they were given."""
    folder = tmp_path / "cluster"
    folder.mkdir()
    (folder / "queue").touch()
    commands = {
        "sbatch": SBATCH.format(folder=folder),
        "srun": "#!/bin/sh\n",
        "squeue": f'#!/bin/sh\necho "$@" > {folder}/asked\ncat {folder}/queue\n',
    }
    (tmp_path / "bin").mkdir()
    for name, text in commands.items():
        path = tmp_path / "bin" / name
        path.write_text(text)
        path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    return folder


@pytest.fixture
def runs(tmp_path):
    """A teacher, a student alone, and two seeds of KD that wait for the teacher."""
    (tmp_path / "plain.py").write_text(CONFIG)
    distils = CONFIG.replace(
        "type='Any'", "type='Any', architecture=dict(type='Any'), teacher_ckpt='t.pth'"
    )
    (tmp_path / "distils.py").write_text(distils)

    def run(name, config, seed=0, **more):
        folder = tmp_path / "work" / name / f"seed_{seed}"
        config = str(tmp_path / config)
        return Pretended(name, config, seed, folder, Settings(ROOT), **more)

    teacher = run("teacher", "plain.py")
    students = [run("KD", "distils.py", seed, after=teacher) for seed in (0, 1)]
    return [teacher, run("alone", "plain.py"), *students]


def hand_over(runs, tmp_path, given=None, **settings):
    parameters = slurm.job_parameters(given or {}, ROOT, **settings)
    return slurm.submit(runs, tmp_path / "slurm", parameters)


def options(script: Path) -> dict:
    """What a script asks sbatch for."""
    found = re.findall(r"#SBATCH --([\w-]+)=?(.*)", script.read_text())
    return {name: value.strip("'") for name, value in found}


def test_students_wait_for_the_job_of_their_teacher(cluster, runs, tmp_path):
    assert hand_over(runs, tmp_path, jobs=3) == [
        "teacher: job 1_0",
        "alone, seed 0: job 1_1",
        "KD, seed 0: job 2_0, after job 1_0",
        "KD, seed 1: job 2_1, after job 1_0",
    ]
    first, second = options(cluster / "1.sh"), options(cluster / "2.sh")
    assert (first["array"], second["array"]) == ("0-1%2", "0-1%2")
    assert "dependency" not in first and second["dependency"] == "afterok:1_0"
    assert second["kill-on-invalid-dep"] == "yes"
    for script in cluster.glob("*.sh"):
        subprocess.run(["bash", "-n", str(script)], check=True)
        assert f'export PYTHONPATH="{ROOT}' in script.read_text()
    assert all(run.config_file.is_file() for run in runs)


@pytest.mark.parametrize(
    "given, settings, expected",
    [
        ({}, {}, dict(time="1440", nodes="1")),
        ({}, {}, {"gpus-per-node": "1", "cpus-per-task": "5", "ntasks-per-node": "1"}),
        ({}, dict(gpus=8), {"gpus-per-node": "8", "cpus-per-task": "40"}),
        ({}, dict(gpus=2, threads=3), {"cpus-per-task": "6"}),
        ({}, dict(jobs=1), dict(array="0-1%1")),
        (dict(partition="gpu", account="me"), {}, dict(partition="gpu", account="me")),
        ({"time": "2-12:30:00"}, {}, dict(time="3630")),
        ({"gres": "gpu:a100:1"}, {}, {"gres": "gpu:a100:1", "gpus-per-node": None}),
        ({"reservation": "mine"}, {}, dict(reservation="mine")),
        ({"cpus-per-task": "7"}, {}, {"cpus-per-task": "7"}),
    ],
)
def test_scripts_name_what_a_job_needs(
    cluster, runs, tmp_path, given, settings, expected
):
    hand_over(runs[:2], tmp_path, given, **settings)
    found = options(cluster / "1.sh")
    assert {name: found.get(name) for name in expected} == expected


@pytest.mark.parametrize(
    "text, expected",
    [
        ("90", 90),
        ("90:30", 90),
        ("1:30:00", 90),
        ("1-12", 36 * 60),
        ("1-12:05", 36 * 60 + 5),
        ("2-00:00:00", 48 * 60),
    ],
)
def test_times_as_slurm_writes_them(text, expected):
    assert slurm.minutes(text) == expected


def test_a_time_that_is_none():
    with pytest.raises(ExperimentError, match="--slurm time=soon is no time; expected"):
        slurm.job_parameters({"time": "soon"}, ROOT)


def test_what_is_queued_or_finished_is_left_alone(cluster, runs, tmp_path):
    hand_over(runs, tmp_path)
    (cluster / "queue").write_text("1_0\n2_1\n77\n")
    alone = runs[1]
    (alone.folder / "finished.json").write_text("{}")
    assert hand_over(runs, tmp_path) == [
        "teacher: is queued or running as job 1_0",
        "KD, seed 1: is queued or running as job 2_1",
        "KD, seed 0: job 3, after job 1_0",
    ]
    assert "--array" in (cluster / "asked").read_text()
    assert options(cluster / "3.sh")["dependency"] == "afterok:1_0"
    # A teacher that is trained is waited for no more.
    (cluster / "queue").write_text("")
    (runs[0].folder / "finished.json").write_text("{}")
    assert hand_over(runs, tmp_path) == ["KD, seed 0: job 4_0", "KD, seed 1: job 4_1"]


def test_where_there_is_no_slurm(runs, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ExperimentError, match="cannot ask for the queue .*squeue"):
        hand_over(runs, tmp_path)
    monkeypatch.setattr(slurm, "_queued", set)
    with pytest.raises(ExperimentError, match="Slurm did not take the jobs .*srun"):
        hand_over(runs, tmp_path)
    monkeypatch.setattr(slurm, "submitit", None)
    with pytest.raises(ExperimentError, match=r"pip install 'pckd_mm\[scale\]'"):
        slurm.check_slurm()


def test_a_job_trains_its_run_and_fails_with_it(cluster, runs, tmp_path):
    runs = runs[:2]
    runs[1].code = "import sys; sys.exit('why')"
    hand_over(runs, tmp_path)
    text = (cluster / "1.sh").read_text()
    command = text[text.index(sys.executable) :].splitlines()[0]
    for task, status in ((0, 0), (1, 1)):
        done = subprocess.run(
            ["bash", "-c", command],
            env={
                **os.environ,
                "PYTHONPATH": str(ROOT),
                "SUBMITIT_EXECUTOR": "slurm",
                "SLURM_JOB_ID": f"{10 + task}",
                "SLURM_ARRAY_JOB_ID": "1",
                "SLURM_ARRAY_TASK_ID": f"{task}",
            },
            capture_output=True,
            text=True,
        )
        assert done.returncode == status, done.stderr
    assert json.loads((runs[0].folder / "finished.json").read_text())["accuracy"] == 75
    assert not runs[1].is_finished and "alone, seed 0 failed (exit s" in done.stderr


def test_what_a_job_has_trained_is_as_asked_for(tmp_path):
    """It is handed over before its teacher is there, whose hash its config has."""
    text = CONFIG.replace(
        "type='Any'", "type='Any', architecture=dict(type='Any'), teacher_ckpt='t.pth'"
    )
    (tmp_path / "distils.py").write_text(text)
    teacher, folder = tmp_path / "teacher.pth", tmp_path / "work" / "seed_0"
    more = dict(settings=Settings(ROOT), teacher=teacher)
    run = Pretended("KD", str(tmp_path / "distils.py"), 0, folder, **more)
    run.prepare()
    teacher.write_text("weights")
    slurm.Errand()(run)
    assert run.is_finished and not run.is_changed() and not run.is_left
    teacher.write_text("other weights")
    assert run.is_left


def test_lists_of_the_command_line_are_sbatchs():
    given = dict(partition=["gpu", "long"], exclude=("n1", 2), gres="gpu:a100:1")
    parameters = slurm.job_parameters(given, ROOT)
    assert parameters["partition"] == "gpu,long" and parameters["exclude"] == "n1,2"
    assert parameters["gres"] == "gpu:a100:1"


def test_a_job_whose_time_is_up_is_the_same_again(runs):
    errand = slurm.Errand(threads=2)
    again = errand.checkpoint(runs[0])
    assert again.function is errand and again.args == (runs[0],)


def test_what_a_job_trains_is_not_trained_here(cluster, runs, tmp_path, monkeypatch):
    hand_over(runs, tmp_path)
    slurm.require_ended(runs)  # the queue is empty again
    (cluster / "queue").write_text("7_3\n2_1\n")
    match = "KD, seed 1 is queued or running as job 2_1 of Slurm; .* --collect"
    with pytest.raises(ExperimentError, match=match):
        slurm.require_ended(runs)
    monkeypatch.setenv("PATH", str(tmp_path))
    match = "teacher, for one, was .* as job 1_0, .* remove .*submitted.json; .* are 4"
    with pytest.raises(ExperimentError, match=match):
        slurm.require_ended(runs)
