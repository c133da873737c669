"""The sweep over networks: how trials end is told rightly, and no family is missing."""

import contextlib
import json
import os
import signal
import sys
import time

import pytest
import torch

from pckd_mm.models.data_preprocessors import rotated_views
from pckd_mm.registry import MODELS
from tests.builders import ROOT, in_clean_process

sys.path.insert(0, str(ROOT / "tools" / "dev"))
import sweep  # noqa: E402
from sweeping import kinds, outcomes, page, trial  # noqa: E402


def refused():
    # The registry raises it again in words of its own.
    MODELS.build(dict(type="pckd_mm.RotatedViewsDataPreprocessor", num_views=7))


def raw():
    torch.zeros(2, 3) @ torch.zeros(2, 3)


def raw_inside_of_ours():
    rotated_views.random_flip(None, 0.5)


def dies():
    print("corrupted size vs. prev_size", file=open("/dev/stderr", "w"))
    os.kill(os.getpid(), signal.SIGSEGV)


def hangs():
    time.sleep(60)


def works():
    return dict(result=outcomes.WORKS, detail="")


def test_how_a_trial_ends_is_told():
    trials = (refused, raw, raw_inside_of_ours, dies, works)
    named = ((trial.__name__, trial) for trial in trials)
    ended = dict(outcomes.run(named, limit=60, jobs=2))
    told = {name: (row["result"], row["detail"]) for name, row in ended.items()}
    assert told["refused"] == ("refused", "num_views=7; expected 1, 2, 3 or 4.")
    assert told["raw"][0] == "raw"
    # Newer torch has the operator's name in front.
    assert "mat1 and mat2 shapes cannot be" in told["raw"][1].split(" (")[0]
    assert told["raw"][1].startswith("RuntimeError: ")
    assert told["raw_inside_of_ours"] == (
        "raw",
        "TypeError: object of type 'NoneType' has no len()",
    )
    assert told["dies"] == ("signal", "SIGSEGV (corrupted size vs. prev_size)")
    assert told["works"] == ("works", "")


def test_a_trial_that_hangs_is_ended():
    began = time.monotonic()
    trials = [("first", hangs), ("second", hangs)]
    ended = dict(outcomes.run(trials, limit=1, jobs=2))
    assert time.monotonic() - began < 30
    assert {row["result"] for row in ended.values()} == {"time"}
    assert ended["first"]["detail"] == "did not end in 1 s"


def test_other_logits_are_found():
    (kind,) = kinds.choose(["mmpretrain/resnet_cifar"])
    with trial.DefaultScope.overwrite_default_scope("mmpretrain"):
        model = trial.build(kind, "student")
        data = trial.networks.batch(kind)
        assert trial.other_logits(model, kind, "student", data) == {}
        get_record = model.distiller.get_record
        model.distiller.get_record = lambda *args: 2 * get_record(*args)
        found = trial.other_logits(model, kind, "student", data)
    assert found["result"] == "wrong logits"


def test_a_network_that_fails_alone_is_told_apart(monkeypatch):
    (kind,) = kinds.choose(["mmpretrain/resnet_cifar"])

    def fail(*args):
        raise RuntimeError("no operator\nat all")

    monkeypatch.setattr(trial.networks, "partner", fail)
    found = trial.attempt(kind, "student")
    assert (found["result"], found["detail"]) == ("raw", "RuntimeError: no operator")
    assert found["stage"] == "build"
    monkeypatch.setattr(trial.networks, "network", fail)
    assert trial.attempt(kind, "student")["result"] == "fails alone"


@pytest.fixture
def docs(tmp_path):
    """A repository whose page has nothing between the markers."""
    (tmp_path / "docs").mkdir()
    text = (ROOT / "docs" / "networks.md").read_text()
    before, after = text.split(page.BEGIN)[0], text.split(page.END)[1]
    path = tmp_path / "docs" / "networks.md"
    path.write_text(f"{before}{page.BEGIN}{page.END}{after}")
    return path


def sweep_into(log, arguments, root):
    with open(log, "w") as told, contextlib.redirect_stdout(told):
        status = sweep.main(arguments, root)
    sys.exit(status)


def test_some_kinds_as_both_roles(docs, tmp_path):
    pytest.importorskip("mmdet")
    out, log = tmp_path / "sweep.json", tmp_path / "log"
    asked = ["--only", "mmpretrain/resnet_cifar", "mmdet/gfl", "mmdet/detr"]
    options = ["--out", str(out)]
    asked += [*options, "--docs"]
    assert in_clean_process(sweep_into, log, asked, tmp_path) == 0
    rows = {(row["kind"], row["role"]): row for row in json.loads(out.read_text())}
    assert len(rows) == 6
    for role in ("student", "teacher"):
        assert rows["mmpretrain/resnet_cifar", role]["result"] == "works"
        assert rows["mmdet/gfl", role]["result"] == "works"
        refusal = rows["mmdet/detr", role]
        assert refusal["result"] == "refused" and refusal["stage"] == "build"
        assert refusal["detail"].startswith("The student is a DETR, whose queries")
    lines = docs.read_text().splitlines()
    (line,) = [line for line in lines if line.startswith("| resnet_cifar ")]
    assert line.endswith("| works | works |")
    assert "As student: works 1, refused 1." in docs.read_text()
    (line,) = [line for line in lines if line.startswith("| detr ")]
    assert "| refused: The student is a DETR," in line and line.endswith("| the same |")
    page.write(docs, {key: row for key, row in rows.items() if "gfl" in key[0]})
    text = docs.read_text()
    assert "| resnet_cifar " in text and "| detr " not in text
    assert text.index("### mmpretrain") < text.index("### mmdet")
    assert "works: 4, refused: 2" in log.read_text()

    # What the file has of other trials is kept.
    one = ["--only", "mmdet/gfl", "--roles", "teacher"]
    assert in_clean_process(sweep_into, log, [*one, *options], tmp_path) == 0
    assert len(json.loads(out.read_text())) == 6


def test_an_unknown_kind_is_named(capsys):
    assert sweep.main(["--only", "mmdet/nothing"]) == 1
    assert "There is no kind mmdet/nothing; expected" in capsys.readouterr().err


@pytest.mark.parametrize("library", ["mmpretrain", "mmdet"])
def test_every_family_is_tried_or_left_out_for_a_reason(library):
    pytest.importorskip(library)
    configs = kinds.configs_of(library)
    families = {path.relative_to(configs).parts[0] for path in configs.rglob("*.py")}
    families -= {"_base_", "__pycache__"}
    tried = {
        kind.source.split("/")[0]
        for kind in kinds.all_kinds()
        if kind.library == library
    }
    left_out = set(kinds.LEFT_OUT[library])
    assert families <= tried | left_out
    assert not tried & left_out and left_out <= families
    for kind in kinds.all_kinds():
        if kind.library == library:
            assert (configs / kind.source).is_file(), kind.id


def test_a_page_without_markers_is_named(tmp_path):
    path = tmp_path / "networks.md"
    path.write_text("nothing")
    with pytest.raises(ValueError, match="has not one <!-- begin sweep -->"):
        page.write(path, {})
