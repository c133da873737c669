"""What tells one search from another."""

from pathlib import Path

import pytest

pytest.importorskip("ray.tune")
pytest.importorskip("optuna")

from pckd_mm.experiments import Settings  # noqa: E402
from pckd_mm.tuning.space import find_ranges  # noqa: E402
from pckd_mm.tuning.trial_runs import Tuning, trial_runs  # noqa: E402
from pckd_mm.tuning.tune import _what  # noqa: E402
from pckd_mm.utils.speed_arguments import SpeedArguments  # noqa: E402
from tests.builders import ROOT  # noqa: E402

CONFIG = "configs/vanilla/cifar100_resnet8_30e.py"


def what(config=CONFIG, **settings):
    ranges = find_ranges(config, ["optim_wrapper.optimizer.lr=0.01..0.5"], {})
    tuning = Tuning(
        config, ranges, Settings(ROOT, val_share=0.1, **settings), Path("work")
    )
    runs, _ = trial_runs(tuning)
    return _what(tuning, runs(0, {"optim_wrapper.optimizer.lr": 0.1}))


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
    assert plain.pop("what_it_says") != skipping.pop("what_it_says")
    assert plain == skipping
