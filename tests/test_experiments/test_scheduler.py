"""Which run starts when, and what the user is told."""

import time
from pathlib import Path

import pytest

from pckd_mm.analysis import MAP50, TOP1
from pckd_mm.experiments import (
    ExperimentError,
    LocalExecutor,
    Place,
    Scheduler,
    scheduler,
)
from pckd_mm.experiments.scheduler import Progress, duration
from pckd_mm.utils.files import WriteError

ONE = LocalExecutor([Place()])
TWO = LocalExecutor([Place(number=0), Place(number=1)])


class FakeProcess:
    """Ends at once, with this exit status; None runs on."""

    def __init__(self, status=0):
        self.returncode = status

    def poll(self):
        return self.returncode


class FakeRun:
    """A run that takes no time and ends with 70 %."""

    epochs, epochs_before = 10, 0
    started, ended = 0.0, 7.0
    process, verb = None, "trained"
    metric = TOP1

    def __init__(self, name, after=None, fails=False, finished=False):
        self.name, self.after, self.fails = name, after, fails
        self.is_finished = finished
        self.folder = Path("work", name, "seed_0")
        self.log = self.folder / "output.log"
        self.stopped = None
        self.is_changed = False

    def __str__(self):
        return self.name

    def epochs_done(self):
        return 10 * self.is_finished

    def epochs_kept(self):
        return 0 if self.is_changed else self.epochs_done()

    @property
    def is_left(self):
        return self.is_changed or not self.is_finished

    @property
    def needs(self):
        return [] if self.after is None else [self.after]

    def outcome(self):
        return f"{self.metric.name} 70.00"

    @property
    def kin(self):
        return self.folder.parent

    def forget(self):
        self.is_finished = False

    def prepare(self):
        if self.is_changed:
            self.is_changed = self.is_finished = False

    def start(self, threads, place):
        self.threads, self.place = threads, place
        self.process = FakeProcess()

    def finish(self):
        if self.fails:
            raise ExperimentError(f"why {self} failed")
        self.is_finished = True

    def stop(self):
        self.stopped = True


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    monkeypatch.setattr(scheduler.time, "sleep", lambda seconds: None)


@pytest.fixture
def started(monkeypatch):
    """Names of what was started."""
    names, start = [], FakeRun.start
    monkeypatch.setattr(
        FakeRun,
        "start",
        lambda run, *given: names.append(str(run)) or start(run, *given),
    )
    return names


def test_a_free_slot_goes_to_a_run_that_needs_no_teacher(started):
    teacher = FakeRun("teacher")
    runs = [teacher, FakeRun("KD", teacher), FakeRun("alone"), FakeRun("PCKD", teacher)]
    assert Scheduler(runs, TWO).train() == {}
    assert started == ["teacher", "alone", "KD", "PCKD"]


def test_no_more_runs_at_a_time_than_places(monkeypatch):
    runs = [FakeRun(str(number)) for number in range(5)]
    together = []
    finish = FakeRun.finish
    monkeypatch.setattr(
        FakeRun,
        "finish",
        lambda run: (
            together.append(sum(r.process is not None for r in runs)) or finish(run)
        ),
    )
    Scheduler(runs, TWO).train()
    # Those started so far, as each one ends.
    assert together == [2, 2, 4, 4, 5]


def test_others_go_on_when_one_fails(started, capsys):
    teacher = FakeRun("teacher", fails=True)
    runs = [teacher, FakeRun("KD", teacher), FakeRun("alone")]
    failures = Scheduler(runs, ONE).train()
    assert failures == {
        "teacher": "why teacher failed",
        "KD": "KD was not trained: teacher failed.",
    }
    assert started == ["teacher", "alone"]
    log = Path("work", "teacher", "seed_0", "output.log")
    assert f"teacher: failed, see {log}; the others go on" in capsys.readouterr().out


def test_of_two_teachers_of_one_name_one_may_fail(started):
    """As of two checkpoints with one config."""
    bad, good = FakeRun("teacher", fails=True), FakeRun("teacher")
    good.folder = Path("work", "teacher_2")
    runs = [bad, good, FakeRun("KD", good), FakeRun("PCKD", bad)]
    assert Scheduler(runs, ONE).train() == {
        "teacher": "why teacher failed",
        "PCKD": "PCKD was not trained: teacher failed.",
    }
    assert started == ["teacher", "teacher", "KD"]
    both = [FakeRun("teacher", fails=True), FakeRun("teacher", fails=True)]
    both[1].folder = good.folder
    assert list(Scheduler(both, ONE).train()) == [
        f"teacher in {run.folder}" for run in both
    ]


def test_a_full_disk_fails_a_run_and_no_other(started):
    def full(*_):
        raise WriteError(28, "finished.json was not written: No space left")

    for what in ("prepare", "start", "finish"):
        runs = [FakeRun("KD"), FakeRun("PCKD")]
        setattr(runs[0], what, full)
        (why,) = Scheduler(runs, TWO).train().values()
        assert "finished.json was not written" in why
        assert runs[1].is_finished and not runs[1].stopped


def test_what_has_changed_is_not_done(capsys):
    runs = [FakeRun(str(number), finished=True) for number in range(3)]
    for run in runs[1:]:
        run.is_changed = True
    Scheduler(runs, ONE).train()
    lines = capsys.readouterr().out.splitlines()
    assert "0: top-1 70.00 (finished before)" == lines[0]
    assert "[2/3 runs, about" in lines[1] and "[3/3 runs]" in lines[2]


def test_a_run_that_a_signal_ended_is_told(monkeypatch, capsys):
    monkeypatch.setattr(
        FakeRun, "start", lambda run, *_: setattr(run, "process", FakeProcess(-9))
    )
    Scheduler([FakeRun("KD", fails=True)], ONE).train()
    assert "KD: was ended by SIGKILL (killed), as" in capsys.readouterr().out


def test_finished_runs_are_repeated_only_afresh(started, capsys):
    runs = [FakeRun("old", finished=True), FakeRun("new")]
    refreshed = []
    Scheduler(runs, ONE, refresh=refreshed.append).train()
    assert started == ["new"] and refreshed == [runs[1]]
    assert capsys.readouterr().out.splitlines() == [
        "old: top-1 70.00 (finished before)",
        "new: top-1 70.00, 7 s  [2/2 runs]",
    ]
    Scheduler(runs, ONE, fresh=True).train()
    assert started == ["new", "old", "new"]


def test_what_is_repeated_is_so_behind_an_interruption(started, monkeypatch):
    runs = [FakeRun(name, finished=True) for name in ("first", "second", "third")]

    def interrupted(run, *_):
        if run is runs[1]:
            raise KeyboardInterrupt
        started.append(run.name)
        run.process = FakeProcess()

    monkeypatch.setattr(FakeRun, "start", interrupted)
    with pytest.raises(KeyboardInterrupt):
        Scheduler(runs, ONE, fresh=True).train()
    assert [run.is_finished for run in runs] == [True, False, False]


def test_lines_name_the_metric(capsys):
    run = FakeRun("new")
    run.metric = MAP50
    Scheduler([run], ONE).train()
    assert capsys.readouterr().out == "new: mAP@0.5 70.00, 7 s  [1/1 runs]\n"


def test_no_run_outlives_an_interruption(monkeypatch):
    runs = [FakeRun("a"), FakeRun("b"), FakeRun("c")]
    monkeypatch.setattr(
        FakeRun,
        "start",
        lambda run, *_: setattr(run, "process", FakeProcess(None)),
    )

    def interrupt(seconds):
        raise KeyboardInterrupt

    monkeypatch.setattr(scheduler.time, "sleep", interrupt)
    with pytest.raises(KeyboardInterrupt):
        Scheduler(runs, TWO).train()
    assert [run.stopped for run in runs] == [True, True, None]


def test_durations():
    assert [duration(s) for s in (7.2, 89, 125, 7200)] == [
        "7 s",
        "89 s",
        "2 min",
        "2.0 h",
    ]


def test_progress_tells_percent_and_time_left(monkeypatch, capsys):
    half, waiting = FakeRun("KD, seed 0"), FakeRun("KD, seed 1")
    # 5 of 10 epochs in 20 s.
    half.process, half.ended = FakeProcess(None), 0.0
    half.started = time.monotonic() - 20
    half.epochs_done = lambda: 5
    progress = Progress([half, waiting], jobs=1)
    # 4 s for an epoch, 15 epochs to go.
    assert progress.seconds_left() == pytest.approx(60, abs=3)
    progress.live = True
    monkeypatch.setenv("COLUMNS", "120")
    progress.tick()
    printed = capsys.readouterr().out
    assert " 25% of all epochs, about 60 s left | KD, seed 0 5/10" in printed
    # Two at a time, the waiting one alone takes 40 s.
    assert Progress([half, waiting], jobs=2).seconds_left() == pytest.approx(40, abs=3)
    assert Progress([waiting], jobs=1).seconds_left() is None
    progress.live = False
    progress.tick()
    assert capsys.readouterr().out == ""
