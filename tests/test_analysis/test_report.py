"""Table and pictures from numbers made by hand."""

import json

import pytest

from pckd_mm.analysis import (
    MAP50,
    Method,
    Table,
    command_list,
    markdown_table,
    report,
    summarise,
    write_report,
)
from pckd_mm.analysis.report import spread


def method(name, *finals, previews=None):
    """A method whose runs have these accuracies in the end and a better one before."""
    curves = {
        seed: {1: 50.0, 2: final + 1, 3: final} for seed, final in enumerate(finals)
    }
    return Method(name, curves, previews or {})


def preview(share):
    return [
        dict(epoch=e, threshold=1 + e / 10, share=share, histogram=[1, 0, 2, 7])
        for e in (1, 2, 3)
    ]


ALONE = method("alone", 90.0, 92.0, 94.0)
PCKD = method(
    "PCKD", 95.0, 95.0, 98.0, previews={seed: preview(0.3) for seed in (0, 1, 2)}
)
TEACHER = method("teacher", 97.5)


def test_numbers_by_hand():
    teacher, alone, pckd = summarise([ALONE, PCKD], "alone", TEACHER)
    assert (alone.mean, alone.std, alone.gain) == (92.0, 2.0, None)
    # Deviations from 96: -1, -1, 2; their squares make 6, over n - 1 = 2 it is 3.
    assert (pckd.mean, pckd.gain) == (96.0, 4.0)
    assert pckd.std == pytest.approx(3**0.5)
    assert (teacher.mean, teacher.std, teacher.gain) == (97.5, None, 5.5)


def test_table():
    assert markdown_table(summarise([ALONE, PCKD], "alone", TEACHER)).splitlines() == [
        "| method  | top-1 mean +- std | n | gain over the student alone |",
        "|---------|-------------------|---|-----------------------------|",
        "| teacher | 97.50 +- -        | 1 | +5.50                       |",
        "| alone   | 92.00 +- 2.00     | 3 | -                           |",
        "| PCKD    | 96.00 +- 1.73     | 3 | +4.00                       |",
    ]


def test_loss_is_shown_as_loss():
    worse = method("worse", 89.0, 90.0)
    assert summarise([ALONE, worse], "alone")[1].gain == -2.5
    assert "-2.50" in markdown_table(summarise([ALONE, worse], "alone"))


def test_spread_over_runs():
    steps, mean, deviation = spread([{1: 1.0, 2: 4.0}, {1: 3.0, 2: 4.0, 3: 5.0}])
    assert steps.tolist() == [1, 2]
    assert mean.tolist() == [2.0, 4.0]
    assert deviation.tolist() == [pytest.approx(2**0.5), 0.0]
    assert spread([{1: 1.0}])[2].tolist() == [0.0]


def test_report(tmp_path):
    table = write_report(
        tmp_path / "new",
        "Title",
        [Table([ALONE, PCKD], TEACHER)],
        notes=["A note."],
        facts={"command": "python x.py", "commit": "abc"},
    )
    text = (tmp_path / "new" / "report.md").read_text()
    assert text.startswith("# Title\n\n" + table)
    assert "after the last epoch (3)" in text and "over n seeds: 0, 1, 2." in text
    assert "A note." in text and "- command: python x.py\n- commit: abc\n" in text
    for picture in ("accuracy.png", "preview.png"):
        assert f"({picture})" in text
        assert (tmp_path / "new" / picture).read_bytes().startswith(b"\x89PNG")

    result = json.loads((tmp_path / "new" / "report.json").read_text())
    (entry,) = result["tables"]
    assert (result["commit"], entry["teacher"]["mean"]) == ("abc", 97.5)
    pckd = entry["methods"][1]
    assert (pckd["name"], pckd["mean"], pckd["gain"]) == ("PCKD", 96.0, 4.0)
    assert pckd["runs"][2] == dict(
        seed=2, final=98.0, accuracy={"1": 50.0, "2": 99.0, "3": 98.0}
    )


def test_report_of_one_seed_without_preview(tmp_path):
    table = write_report(tmp_path, "Title", [Table([method("alone", 90.0)])])
    assert "| 90.00 +- -" in table
    assert not (tmp_path / "preview.png").exists()
    assert "preview" not in (tmp_path / "report.md").read_text()


def test_report_of_two_methods_with_preview(tmp_path):
    other = Method("PCKD, one seed", {0: PCKD.curves[0]}, {0: preview(0.1)})
    write_report(tmp_path, "Title", [Table([ALONE, PCKD, other])])
    assert (tmp_path / "preview.png").is_file()


def test_what_is_not_measured_is_a_dash():
    methods = [
        Method("alone", {}, published=69.06),
        Method("KD", {0: {1: 70.0}}, published=70.66, command="python kd.py"),
    ]
    rows = summarise(methods, "alone")
    assert markdown_table(rows).splitlines()[2:] == [
        "| alone  | -                 | 0 | -                           | 69.06     "
        "| -       |",
        "| KD     | 70.00 +- -        | 1 | -                           | 70.66     "
        "| [2]     |",
    ]
    assert command_list(rows) == "```sh\npython kd.py  # [2]\n```"


def test_a_table_for_each_pair(tmp_path):
    partial = Method("PCKD", {1: PCKD.curves[1]}, config="pckd.py", published=72.21)
    partial.notes[1] = {"commit": "abc", "hardware": "a GPU"}
    tables = [
        Table([ALONE, partial], TEACHER, name="first"),
        Table([method("alone")], Method("teacher", {}), name="second"),
    ]
    shown = write_report(tmp_path, "Title", tables, notes=["A note."])
    assert shown.startswith("## first\n\n| method") and "\n\n## second\n\n|" in shown
    text = (tmp_path / "report.md").read_text()
    assert "over n seeds: alone 0, 1, 2; PCKD 1." in text
    assert "(accuracy_first.png)" in text and (tmp_path / "accuracy_first.png").exists()
    assert "No run is finished yet." in text and "A note." in text
    assert not (tmp_path / "accuracy_second.png").exists()
    first, second = json.loads((tmp_path / "report.json").read_text())["tables"]
    pckd = first["methods"][1]
    assert (pckd["n"], pckd["published"], pckd["config"]) == (1, 72.21, "pckd.py")
    assert (pckd["runs"][0]["hardware"], pckd["runs"][0]["seed"]) == ("a GPU", 1)
    assert (second["methods"][0]["n"], second["methods"][0]["mean"]) == (0, None)


def test_only_changed_pictures_are_drawn(tmp_path):
    tables = [Table([ALONE], name="one"), Table([ALONE], name="two")]
    write_report(tmp_path, "Title", tables)
    pictures = [tmp_path / f"accuracy_{name}.png" for name in ("one", "two")]
    for picture in pictures:
        picture.write_text("old")
    write_report(tmp_path, "Title", tables, draw=["two"])
    assert [picture.read_bytes()[:3] for picture in pictures] == [b"old", b"\x89PN"]


def test_report_of_detectors(tmp_path):
    alone = Method("alone", {0: {4: 30.0, 8: 40.0}})
    pckd = Method("PCKD", {0: {4: 35.0, 8: 42.5}, 1: {4: 34.0, 8: 43.5}})
    tables = [Table([alone, pckd], Method("teacher", {0: {8: 60.0}}), metric=MAP50)]
    appendix = ["## More", "![More](more.png)"]
    table = write_report(tmp_path, "Title", tables, facts={"a": "b"}, appendix=appendix)
    assert table.splitlines()[0].startswith("| method  | mAP@0.5 mean +- std | n |")
    text = (tmp_path / "report.md").read_text()
    assert (
        "Mean average precision at IoU 0.5 in percent on the test set after the last "
        "epoch (8), never" in text
    )
    assert "![Average precision after each validated epoch](average_precision.png)" in (
        text
    )
    assert "top-1" not in text.lower() and "accuracy" not in text.lower()
    assert text.endswith("## More\n\n![More](more.png)\n\n## Made by\n- a: b\n")
    picture = (tmp_path / "average_precision.png").read_bytes()
    assert picture.startswith(b"\x89PNG")
    (entry,) = json.loads((tmp_path / "report.json").read_text())["tables"]
    assert entry["metric"] == "mAP@0.5" and entry["methods"][1]["mean"] == 43.0
    (run,) = entry["methods"][0]["runs"]
    assert run == dict(seed=0, final=40.0, average_precision={"4": 30.0, "8": 40.0})


def axes_of(monkeypatch, *args):
    """What plot_curves draws."""
    figures, new = [], report.new_figure
    monkeypatch.setattr(
        report, "new_figure", lambda *size: figures.append(new(*size)) or figures[-1]
    )
    report.plot_curves(*args)
    return figures[0].axes


def test_axes_name_the_metric_and_gaps_are_marked(tmp_path, monkeypatch):
    methods = [ALONE, Method("gaps", {0: {2: 91.0, 4: 92.0}})]
    whole, last = axes_of(monkeypatch, tmp_path / "a.png", methods, None, MAP50)
    assert whole.get_ylabel() == "mean average precision at IoU 0.5 (%)"
    assert [line.get_marker() for line in last.lines] == ["None", "."]
    assert last.lines[1].get_xdata().tolist() == [2, 4]
    monkeypatch.undo()
    whole, _ = axes_of(monkeypatch, tmp_path / "b.png", [ALONE], TEACHER)
    assert whole.get_ylabel() == "top-1 accuracy (%)"
