"""Every file of examples/ runs, on little data."""

import ast
import math
import runpy
import sys

import pytest
import torch

from pckd_mm.utils.checkpoint import read_checkpoint
from tests.builders import ROOT

FOLDER = ROOT / "examples"
# Of each example what makes it small, and what is then to be seen of it.
SMALL = dict(epochs=1, per_class=1)
EXAMPLES = {
    "own_loop.py": SMALL,
    "own_loss.py": SMALL,
    "own_teacher.py": SMALL,
    "unlabelled.py": SMALL,
    "detector.py": dict(epochs=1, images=4),
}


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Runs an example in a folder of its own, as if it were called."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(FOLDER))
    state = torch.get_rng_state()
    yield lambda name, **small: runpy.run_path(str(FOLDER / name))["main"](**small)
    torch.set_rng_state(state)
    sys.modules.pop("letters", None)


def test_all_are_listed_with_what_they_show():
    """In the page of the folder, and in the sentence that each begins with."""
    files = {path.name for path in FOLDER.glob("*.py")} - {"letters.py"}
    assert files == {*EXAMPLES, "search.py"}
    page = (FOLDER / "README.md").read_text()
    for name in files:
        source = (FOLDER / name).read_text()
        assert f"[{name}]({name})" in page
        first, *_ = ast.get_docstring(ast.parse(source)).splitlines()
        assert first.endswith((".", ":")), name
        assert len(source.splitlines()) < 100, name


@pytest.mark.parametrize("name", ["own_loop.py", "own_loss.py", "own_teacher.py"])
def test_in_a_loop(run, name):
    value = run(name, **EXAMPLES[name])
    assert math.isfinite(value) and value >= 0
    if name == "own_loop.py":
        student = torch.load("student.pth", weights_only=True)
        assert {key.split(".")[0] for key in student} == {"0", "1", "2", "4"}


def test_without_labels(run, monkeypatch):
    """The labels that the loader gives are not looked at."""
    import letters

    loaders, found = letters.loaders, {}
    # A teacher that has not seen them either.
    monkeypatch.setattr(letters, "train_alone", lambda model, *_: model.eval())
    for others in (False, True):

        def with_labels(per_class, others=others):
            loader, val = loaders(per_class)
            images, labels = loader.dataset.tensors
            loader.dataset.tensors = (images, labels.flip(0) if others else labels)
            return loader, val

        def hits(model, data, others=others):
            found[others] = [v.clone() for v in model.state_dict().values()]
            return 50.0

        monkeypatch.setattr(letters, "loaders", with_labels)
        monkeypatch.setattr(letters, "hits", hits)
        run("unlabelled.py", **EXAMPLES["unlabelled.py"])
    assert all(map(torch.equal, found[False], found[True]))


def test_a_detector(run):
    pytest.importorskip("mmdet")
    path = run("detector.py", **EXAMPLES["detector.py"])
    weights = read_checkpoint(path)["state_dict"]
    assert any(key.startswith("bbox_head") for key in weights)


def test_a_search(run, monkeypatch):
    """Its command, whose trials tests/test_commands/test_tune.py runs."""
    pytest.importorskip("optuna")
    asked = []

    def search(tuning, *args):
        asked.append(tuning)
        return ""

    monkeypatch.setattr("pckd_mm.tuning.tune", search)
    assert run("search.py", trials=3) == 0
    (tuning,) = asked
    varied = {entry.name: (entry.low, entry.high) for entry in tuning.ranges}
    assert varied == {"loss_fa": (2, 200), "loss_cc": (0.005, 0.5)}
    assert (tuning.count, tuning.settings.val_share) == (3, 0.25)
    assert tuning.settings.options == {"train_cfg.max_epochs": 6}
