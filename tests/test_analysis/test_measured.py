"""Measurements: reading and merging them."""

from dataclasses import replace

import pytest

from pckd_mm.analysis import MAP50, TOP1
from pckd_mm.analysis.measured import (
    Measurement,
    merge,
    over_seeds,
    read_measured,
    write_measured,
)

ENTRY = Measurement(
    config="configs/kd/x.py",
    top1={0: 70.0, 2: 72.0},
    command="python x.py",
    commit="abc",
    hardware="a GPU",
    software="torch 2",
    precision="float32",
    date="2026-01-02",
)
DETECTOR = replace(ENTRY, config="configs/kd/y.py", top1={}, map50={0: 70.0, 2: 72.0})


def test_written_and_read(tmp_path):
    path = tmp_path / "measured.yml"
    other = replace(ENTRY, options=["a=1"], name="other", top1={5: 50.0})
    detector = replace(DETECTOR, best={2: 73.5, 0: 70.0}, ap={0: 40.0, 2: 41.0})
    write_measured(path, [detector, other, ENTRY])
    assert read_measured(path) == [ENTRY, other, detector]
    assert (ENTRY.metric, ENTRY.mean) == (TOP1, 71.0)
    assert (detector.metric, detector.last) == (MAP50, {0: 70.0, 2: 72.0})
    # What is not recorded is not there.
    text = path.read_text()
    assert text.count("best:\n") == text.count("ap:\n") == 1
    assert text.count("top1:\n") == 2 and "  best:\n    0: 70.0\n    2: 73.5\n" in text
    path.write_text("")
    assert read_measured(path) == []


def test_several_seeds_as_one():
    # Deviations of 1 from 71, over n - 1 = 1.
    assert over_seeds({0: 70.0, 2: 72.0}) == "71.00 +- 1.41"
    assert (over_seeds({5: 50.0}), over_seeds({})) == ("50.00", "-")


@pytest.mark.parametrize(
    "text, message",
    [
        ("- config: x.py", "the entry of x.py is not whole"),
        (None, "twice"),
    ],
)
def test_bad_files_are_refused(text, message, tmp_path):
    path = tmp_path / "measured.yml"
    write_measured(path, [ENTRY, ENTRY])
    if text:
        path.write_text(text)
    with pytest.raises(ValueError, match=message):
        read_measured(path)


@pytest.mark.parametrize(
    "entry, message",
    [
        (replace(ENTRY, top1={0: 170.0}), "top1 of configs/kd/x.py .*a percentage"),
        (replace(ENTRY, best={0: 70.0, 2: 172.0}), "best of .* a percentage"),
        (replace(ENTRY, best={0: 70.0}), r"best .* seeds \[0\]; expected \[0, 2\]"),
        (replace(ENTRY, best={0: 71.0, 2: 71.9}), "seed 2: the best epoch has 71.9"),
        (replace(ENTRY, top1={}), "expected values by seed in one of them"),
        (replace(ENTRY, map50={0: 1.0, 2: 1.0}), "expected values by seed in one"),
        (replace(ENTRY, ap={0: 40.0, 2: 41.0}), "has ap and no map50"),
        (replace(DETECTOR, ap={0: 40.0}), r"ap .* seeds \[0\]; expected \[0, 2\]"),
    ],
)
def test_values_that_cannot_be(entry, message, tmp_path):
    write_measured(tmp_path / "x.yml", [entry])
    with pytest.raises(ValueError, match=message):
        read_measured(tmp_path / "x.yml")


@pytest.mark.parametrize("name", ["best", "ap"])
def test_a_known_seed_with_other_values_beside_the_last_epoch(name):
    seeds = {0: 75.0, 2: 76.0}
    old = replace(DETECTOR, best=seeds, ap=seeds)
    part = replace(old, map50={0: 70.0}, best={0: 75.0}, ap={0: 75.0})
    assert merge([old], [part]) == merge([old], [replace(part, ap={})]) == [old]
    message = rf"^{name} of .* was 75.0 with seed 0, and is 76.0; .* seeds \[0, 2\]"
    with pytest.raises(ValueError, match=message):
        merge([old], [replace(part, **{name: {0: 76.0}})])


def test_no_seed_is_lost():
    more = replace(ENTRY, top1={0: 70.5, 1: 71.0, 2: 72.0})
    assert merge([ENTRY], [more]) == [more]
    message = r"^top1 of .* was 70.5 with seed 0, and is 70.0; .* seeds \[0, 1, 2\]"
    with pytest.raises(ValueError, match=message):
        merge([more], [ENTRY])
    message = r"^map50 of .* was 70.0 with seed 0, and is 71.0; .* seeds \[0, 2\]"
    with pytest.raises(ValueError, match=message):
        merge([DETECTOR], [replace(DETECTOR, map50={0: 71.0})])


def test_seeds_of_two_calls_are_joined():
    old = replace(ENTRY, best={0: 70.5, 2: 72.0})
    new = replace(
        ENTRY,
        top1={1: 71.0},
        best={1: 71.5},
        command="python y.py",
        commit="def",
        date="2026-01-05",
    )
    (both,) = merge([old], [new])
    assert both.top1 == {0: 70.0, 1: 71.0, 2: 72.0}
    assert both.best == {0: 70.5, 1: 71.5, 2: 72.0}
    assert (both.command, both.commit) == ("python x.py; python y.py", "abc; def")
    assert (both.software, both.date) == ("torch 2", "2026-01-05")
    assert both.ap == {}
    both.check()
    third = replace(new, top1={5: 71.0}, best={5: 71.5})
    (three,) = merge([both], [third])
    assert list(three.top1) == [0, 2, 1, 5]
    assert (three.command, three.commit) == (both.command, both.commit)
    # The student alone of another comparison, which is there already.
    assert merge([both], [new]) == merge([both], [old]) == [both]
    (four,) = merge([old], [replace(new, top1={2: 72.0, 5: 71.0}, best={})])
    assert four.top1 == {0: 70.0, 2: 72.0, 5: 71.0}
    # Of some of the seeds alone there is no best epoch.
    (both,) = merge([old], [replace(new, best={})])
    assert both.best == {}


@pytest.mark.parametrize(
    "change, message",
    [
        (dict(precision="bfloat16 autocast"), "precision of .* is bfloat16 autocast"),
        (dict(hardware="another GPU"), r"hardware .* seeds \[0, 2\], and is another"),
        (
            dict(top1={}, map50={1: 71.0}),
            r"metric .* was top-1 .* is mAP@0.5 with \[1\]; .* measure all seeds alike",
        ),
    ],
)
def test_seeds_of_unlike_runs_are_not_joined(change, message):
    new = replace(ENTRY, **{"top1": {1: 71.0}, **change})
    with pytest.raises(ValueError, match=message):
        merge([ENTRY], [new])


@pytest.mark.parametrize("name", ["precision", "hardware"])
def test_a_seed_of_an_unlike_run_is_not_known_by_its_value(name):
    with pytest.raises(ValueError, match=f"The {name} of"):
        merge([ENTRY], [replace(ENTRY, top1={0: 70.0}, **{name: "another"})])
