"""What the console shows of a run, and what stays in the log's file."""

import logging
import re
import warnings

import pytest

from pckd_mm.engine.console import (
    SUMMARY,
    ConsoleFilter,
    end_of_start,
    library_warnings_in_file,
)
from tests.preloaded import ALONE, FEW_DIGITS, preloaded

SMALL = [
    *FEW_DIGITS,
    "train_cfg.max_epochs=1",
]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """What two runs print, by default and by ``--verbose``, and their logs' files."""
    found = {}
    for option in ("", "--verbose"):
        work = tmp_path_factory.mktemp("console") / "run"
        command = ["tools/train.py", ALONE, f"--work-dir={work}", *option.split()]
        done = preloaded().call([*command, "--cfg-options", *SMALL])
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        (log,) = work.glob("*/*.log")
        found[option] = done.stdout, log.read_text(), work
    return found


# What MMEngine writes of any run, before its first step.
FULL = ["System environment:", "train_dataloader = ", "Hooks will be executed"]


def start_of(text: str) -> list:
    """The lines before those of the steps."""
    lines = text.splitlines()
    return lines[: next(i for i, x in enumerate(lines) if "Epoch(train) [1]" in x)]


def test_the_console_has_a_screen_and_the_file_all(runs):
    printed, log, work = runs[""]
    start = start_of(printed)
    assert len(start) <= 22, printed
    assert not any(text in printed for text in FULL)
    assert all(text in log for text in FULL)
    # All that is printed is in the file as well, but for times and colours.
    for line in start:
        assert line.rpartition(" - ")[2] in log
    rows = dict(re.split(r"  +", x.strip(), maxsplit=1) for x in start if x[:2] == "  ")
    assert rows["Run"].startswith("vanilla/digits_resnet8_thin, by pckd_mm ")
    assert rows["Run"].endswith("seed 3")
    # Convolutions and BatchNorms of a ResNet-8 with 4, 4, 4 and 8 channels for grey
    # images, with projections in front of the second and the third stage, and a
    # classifier of nine digits.
    size = (36 + 8) + 2 * (144 + 8) + (2 * (144 + 8) + 16 + 8)
    size += (288 + 16) + (576 + 16) + (32 + 16) + 9 * 8 + 9
    assert f"{size / 1000:.2f} thousand parameters" in rows["Network"]
    assert rows["Data"].endswith(" 9 classes; 64 images to train on, 32 to validate on")
    assert rows["Schedule"] == "1 epoch of 4 steps, batches of 16"
    assert rows["Optimizer"].startswith("SGD, learning rate 0.")
    assert rows["Device"].startswith("CPU, ") and rows["Device"].endswith(", float32")
    assert rows["Checkpoints"] == f"{work}, each epoch"
    assert rows["Log"].startswith(f"{work}/") and "--track" in rows["Curves"]
    # What comes after it is there.
    assert "Epoch(val) [1]" in printed and "Saving checkpoint" in printed


def test_verbose_prints_all(runs):
    printed, log, _ = runs["--verbose"]
    for text in (*FULL, "Checkpoints will be saved to", "About to train:"):
        assert text in printed and text in log
    assert len(start_of(printed)) > 200


# ------------------------------------------------------------------ the filter


def passes(message, level=logging.INFO, module="mmengine.runner.runner", **extra):
    """Whether a fresh filter shows a line that a module logs."""
    got = []
    logger = logging.Logger("of a test")
    handler = logging.Handler()
    handler.emit = got.append
    handler.addFilter(ConsoleFilter())
    logger.addHandler(handler)
    if extra.pop("after_start", False):
        end_of_start(logger)
    space = dict(logger=logger, message=message, level=level, extra=extra)
    space["__name__"] = module
    exec("logger.log(level, message, extra=extra)", space)
    return bool(got)


OURS = "pckd_mm.models.algorithms.teachers"


@pytest.mark.parametrize(
    "shown, call",
    [
        (False, dict(message="Config:\nmodel = dict()")),
        (True, dict(message="Config:\nmodel = dict()", after_start=True)),
        (True, dict(message="the summary", **{SUMMARY: True})),
        (True, dict(message="Loaded the teacher from a.pth", module=OURS)),
        (False, dict(message="9 images of Data stay in memory, 3x8x8", module=OURS)),
        (True, dict(message="resumed epoch: 1, iter: 5")),
        (True, dict(message="a warning", level=logging.WARNING)),
        (True, dict(message="an error", level=logging.ERROR)),
        (True, dict(message='"FileClient" will be d', level=logging.ERROR)),
        (
            False,
            dict(message='"FileClient" will be deprecated', level=logging.WARNING),
        ),
        (False, dict(message="Exp name: digits", after_start=True)),
    ],
)
def test_what_is_shown(shown, call):
    assert passes(**call) is shown


@pytest.mark.parametrize(
    "shown, asked",
    [
        (False, "channels_last: off, not asked for; compile: off, not asked for"),
        (True, "channels_last: off, it is slower; compile: off, not asked for"),
    ],
)
def test_speed_ups_are_shown_where_one_was_asked_for(shown, asked):
    message = f"Speed-ups: keep_memory: on; {asked}; precision: float32, by X."
    assert passes(message, module=OURS) is shown


# ------------------------------------------------------------ Python's warnings


def test_warnings_that_one_can_act_on_are_shown(capsys):
    logger, got = logging.Logger("of a test"), []
    handler = logging.Handler()
    handler.emit = got.append
    logger.addHandler(handler)
    library = "/env/site-packages/library/module.py"
    idle = [
        ("pkg_resources is deprecated as an API", UserWarning, "own.py"),
        ("this will go", FutureWarning, library),
        ("this will go", DeprecationWarning, library),
    ]
    of_use = [
        ("this does something else", UserWarning, library),
        ("yours will go", FutureWarning, "own.py"),
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        before = warnings.showwarning = _print
        with library_warnings_in_file() as write_to:
            # Some come before there is a logger.
            for number, (message, category, filename) in enumerate((*idle, *of_use)):
                warnings.warn_explicit(message, category, filename, 1)
                if number == 1:
                    assert not got
                    write_to(logger)
        assert warnings.showwarning is before
    assert len(got) == len(idle)
    assert not any(map(ConsoleFilter().filter, got))  # they are for the file alone
    printed = capsys.readouterr().out
    assert printed.splitlines() == [message for message, *_ in of_use]


def _print(message, category, filename, lineno, file=None, line=None):
    print(message)
