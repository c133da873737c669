"""A trial in the form of Ray Tune."""

import errno
import os
import signal

import pytest

from pckd_mm.utils.files import WriteError, write_whole
from tests.toy_job import EPOCHS, FIRST, maker, objective

pytest.importorskip("ray.tune")

from pckd_mm.tuning import training as module  # noqa: E402
from pckd_mm.tuning.training import TrialTraining, was_cut_off  # noqa: E402

GOOD = dict(weight=4.0, tau=4.0)


@pytest.fixture
def training(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(module, "PAUSE", 0.01)

    def begin(values=GOOD, number=0, pause=0.0):
        trial = TrialTraining.__new__(TrialTraining)
        config = dict(number=number, values=values)
        trial.setup(config, maker(tmp_path, pause), str(tmp_path), threads=1)
        return trial

    return begin


def steps(trial):
    results = []
    while not results or not results[-1]["done"]:
        results.append(trial.step())
    return results


def test_a_step_is_an_epoch(training):
    results = steps(training())
    assert [r["epoch"] for r in results] == list(range(1, EPOCHS + 1))
    expected = [objective(GOOD) * e / EPOCHS for e in range(1, EPOCHS + 1)]
    assert [r["value"] for r in results] == pytest.approx(expected)
    assert "failed_by" not in results[-1]


def test_a_finished_trial_is_told_again_and_not_trained(training, tmp_path):
    first = steps(training())
    assert steps(training()) == first
    assert (tmp_path / "000" / "starts").read_text() == "0\n"


def test_a_trial_that_was_cut_off_goes_on(training, tmp_path):
    trial = training(pause=0.1)
    assert [trial.step()["epoch"] for _ in range(3)] == [1, 2, 3]
    trial.cleanup()
    assert trial.job.process.poll() is not None
    results = steps(training())
    assert [r["epoch"] for r in results] == list(range(1, EPOCHS + 1))
    assert int((tmp_path / "000" / "starts").read_text().split()[-1]) >= 3


def test_a_training_that_fails_is_worth_nothing(training):
    (only,) = steps(training(dict(FIRST, weight=200.0)))
    assert only["value"] == 0 and only["done"]
    assert "weights that explode" in only["failed_by"] and not only["cut_off"]


def test_a_training_that_its_machine_ended_keeps_what_there_is(training, tmp_path):
    trial = training(pause=0.5)
    assert trial.step()["epoch"] == 1
    (tmp_path / "000" / "epoch_1.pth").touch()
    os.kill(trial.job.process.pid, signal.SIGKILL)
    last = steps(trial)[-1]
    assert last["cut_off"] and "was ended by SIGKILL" in last["failed_by"]
    # The next call goes on from there.
    trial.reset_config(dict(number=1, values=FIRST))
    assert (tmp_path / "000" / "epoch_1.pth").is_file() and not trial.cut_off
    trial.cleanup()


def test_what_may_end_otherwise_another_time(tmp_path):
    with pytest.raises(WriteError) as error:
        write_whole(str(tmp_path), b"there is a folder")
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "epoch_1.pth")
    torchrun = "traceback : Signal 9 (SIGKILL) received by PID 1234"
    worker = "RuntimeError: A worker process of a data loader died (Killed), as for"
    cut_off = [(-9, ""), (143, ""), (130, "")]
    cut_off += [(1, str(end)) for end in (error.value, full, torchrun, worker)]
    assert [was_cut_off(*each) for each in cut_off] == [True] * 7
    own = ["FloatingPointError: The loss is not finite", "ValueError: depth=7", ""]
    assert not any(was_cut_off(1, end) for end in own)


def test_another_trial_in_the_same_place(training, tmp_path):
    trial = training(pause=0.5)
    trial.step()
    (tmp_path / "000" / "epoch_1.pth").touch()
    stopped = trial.job
    assert trial.reset_config(dict(number=1, values=FIRST))
    assert stopped.process.poll() is not None
    # Nothing reads the checkpoints of what was stopped any more.
    assert not list(tmp_path.glob("000/*.pth")) and stopped.curve()
    trial.cleanup()
    finished = training(number=2)
    steps(finished)
    (tmp_path / "002" / "epoch_9.pth").touch()
    finished.reset_config(dict(number=3, values=GOOD))
    assert list(tmp_path.glob("002/*.pth"))
    finished.cleanup()
