"""What trains runs."""

import json
import pickle
import signal
import sys
import threading
import time

import pytest

from pckd_mm.experiments import LocalExecutor, Place, Run, Settings, train_here
from pckd_mm.experiments.places import VISIBLE
from tests.builders import ROOT

CONFIG = """
model = dict(type='Any')
train_cfg = dict(max_epochs=1)
val_evaluator = dict(type='Accuracy')
"""
# Says where it is, and leaves what a training leaves.
CODE = """
import json, os, sys
print(os.environ["OMP_NUM_THREADS"], os.environ.get("CUDA_VISIBLE_DEVICES"))
folder = os.path.join(sys.argv[1], "1", "vis_data")
os.makedirs(folder)
with open(os.path.join(folder, "scalars.json"), "w") as file:
    json.dump({"accuracy/top1": 75.0, "step": 1}, file)
"""


class Pretended(Run):
    """A run whose process is that of a few lines."""

    code = CODE

    def command(self):
        return ["-c", self.code, str(self.folder)]

    def made_with(self):
        return {"hardware": "this machine"}


@pytest.fixture
def run(tmp_path):
    (tmp_path / "config.py").write_text(CONFIG)
    folder = tmp_path / "work" / "seed_0"
    run = Pretended("KD", str(tmp_path / "config.py"), 0, folder, Settings(ROOT))
    run.prepare()
    return run


def test_a_run_gets_the_device_of_its_place(run):
    with LocalExecutor([Place("5")], threads=3) as executor:
        (place,) = executor.places
        executor.start(run, place)
        run.process.wait()
        assert executor.has_ended(run) and run.log.read_text() == "3 5\n"


def test_stopping_ends_a_run(run):
    run.code = "import time; print('begun', flush=True); time.sleep(60)"
    executor = LocalExecutor([Place()])
    executor.start(run, Place())
    assert not executor.has_ended(run)
    executor.stop([run])
    assert executor.has_ended(run)


# What the system sends to a process whose parent ends, as PR_GET_PDEATHSIG tells.
SIGNAL = """
import ctypes
number = ctypes.c_int()
ctypes.CDLL(None).prctl(2, ctypes.byref(number))
print(number.value)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="is so on Linux alone")
def test_a_run_ends_with_what_started_it(run):
    run.code = SIGNAL
    run.start()
    run.process.wait()
    assert run.log.read_text() == f"{int(signal.SIGTERM)}\n"


def test_a_run_is_trained_and_noted_where_it_is_sent(run, monkeypatch):
    monkeypatch.delenv(VISIBLE, raising=False)
    run.after = run
    run.process = threading.Lock()  # as a process, nothing that can be sent
    sent = pickle.loads(pickle.dumps(run))
    assert sent.process is None and sent.after is None
    assert train_here(sent, threads=2) == 0
    assert run.log.read_text() == "2 None\n"
    note = json.loads((run.folder / "finished.json").read_text())
    assert note["accuracy"] == 75.0 and note["hardware"] == "this machine"
    # Whoever sent it takes the note as it is.
    run.process = sent.process
    run.made_with = lambda: pytest.fail("is noted already")
    run.finish()
    assert run.outcome().endswith(" 75.00")


def test_a_run_that_fails_where_it_is_sent_is_not_noted(run):
    run.code = "import sys; sys.exit('why')"
    assert train_here(run) == 1
    assert not run.is_finished and run.log.read_text() == "why\n"


def test_an_interruption_ends_what_was_sent(run, monkeypatch):
    run.code = "import time; time.sleep(60)"

    sleep, once = time.sleep, iter([KeyboardInterrupt])

    def interrupt(seconds):
        for error in once:
            raise error
        sleep(seconds)

    monkeypatch.setattr(time, "sleep", interrupt)
    with pytest.raises(KeyboardInterrupt):
        train_here(run)
    assert run.process.returncode is not None
    assert run.process.args[0] == sys.executable
