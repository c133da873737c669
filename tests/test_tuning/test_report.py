"""What a search found."""

import json

import pytest

from tests.toy_job import BEST, FIRST, OPTIMUM

pytest.importorskip("ray.tune")
pytest.importorskip("optuna")

from pckd_mm.tuning.report import Found, importances, write_report  # noqa: E402
from pckd_mm.tuning.space import Range  # noqa: E402
from tests.test_tuning.test_search import RANGES  # noqa: E402
from tests.test_tuning.test_trials import ledger, train  # noqa: E402


@pytest.fixture
def trials(tmp_path):
    """One as in the config, a better one, the best, one stopped, one failed."""
    book = ledger(tmp_path)
    good = [FIRST, dict(weight=2.0, tau=2.0), BEST, dict(weight=2.0, tau=4.0)]
    made = [book.add(values) for values in [*good, dict(weight=50.0, tau=1.0)]]
    for trial in made[:3]:
        train(trial)
    scalars = made[3].job.folder / "0" / "vis_data" / "scalars.json"
    scalars.parent.mkdir(parents=True)
    lines = [{"step": e, "accuracy/top1": 0.01 * e} for e in (1, 2)]
    scalars.write_text("".join(json.dumps(line) + "\n" for line in lines))
    book.end(made[3], "stopped")
    book.end(made[4], "failed")
    return book.trials()


def test_the_best_is_one_that_was_trained_to_its_end(trials):
    found = Found(RANGES, trials, "top-1")
    assert found.best.number == 2 and found.best.value == pytest.approx(OPTIMUM)
    assert found.first.number == 0
    assert [t.number for t in found.ordered()] == [2, 1, 0, 3, 4]
    rows = [line.split("|")[1:-1] for line in found.table().splitlines()]
    assert [cell.strip() for cell in rows[0]] == [
        "trial",
        "weight",
        "tau",
        "top-1",
        "how it ended",
    ]
    assert [cell.strip() for cell in rows[2]] == [
        "2",
        "4.0",
        "2.0",
        "80.00",
        "finished",
    ]
    assert rows[4][0].strip() == "0 (as in the config)"
    assert [cell.strip() for cell in rows[5][3:]] == ["2.00", "stopped after epoch 2"]
    assert rows[6][3].strip() == "-" and "failed, see" in rows[6][4]


def test_nothing_is_best_where_nothing_is_finished(trials):
    found = Found(RANGES, trials[3:], "top-1")
    assert found.best is None and found.first is None
    assert Found(RANGES, [], "top-1").best is None


class Reached:
    """A trial that is nothing but a curve."""

    def __init__(self, number, values, value, ended=None):
        self.number, self.values, self.ended = number, values, ended
        self._curve = {1: value, 2: value} if ended is None else {1: value}

    def curve(self):
        return self._curve


def test_what_mattered_is_what_the_values_differ_by():
    ranges = [Range("a", "a", 1.0, 0.1, 10.0), Range("b", "b", 1.0, 0.1, 10.0)]
    points = [(a, b) for a in (0.1, 0.5, 2.0, 9.0) for b in (0.1, 0.5, 2.0, 9.0)]
    runs = [Reached(i, dict(a=a, b=b), 10 * a) for i, (a, b) in enumerate(points)]
    # One that was stopped after the first epoch counts, one that failed does not.
    runs[5] = Reached(5, runs[5].values, runs[5].curve()[1], "stopped")
    runs.append(Reached(16, dict(a=1.0, b=1.0), 0.0, "failed"))
    shares = importances(Found(ranges, runs, "top-1"))
    assert list(shares) == ["a", "b"] and shares["a"] > 0.95
    assert sum(shares.values()) == pytest.approx(1)


def test_too_few_trials_or_equal_ones_tell_nothing():
    few = [Reached(i, dict(weight=1.0 + i, tau=2.0), i) for i in range(3)]
    assert importances(Found(RANGES, few, "top-1")) == {}
    equal = [Reached(i, dict(weight=1.0 + i, tau=2.0), 5.0) for i in range(9)]
    assert importances(Found(RANGES, equal, "top-1")) == {}


def test_the_report(trials, tmp_path):
    found = Found(RANGES, trials, "top-1")
    facts = dict(command="python tools/tune.py x.py", commit="abc")
    table = write_report(tmp_path, "A search", found, "What it is.", ["Next."], facts)
    text = (tmp_path / "report.md").read_text()
    parts = ["# A search", table, "What it is.", "## What mattered", "Next."]
    assert all(part in text for part in parts)
    assert "- command: python tools/tune.py x.py\n- commit: abc" in text
    assert (tmp_path / "what_mattered.png").read_bytes().startswith(b"\x89PNG")
    entry = json.loads((tmp_path / "report.json").read_text())
    assert entry["best"] == 2 and [t["number"] for t in entry["trials"]] == list(
        range(5)
    )
    assert entry["trials"][3]["curve"] == {"1": 1.0, "2": 2.0}
    assert set(entry["importances"]) == {"weight", "tau"}


def test_a_setting_with_named_values_is_drawn(tmp_path):
    book = ledger(tmp_path)
    ranges = [Range("weight", "w", 2.0, choices=(1.0, 2.0, 4.0)), RANGES[1]]
    for weight in (1.0, 2.0, 4.0, 2.0):
        train(book.add(dict(weight=weight, tau=4.0)))
    found = Found(ranges, book.trials(), "top-1")
    write_report(tmp_path, "A search", found, "", [], {})
    assert (tmp_path / "what_mattered.png").is_file()
    assert "What to do next" not in (tmp_path / "report.md").read_text()
