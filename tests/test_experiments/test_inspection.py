"""The look into networks as work that is placed like a training."""

import json
from types import SimpleNamespace

import pytest

from pckd_mm.analysis.inspection import write_inspection
from pckd_mm.experiments import (
    ExperimentError,
    Inspection,
    Request,
    Settings,
    all_jobs,
    all_runs,
    make_plan,
)
from tests.builders import ROOT
from tests.test_analysis.finished import inspected

STUDENT = (
    "val_evaluator = test_evaluator = dict(type='{}')\n"
    "train_cfg = dict(max_epochs=2)\nmodel = dict(type='Any')\n"
)


@pytest.fixture
def ask(tmp_path, monkeypatch):
    """A plan of a teacher and two students, over two seeds."""
    monkeypatch.chdir(tmp_path)

    def ask(kind="Accuracy", **more):
        config = tmp_path / f"{kind}.py"
        config.write_text(STUDENT.format(kind))
        runs = {"alone": str(config), "my own": str(config)}
        shared = dict(teacher=str(config), seeds=(3, 4), work_dir=tmp_path / "work")
        return make_plan(Request(Settings(ROOT), runs=runs, **{**shared, **more}))

    return ask


def finish(inspection, content="weights"):
    """As if its networks were trained and it was made."""
    for run in inspection.needs:
        run.prepare()
        run.checkpoint.write_text(content)
    inspection.prepare()
    write_inspection(inspection.folder, inspected())
    inspection.process = SimpleNamespace(returncode=0)
    inspection.finish()


def test_it_is_of_the_first_seeds_and_comes_last(ask, tmp_path):
    (table,) = ask(inspect=True)
    inspection = table.inspection
    assert list(inspection.networks) == ["teacher", "alone", "my own"]
    assert [run.seed for run in inspection.needs] == [0, 3, 3]
    assert inspection.teachers == {"alone": "teacher", "my own": "teacher"}
    assert str(inspection) == "inspection"
    assert all_jobs([table]) == [*all_runs([table]), inspection]
    assert inspection not in table.runs()
    assert inspection.folder == tmp_path / "work" / "inspection"
    (table,) = ask()
    assert table.inspection is None and all_jobs([table]) == all_runs([table])


def test_detectors_are_refused(ask):
    with pytest.raises(ExperimentError, match="measured by mAP@0.5; expected classif"):
        ask("VOCMetric", inspect=True)


def test_it_is_made_once_for_the_same_networks(ask, tmp_path, capsys):
    (table,) = ask(inspect=True)
    assert table.inspection.outcome() is None and table.table().inspected is None
    finish(table.inspection)
    request = json.loads((tmp_path / "work" / "inspection.json").read_text())
    assert request["teachers"] == {"alone": "teacher", "my own": "teacher"}
    assert request["networks"]["my own"]["checkpoint"].endswith("seed_3/epoch_2.pth")
    (table,) = ask(inspect=True)
    assert table.inspection.is_finished and not table.inspection.is_changed()
    assert table.inspection.outcome() == "of 3 networks"
    assert table.table().inspected.wrong == inspected().wrong
    # Other weights: what was found is not theirs.
    table.inspection.needs[1].checkpoint.write_text("others")
    assert table.inspection.is_changed() and table.table().inspected is None
    table.inspection.prepare()
    said = capsys.readouterr().out
    assert said == "inspection: its networks have changed; made anew.\n"
    assert (tmp_path / "work" / "inspection.old" / "finished.json").is_file()
    assert not table.inspection.is_finished


def test_it_stays_where_the_work_dir_was_moved_or_a_checkpoint_removed(ask, tmp_path):
    (table,) = ask(inspect=True)
    finish(table.inspection)
    for run in table.inspection.needs:
        (run.folder / "finished.json").write_text("{}")
    (tmp_path / "work").rename(tmp_path / "moved")
    inspection = ask(inspect=True, work_dir=tmp_path / "moved")[0].inspection
    assert inspection.is_finished and not inspection.is_changed()
    inspection.prepare()  # with the paths that there are now
    assert str(tmp_path / "work") not in inspection.config_file.read_text()
    first, *_ = inspection.needs
    first.checkpoint.unlink()
    assert not inspection.is_changed()
    first.checkpoint.write_text("others")
    assert inspection.is_changed()
    # Of one that is trained anew nobody knows the weights yet.
    first.checkpoint.unlink()
    (first.folder / "finished.json").unlink()
    assert inspection.is_changed()


def test_a_process_that_writes_nothing_has_failed(ask):
    (table,) = ask(inspect=True)
    table.inspection.prepare()
    table.inspection.log.write_text("why it failed\n")
    table.inspection.process = SimpleNamespace(returncode=0)
    with pytest.raises(ExperimentError, match="why it failed"):
        table.inspection.finish()


def test_its_process_is_that_of_the_package(ask):
    (table,) = ask(inspect=True)
    inspection = table.inspection
    assert isinstance(inspection, Inspection)
    module, *paths = inspection.command()[1:]
    assert module == "pckd_mm.analysis.inspect_networks"
    assert paths == [str(inspection.config_file), str(inspection.folder)]
