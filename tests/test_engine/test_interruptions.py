"""What SIGTERM, a dead worker and a full disk do to a run."""

import contextlib
import errno
import logging
import os
import signal
import time
from types import SimpleNamespace

import pytest
from mmengine.config import Config
from mmengine.runner import EpochBasedTrainLoop, Runner
from torch.utils.data import DataLoader, Dataset

from pckd_mm.commands.train import train as train_by
from pckd_mm.engine import interruptions
from pckd_mm.engine.interruptions import ending_on_sigterm, saying_where_resume_goes_on
from pckd_mm.utils.files import WriteError
from tests.test_utils.test_checkpoint import save


@pytest.fixture
def runner(tmp_path):
    loop = object.__new__(EpochBasedTrainLoop)
    return SimpleNamespace(epoch=2, iter=40, _train_loop=loop, work_dir=str(tmp_path))


@pytest.fixture(autouse=True)
def handler_of_children():
    before = signal.getsignal(signal.SIGCHLD)
    yield
    signal.signal(signal.SIGCHLD, before)


def terminate():
    os.kill(os.getpid(), signal.SIGTERM)


def status_of_a_fork(function) -> int:
    """Exit status of a process that runs a function."""
    pid = os.fork()
    if pid == 0:
        try:
            function()
        except SystemExit as error:
            os._exit(error.code)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_sigterm_unwinds_and_says_where_resume_goes_on(runner, tmp_path, capsys):
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGALRM)
    path = save(tmp_path / "epoch_2.pth", 2)
    with pytest.raises(SystemExit) as error:
        with ending_on_sigterm(), saying_where_resume_goes_on(runner):
            terminate()
            time.sleep(5)
    assert error.value.code == 143
    assert capsys.readouterr().err == (
        "SIGTERM ended the run in epoch 3, after iteration 40; --resume goes on from "
        f"the newest whole checkpoint, {path}.\n"
    )
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)
    assert before == (
        signal.getsignal(signal.SIGTERM),
        signal.getsignal(signal.SIGALRM),
    )


def test_a_loop_is_not_made_to_be_asked(tmp_path, capsys):
    runner = SimpleNamespace(_train_loop=dict(max_epochs=1), work_dir=str(tmp_path))
    with pytest.raises(SystemExit):
        with saying_where_resume_goes_on(runner):
            raise KeyboardInterrupt
    assert capsys.readouterr().err.startswith("Ctrl-C ended the run at its start; no ")


def test_ctrl_c_says_so_too(runner, capsys):
    with pytest.raises(SystemExit) as error:
        with saying_where_resume_goes_on(runner):
            raise KeyboardInterrupt
    assert error.value.code == 130
    assert capsys.readouterr().err == (
        "Ctrl-C ended the run in epoch 3, after iteration 40; no checkpoint was saved "
        "yet, so that --resume begins anew.\n"
    )


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_sigterm_counts_where_python_swallows_exceptions(runner):
    class Swallows:
        def __del__(self):
            terminate()
            time.sleep(0)

    begin = time.monotonic()
    with pytest.raises(SystemExit) as error:
        with ending_on_sigterm(), saying_where_resume_goes_on(runner):
            item = Swallows()
            del item
            assert time.monotonic() - begin < 0.5
            time.sleep(5)
    assert error.value.code == 143
    assert 0.5 < time.monotonic() - begin < 3


def test_trackers_have_their_time(runner, tmp_path, monkeypatch, capsys):
    """Though the exception is raised again until it has left the training."""
    monkeypatch.setattr(interruptions, "_AGAIN", 0.05)
    done = []

    def train():
        with contextlib.suppress(SystemExit):  # as where Python swallows exceptions
            terminate()
            time.sleep(5)
        done.append("swallowed")
        time.sleep(5)

    def close():
        for _ in range(10):
            time.sleep(0.03)
        done.append("closed")

    runner.train, runner.visualizer = train, SimpleNamespace(close=close)
    runner.logger, runner.register_hook = logging.getLogger("quiet"), print
    monkeypatch.setattr(Runner, "from_cfg", lambda cfg: runner)
    with pytest.raises(SystemExit) as error:
        with ending_on_sigterm():
            train_by(Config(dict(model=dict(type="A"))), [], verbose=True, live=False)
    assert error.value.code == 143 and done == ["swallowed", "closed"]
    assert "SIGTERM ended the run in epoch 3" in capsys.readouterr().err


def test_a_second_sigterm_kills(runner):
    def run():
        with ending_on_sigterm():
            try:
                terminate()
            finally:
                terminate()

    assert status_of_a_fork(run) == -signal.SIGTERM


def test_forked_processes_die_of_sigterm():
    with ending_on_sigterm():
        assert status_of_a_fork(terminate) == -signal.SIGTERM


def test_no_sigterm_to_a_process_that_is_forked_off_gets_lost():
    """As when mmdet ends the pool that computed an average precision."""
    with ending_on_sigterm():
        for _ in range(100):
            pid = os.fork()
            if pid == 0:
                time.sleep(2)
                os._exit(0)
            os.kill(pid, signal.SIGTERM)
            status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            assert status == -signal.SIGTERM
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == set()


def test_what_sigterm_leads_to_counts_as_sigterm(runner):
    """Such as a worker that it reached first, or another process that went away."""
    with pytest.raises(SystemExit) as error:
        with ending_on_sigterm(), saying_where_resume_goes_on(runner):
            try:
                terminate()
                time.sleep(5)
            finally:
                raise RuntimeError("Connection closed by peer")
    assert error.value.code == 143

    def worker_first():
        with ending_on_sigterm(), saying_where_resume_goes_on(runner):
            if os.fork() == 0:
                time.sleep(0.2)
                os.kill(os.getppid(), signal.SIGTERM)
                os._exit(0)
            message = "DataLoader worker (pid 7) is killed by signal: Terminated."
            raise RuntimeError(message)

    assert status_of_a_fork(worker_first) == 143


def _try_get_data(error):  # the name that torch has for it
    raise error


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed. "),
        RuntimeError("DataLoader worker (pid(s) 7) exited unexpectedly"),
        ConnectionResetError(104, "Connection reset by peer"),
        EOFError(),
    ],
)
def test_a_dead_worker_is_explained(runner, error):
    with pytest.raises(RuntimeError) as found:
        with saying_where_resume_goes_on(runner):
            _try_get_data(error)
    message = str(found.value)
    reason = str(error).strip(" .")
    assert message.startswith(f"A worker process of a data loader died ({reason}), as")
    assert message.endswith(
        "no checkpoint was saved yet, so that --resume begins anew."
    )


def test_a_dead_worker_is_explained_however_often_torch_tells_of_it(runner):
    error = RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed. ")

    def tell(*_):
        raise error

    signal.signal(signal.SIGCHLD, tell)
    with pytest.raises(RuntimeError, match="^A worker process of a data loader died"):
        with saying_where_resume_goes_on(runner):
            if os.fork() == 0:
                time.sleep(0.5)
                os._exit(0)
            _try_get_data(error)
    os.wait()


def test_a_full_disk_is_explained_once(runner, tmp_path):
    path = save(tmp_path / "iter_5.pth", 5)
    full = OSError(errno.ENOSPC, "No space left on device", "scalars.json")
    with pytest.raises(OSError, match="make room; --resume goes on from") as error:
        with saying_where_resume_goes_on(runner):
            raise full
    assert error.value.strerror.endswith(f"{path}.")
    assert error.value.filename == "scalars.json"
    explained = WriteError(errno.ENOSPC, "epoch_3.pth was not written")
    with pytest.raises(WriteError) as error:
        with saying_where_resume_goes_on(runner):
            raise explained
    assert error.value is explained


@pytest.mark.parametrize("other", [RuntimeError("size mismatch"), EOFError("x")])
def test_other_errors_stay_what_they_are(runner, other):
    with pytest.raises(type(other)) as error:
        with saying_where_resume_goes_on(runner):
            raise other
    assert error.value is other


class Fails(Dataset):
    """Images that cannot be read."""

    def __len__(self):
        return 4

    def __getitem__(self, index):
        raise RuntimeError("no such channel")


def test_an_error_in_a_worker_stays_what_it_is(runner):
    with pytest.raises(RuntimeError) as error:
        with saying_where_resume_goes_on(runner):
            next(iter(DataLoader(Fails(), num_workers=1)))
    assert str(error.value).startswith("Caught RuntimeError in DataLoader worker")
