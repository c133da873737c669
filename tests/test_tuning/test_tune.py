"""What tells one search from another."""

from pathlib import Path

import pytest

pytest.importorskip("ray.tune")
pytest.importorskip("optuna")

from pckd_mm.experiments import ExperimentError, Settings  # noqa: E402
from pckd_mm.tuning.space import find_ranges  # noqa: E402
from pckd_mm.tuning.trial_runs import Tuning, trial_runs  # noqa: E402
from pckd_mm.tuning.tune import _lost, _what, tune  # noqa: E402
from pckd_mm.utils.speed_arguments import SpeedArguments  # noqa: E402
from tests.builders import ROOT  # noqa: E402
from tests.test_tuning.test_trials import VALUES, ledger, train  # noqa: E402

CONFIG = "configs/vanilla/cifar100_resnet8_30e.py"


def what(config=CONFIG, work_dir=Path("work"), teacher=None, **settings):
    ranges = find_ranges(config, ["optim_wrapper.optimizer.lr=0.01..0.5"], {})
    settings = Settings(ROOT, val_share=0.1, **settings)
    tuning = Tuning(config, ranges, settings, work_dir, teacher=teacher)
    runs, trained = trial_runs(tuning)
    return _what(tuning, runs(0, {"optim_wrapper.optimizer.lr": 0.1}), trained)


def test_what_changes_the_values_makes_another_search(monkeypatch):
    monkeypatch.chdir(ROOT)
    plain = what()
    assert plain["precision"] == "as in the config"
    assert what(speed=SpeedArguments(data_on_device=True)) == plain
    assert what(speed=SpeedArguments("auto")) == {**plain, "precision": "auto"}
    fast = what(speed=SpeedArguments(fast=True, compile="default"))
    assert fast == {**plain, "speed": ["fast", "compiled (default)"]}


def test_a_search_that_skips_broken_files_is_another_one(monkeypatch):
    """Both parts of the images are without them, as its config says."""
    monkeypatch.chdir(ROOT)
    plain, skipping = (
        what("configs/vanilla/imagenet_resnet18.py", skip_broken=skips)
        for skips in (False, True)
    )
    assert plain.pop("config") != skipping.pop("config")
    assert plain == skipping


KD = "configs/kd/cifar100_resnet20_resnet8_6e.py"


def test_a_search_may_be_moved(monkeypatch, tmp_path):
    """Its folder, its config, and the checkpoint of its teacher."""
    monkeypatch.chdir(ROOT)
    here = what(KD)
    assert what(str(ROOT / KD), tmp_path) == here
    held = {"a.pth": b"weights", "b.pth": b"weights", "other.pth": b"other weights"}
    for name, weights in held.items():
        (tmp_path / name).write_bytes(weights)
    first, moved, other = (what(KD, teacher=str(tmp_path / name)) for name in held)
    assert first == moved != here
    assert {**other, "teacher": first["teacher"]} == first != other


def test_another_training_of_the_teacher_is_another_search(monkeypatch):
    monkeypatch.chdir(ROOT)
    names = "cifar100_resnet20.py", "cifar100_resnet20_60e.py"
    trained = [what(KD, teacher=f"configs/vanilla/{name}") for name in names]
    assert trained[0].pop("teacher") != trained[1].pop("teacher")
    assert trained[0] == trained[1]


def test_a_checkpoint_of_the_teacher_that_is_gone_ends_it_before_the_first_trial(
    monkeypatch, tmp_path
):
    monkeypatch.chdir(ROOT)
    source = "configs/vanilla/cifar100_resnet20.py"
    ranges = find_ranges(KD, ["loss_kd=0.1..10"], {})
    settings = Settings(ROOT, val_share=0.1)
    tuning = Tuning(KD, ranges, settings, tmp_path, teacher=source)
    runs, teacher = trial_runs(tuning)
    teacher.prepare()
    (teacher.folder / "finished.json").write_text("{}")
    with pytest.raises(ExperimentError) as error:
        tune(tuning, pytest.fail, pytest.fail, "pckd tune")
    assert f"trial 0, seed 0 learns from {teacher.checkpoint}, and" in str(error.value)
    assert not list(tmp_path.glob("trials/*"))


def test_what_is_to_be_done_about_trials_that_came_to_nothing(tmp_path):
    """Nothing of it takes the teacher away, which is in the work dir as well."""
    trials = ledger(tmp_path)
    assert _lost(trials, []) == []
    first, second, third = (trials.add(VALUES) for _ in range(3))
    for failed in (first, second):
        trials.end(failed, "failed")
    goes_on = f"1 of 3 trials were cut off; {third.job.log} says why. The same command"
    with pytest.raises(ExperimentError, match=f"^{goes_on} goes on with them.$"):
        _lost(trials, trials.trials())
    trials.end(third, "failed")
    anew = f"All 3 trials failed; {first.job.log} says why. Mend it, and remove "
    anew += f"{tmp_path / 'trials'} and {tmp_path / 'search.json'} to begin anew."
    with pytest.raises(ExperimentError, match=f"^{anew}$"):
        _lost(trials, trials.trials())
    train(trials.add(VALUES))
    assert _lost(trials, trials.trials()) == []
    fifth = trials.add(VALUES)
    (words,) = _lost(trials, trials.trials())
    assert words.startswith(f"1 of 5 trials were cut off; {fifth.job.log} says why.")
