"""What a comparison would do, in words."""

import json

import pytest

from pckd_mm.experiments import Place, PlannedTable, Run, Settings, describe
from pckd_mm.experiments.forecast import expected_seconds
from pckd_mm.experiments.planned import Line
from tests.builders import ROOT

CONFIG = """
model = dict(type='Any'{})
train_cfg = dict(max_epochs=10)
val_evaluator = dict(type='Accuracy')
"""
GPUS = [Place("0"), Place("1")]


@pytest.fixture
def table(tmp_path):
    """A teacher and two seeds of KD and of the student alone."""
    settings = Settings(ROOT)
    for name, more in (
        ("alone", ""),
        ("kd", ", architecture=dict(type='Any'), teacher_ckpt='t.pth'"),
    ):
        (tmp_path / f"{name}.py").write_text(CONFIG.format(more))
    config = {name: str(tmp_path / f"{name}.py") for name in ("alone", "kd")}
    folder = tmp_path / "work"
    teacher = Run("teacher", config["alone"], 0, folder / "teacher", settings)

    def run(name, seed):
        place = folder / name / f"seed_{seed}"
        return Run(name, config[name], seed, place, settings, after=teacher)

    lines = [Line(name, [run(name, seed) for seed in (0, 1)]) for name in config]
    return PlannedTable("", lines, [Line("teacher", [teacher])])


def finished(run, **note):
    run.prepare()
    folder = run.folder / "1" / "vis_data"
    folder.mkdir(parents=True)
    (folder / "scalars.json").write_text('{"accuracy/top1": 50.0, "step": 10}')
    (run.folder / "finished.json").write_text(json.dumps(note))


def texts(table, places):
    """The lines of runs, without what they are made from and their commands."""
    lines = describe([table], places).splitlines()
    assert all(line.startswith("    python ") for line in lines[1:-1:2])
    return [line.partition("  [")[0] for line in (*lines[:-1:2], lines[-1])]


def test_each_run_has_its_device_and_its_teacher(table):
    assert texts(table, GPUS) == [
        "teacher: to do, on GPU 0",
        "alone, seed 0: to do, on GPU 1",
        "kd, seed 0: to do, on the first that is free of GPU 0, GPU 1, after teacher",
        "alone, seed 1: to do, on the first that is free of GPU 0, GPU 1",
        "kd, seed 1: to do, on the first that is free of GPU 0, GPU 1, after teacher",
        "5 runs, 0 finished",
    ]
    assert texts(table, [Place()])[2] == "kd, seed 0: to do, on CPU, after teacher"
    assert texts(table, ())[0] == "teacher: to do"


def test_expected_times_are_those_of_other_seeds(table):
    alone, kd = table.lines
    finished(table.teachers[0].runs[0])
    finished(alone.runs[0], seconds_per_epoch=6.0)
    assert expected_seconds(alone.runs[1]) == 60
    assert expected_seconds(kd.runs[0]) is None
    lines = describe([table], GPUS).splitlines()
    assert lines[-1] == "5 runs, 2 finished"
    assert [line.partition("  [")[0] for line in lines if line[0] != " "][:4] == [
        "teacher: finished, top-1 50.00",
        "alone, seed 0: finished, top-1 50.00",
        "kd, seed 0: to do, on GPU 0",
        "alone, seed 1: to do, on GPU 1, about 60 s",
    ]
    finished(kd.runs[0], seconds_per_epoch=20.0)
    last = describe([table], GPUS).splitlines()[-1]
    # The longer of two runs side by side, and one after the other.
    assert last == "5 runs, 3 finished, about 3 min for the others"
    last = describe([table], [Place()]).splitlines()[-1]
    assert last == "5 runs, 3 finished, about 4 min for the others"


def test_other_teachers_do_not_tell_how_long_one_takes(table):
    (teacher,) = table.teachers[0].runs
    other = teacher.folder.with_name("other_teacher")
    other.mkdir(parents=True)
    (other / "finished.json").write_text('{"seconds_per_epoch": 900.0}')
    assert expected_seconds(teacher) is None


def test_a_changed_run_begins_anew(table):
    alone = table.lines[0]
    before = alone.runs[0].folder.with_name("seed_0.old")
    before.mkdir(parents=True)
    (before / "finished.json").write_text('{"seconds_per_epoch": 900.0}')
    for run, seconds in zip(alone.runs, (6.0, 8.0), strict=True):
        finished(run, seconds_per_epoch=seconds)
    config = alone.runs[1].config_file
    config.write_text(config.read_text() + "a = 1\n")
    assert expected_seconds(alone.runs[1]) == 70
    text = describe([table], [Place()])
    assert "alone, seed 1: changed, anew, on CPU, about 70 s" in text
