"""Students that share a teacher, trained by real processes."""

import os
import signal
import sys
from pathlib import Path

import pytest
import torch
from mmengine.hooks import Hook

from pckd_mm.experiments import (
    LocalExecutor,
    Place,
    Run,
    Scheduler,
    Settings,
    Sharing,
)
from pckd_mm.registry import MODELS
from pckd_mm.utils.checkpoint import read_checkpoint
from pckd_mm.utils.config import load_config
from tests.builders import ROOT
from tests.preloaded import preloaded

PAIR = "digits_resnet20_resnet8_thin.py"


class VisualizationHook(Hook):
    """Ends the process in its second epoch, as the system does for lack of memory.

    By its name it is one of any run: others may change the training images.

    Args:
        marker (str): A file that says that this was done.
    """

    def __init__(self, marker: str) -> None:
        self.marker = Path(marker)

    def before_train_epoch(self, runner) -> None:
        if runner.epoch == 1 and not self.marker.exists():
            self.marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)


@pytest.fixture(scope="module")
def configs(tmp_path_factory):
    """Configs of both methods on few images; the run of PCKD is killed once."""
    folder = tmp_path_factory.mktemp("configs")
    found = {}
    for method in ("kd", "pckd"):
        cfg = load_config(str(ROOT / "configs" / method / PAIR))
        torch.manual_seed(0)
        torch.save(MODELS.build(cfg.model.teacher).state_dict(), folder / "teacher.pth")
        cfg.model.update(teacher_ckpt=str(folder / "teacher.pth"), teacher_config=None)
        for loader in (cfg.train_dataloader, cfg.val_dataloader):
            loader.dataset.dataset.indices = 90
        cfg.train_cfg.max_epochs = 3
        found[method] = folder / f"{method}.py"
        if method == "pckd":
            marker = str(folder / "killed")
            hook = dict(type=f"{__name__}.VisualizationHook", marker=marker)
            cfg.default_hooks.visualization = hook
        found[method].write_text(cfg.pretty_text)
    return found


def train(configs, folder, *methods):
    """Train methods together; the failures."""
    settings = Settings(ROOT, share_teacher=2)
    runs = [
        Run(m, str(configs[m]), 3, folder / m / "seed_3", settings) for m in methods
    ]
    executor = LocalExecutor([Place()], threads=1)
    return runs, Scheduler(runs, executor, sharing=Sharing(2)).train()


# Each takes some seconds to start, so that one test does with them what there is to do.
def test_a_student_that_is_killed_ends_as_if_it_had_been_alone(
    configs, tmp_path, monkeypatch
):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setattr(sys, "executable", preloaded().python)
    (kd, pckd), failures = train(configs, tmp_path / "two", "kd", "pckd")
    assert list(failures) == ["pckd, seed 3"] and kd.is_finished
    assert "was ended by SIGKILL" in failures["pckd, seed 3"]
    assert (pckd.folder / "epoch_1.pth").is_file()
    # The same call goes on.
    (kd, pckd), failures = train(configs, tmp_path / "two", "kd", "pckd")
    assert failures == {} and pckd.is_finished
    (alone,), failures = train(configs, tmp_path / "one", "pckd")
    assert failures == {}
    expected, found = (
        read_checkpoint(str(run.checkpoint))["state_dict"] for run in (alone, pckd)
    )
    assert found.keys() == expected.keys() and len(found) > 50
    for name, value in expected.items():
        assert torch.equal(found[name], value), name
