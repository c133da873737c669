"""One line of a terminal that is rewritten, on a pseudo-terminal."""

import contextlib
import os
import pty
import re
import sys
import threading
import time
import warnings

import pytest
import torch
from mmengine.evaluator import BaseMetric
from mmengine.logging import MMLogger
from mmengine.runner import Runner
from torch.utils.data import DataLoader, TensorDataset

from pckd_mm.commands import parse
from pckd_mm.commands import train as command
from pckd_mm.engine import LiveLineHook
from pckd_mm.engine.console import ConsoleRunner, end_of_start
from tests.builders import Point

# What moves on a terminal: back to the begin of the line, up, and empty the line.
MOVES = re.compile(r"\x1b\[(\d*)([A-Za-z])|\x1b\[\?\d+[hl]|\r|\n|[^\x1b\r\n]+")


def shown(text: str) -> list:
    """The lines that a terminal shows in the end, and all that it ever showed."""
    lines, row, column, ever = [""], 0, 0, []
    for move in MOVES.finditer(text):
        whole, number, kind = move.group(0), move.group(1), move.group(2)
        if whole == "\r":
            column = 0
        elif whole == "\n":
            row += 1
            lines += [""] * (row + 1 - len(lines))
        elif kind == "A":
            row -= int(number or 1)
        elif kind == "K":
            lines[row] = ""
        elif not whole.startswith("\x1b"):
            before = lines[row].ljust(column)
            lines[row] = before[:column] + whole + before[column + len(whole) :]
            column += len(whole)
            ever.append(lines[row])
    return lines, ever


@contextlib.contextmanager
def terminal(monkeypatch, kind="xterm", columns=100):
    """stdout is a terminal; what comes out of it is in the list that is given."""
    monkeypatch.setenv("TERM", kind)
    monkeypatch.setenv("COLUMNS", str(columns))
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    ours, theirs = pty.openpty()
    got = []

    def read():
        with contextlib.suppress(OSError):  # the other end is closed
            while part := os.read(ours, 2**16):
                got.append(part.decode())

    reader = threading.Thread(target=read)
    reader.start()
    with open(theirs, "w") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        yield got
        for handler in MMLogger.get_current_instance().handlers:
            if getattr(handler, "stream", None) is stream:
                handler.setStream(sys.__stdout__)
    reader.join(10)
    os.close(ours)


class Accuracy(BaseMetric):
    """Always 50 percent."""

    default_prefix = "of_test"

    def process(self, data_batch, data_samples):
        self.results.append(1)

    def compute_metrics(self, results):
        return {"top1": 50.0}


class Slow(Point):
    """A step of it takes a while; the third one does what it is told."""

    def __init__(self, third=lambda: None):
        super().__init__()
        self.third, self.steps = third, 0

    def forward(self, inputs, mode="tensor"):
        time.sleep(0.02)
        if mode == "loss":
            self.steps += 1
            if self.steps == 3:
                self.third()
        return super().forward(inputs, mode)


def make_runner(folder, model=None, kind=ConsoleRunner, **train) -> Runner:
    runner = kind(
        model=model or Slow(),
        work_dir=str(folder),
        train_dataloader=DataLoader(TensorDataset(torch.ones(8, 1)), batch_size=2),
        train_cfg=train or dict(by_epoch=True, max_epochs=2),
        optim_wrapper=dict(optimizer=dict(type="SGD", lr=0.25)),
        val_dataloader=DataLoader(TensorDataset(torch.ones(4, 1)), batch_size=2),
        val_cfg=dict(),
        val_evaluator=[Accuracy()],
        default_hooks=dict(logger=dict(type="LoggerHook", interval=1)),
        experiment_name=folder.name,
    )
    end_of_start(runner.logger)
    return runner


def train(runner, seconds=0.0):
    line = LiveLineHook(seconds)
    runner.register_hook(line)
    try:
        runner.train()
    finally:
        line.close(runner)


def test_the_line_is_rewritten_and_gone_in_the_end(tmp_path, monkeypatch):
    with terminal(monkeypatch) as got:
        train(make_runner(tmp_path))
    lines, ever = shown("".join(got))
    live = [line for line in ever if "epoch 2/2" in line and "3/4" in line]
    # The weight was 1 in the first step, and each one halves it: 0.5 ** 12.
    assert any(
        line.endswith("3/4  loss 0.0002441  lr 0.25  0:00:00 left") for line in live
    )
    assert any("validation" in line and "1/2" in line for line in ever)
    # Lines of the log that are not of single steps stay, each as a whole.
    assert not any("epoch " in line or "Epoch(train)" in line for line in lines)
    logged = [line for line in lines if line]
    assert len([line for line in logged if "Epoch(val)" in line]) == 2
    assert all(re.match(r"\d\d/\d\d \d\d:\d\d:\d\d - mmengine", x) for x in logged)
    (log,) = tmp_path.glob("*/*.log")
    assert log.read_text().count("Epoch(train)") == 8  # the file has all


def test_prints_and_warnings_stand_above_the_line(tmp_path, monkeypatch):
    def say():
        print("a print of the model")
        warnings.warn("a warning of the model", stacklevel=1)

    with terminal(monkeypatch) as got:
        monkeypatch.setattr(sys, "stderr", sys.stdout)
        monkeypatch.setattr(
            warnings,
            "showwarning",
            lambda message, *rest: print(message, file=sys.stderr),
        )
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            train(make_runner(tmp_path, Slow(say)))
    lines, _ = shown("".join(got))
    assert "a print of the model" in lines and "a warning of the model" in lines


def test_an_error_leaves_the_terminal_as_it_was(tmp_path, monkeypatch):
    def fail():
        raise RuntimeError("of the model")

    with terminal(monkeypatch) as got:
        stream = sys.stdout
        runner = make_runner(tmp_path, Slow(fail))
        with pytest.raises(RuntimeError, match="of the model"):
            train(runner)
        assert sys.stdout is stream
        print("after it")
    text = "".join(got)
    assert text.count("\x1b[?25l") == text.count("\x1b[?25h") > 0  # the cursor is back
    lines, _ = shown(text)
    assert "after it" in lines and not any("epoch 1/2" in line for line in lines)


def test_a_narrow_terminal_gets_one_line_too(tmp_path, monkeypatch):
    with terminal(monkeypatch, columns=40) as got:
        train(make_runner(tmp_path))
    _, ever = shown("".join(got))
    live = [line for line in ever if line.startswith(("epoch", "validation"))]
    assert live and max(map(len, live)) <= 40


def test_steps_without_epochs(tmp_path, monkeypatch):
    with terminal(monkeypatch) as got:
        runner = make_runner(tmp_path, by_epoch=False, max_iters=6, val_interval=6)
        train(runner)
    _, ever = shown("".join(got))
    assert any(line.startswith("step") and " 6/6  loss" in line for line in ever)


@pytest.mark.parametrize("kind", ["dumb", "unknown"])
def test_dumb_terminals_get_the_lines_of_the_log(tmp_path, monkeypatch, kind):
    with terminal(monkeypatch, kind) as got:
        train(make_runner(tmp_path))
    text = "".join(got)
    assert "epoch 1/2" not in text and text.count("Epoch(train)") == 8


def test_without_a_terminal_it_does_nothing(tmp_path, capsys):
    train(make_runner(tmp_path))
    text = capsys.readouterr().out
    assert "\x1b[?25l" not in text and text.count("Epoch(train)") == 8


def test_mmengines_own_runner_has_the_line_too(tmp_path, monkeypatch):
    """Which has no filter in front of the console."""
    with terminal(monkeypatch) as got:
        train(make_runner(tmp_path, kind=Runner))
    lines, ever = shown("".join(got))
    assert any(line.startswith("epoch 2/2") for line in ever)
    assert len([line for line in lines if "Epoch(train)" in line]) == 8


def test_it_is_drawn_by_the_clock(tmp_path, monkeypatch):
    drawn = []
    with terminal(monkeypatch):
        runner = make_runner(tmp_path, by_epoch=True, max_epochs=1)
        draw = LiveLineHook._draw
        monkeypatch.setattr(
            LiveLineHook, "_draw", lambda self, *facts: drawn.append(draw(self, *facts))
        )
        train(runner, seconds=60)
    # The first step, and the begin of the validation.
    assert len(drawn) == 2


@pytest.mark.parametrize(
    "options, live, verbose",
    [([], True, False), (["--no-live"], False, False), (["--verbose"], False, True)],
)
def test_options_turn_it_off(tmp_path, monkeypatch, options, live, verbose):
    asked = []
    monkeypatch.setattr(
        command,
        "train",
        lambda cfg, looks, verbose, live: asked.append((live, verbose)),
    )
    words = ["train", "vanilla/digits_resnet8_thin", f"--work-dir={tmp_path}"]
    assert command.run(parse([*words, *options])) == 0
    assert asked == [(live, verbose)]
