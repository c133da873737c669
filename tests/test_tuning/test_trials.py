"""Trials on disk."""

import json

import pytest

from pckd_mm.experiments import ExperimentError
from pckd_mm.tuning.trials import Ledger
from tests.toy_job import EPOCHS, maker, objective

VALUES = dict(weight=2.0, tau=4.0)


def ledger(folder, **what):
    return Ledger(folder / "trials", maker(folder / "trials"), what or dict(of="toy"))


def train(trial):
    trial.job.prepare()
    trial.job.start()
    trial.job.process.wait()
    trial.job.finish()


def test_a_trial_is_there_before_it_is_trained(tmp_path):
    first = ledger(tmp_path).add(VALUES)
    ledger(tmp_path).add(dict(VALUES, tau=1.0))
    assert first.number == 0 and not first.is_over and first.value is None
    read = ledger(tmp_path).trials()
    assert [t.number for t in read] == [0, 1] and read[1].values["tau"] == 1.0
    assert read[0].state() == "cut off before the first epoch"


def test_the_value_of_a_trial_is_that_of_its_last_epoch(tmp_path):
    trial = ledger(tmp_path).add(VALUES)
    train(trial)
    (read,) = ledger(tmp_path).trials()
    assert read.is_finished and read.is_over and read.state() == "finished"
    assert read.value == pytest.approx(objective(VALUES)) and len(read.curve()) == 9
    assert max(read.curve()) == EPOCHS


def test_a_stopped_trial_keeps_its_curve(tmp_path):
    trials = ledger(tmp_path)
    trial = trials.add(VALUES)
    folder = trial.job.folder
    (folder / "0" / "vis_data").mkdir(parents=True)
    line = json.dumps({"step": 2, "accuracy/top1": 0.25})
    (folder / "0" / "vis_data" / "scalars.json").write_text(line)
    trials.end(trial, "stopped")
    (read,) = ledger(tmp_path).trials()
    assert read.is_over and not read.is_finished and read.value == 25
    assert read.state() == "stopped after epoch 2"
    trials.end(trial, "failed")
    assert "failed, see" in ledger(tmp_path).trials()[0].state()


def test_more_than_a_thousand_trials_stay_in_order(tmp_path):
    trials = ledger(tmp_path)
    for number in (2, 10, 999, 1000):
        entry = dict(values=VALUES, ended=None)
        path = tmp_path / "trials" / f"{number:03d}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(entry))
    assert [t.number for t in trials.trials()] == [2, 10, 999, 1000]
    assert trials.add(VALUES).number == 1001


def test_a_folder_has_one_search(tmp_path):
    ledger(tmp_path, config="b.py")  # which came to no trial
    ledger(tmp_path, config="a.py", seed=0).add(VALUES)
    ledger(tmp_path, config="a.py", seed=0)
    with pytest.raises(ExperimentError, match=r"other settings \(seed, share\); expec"):
        ledger(tmp_path, config="a.py", seed=1, share=0.1)
