"""Report of numbers made by hand."""

import json
from dataclasses import replace

import pytest

from pckd_mm.analysis import AP, MAP50, Method, Picture, Table, write_report
from pckd_mm.analysis.report import lines_of
from tests.test_analysis.finished import (
    ALONE,
    PCKD,
    PNG,
    TEACHER,
    inspected,
    method,
    preview,
)


def test_several_teachers(tmp_path):
    big, late = method("big", 99.0), Method("late", {})
    mine = replace(PCKD, teacher="big")
    table = Table([ALONE, mine], [TEACHER, big, late])
    text = write_report(tmp_path, "Title", [table])
    assert "| PCKD    | big         | 96.00 +- 1.73" in text
    (entry,) = json.loads((tmp_path / "report.json").read_text())["tables"]
    assert [row["name"] for row in entry["teachers"]] == ["teacher", "big", "late"]
    assert [row["teacher"] for row in entry["methods"]] == ["", "big"]
    names = ["teacher", "big", "late", ALONE.name, PCKD.name]
    assert [line["name"] for line in lines_of(entry)] == names
    page = (tmp_path / "report.html").read_text()
    assert "PCKD 96.00 percent; teacher 97.50 percent; big 99.00 percent." in page


@pytest.mark.parametrize(
    "teacher, lines", [("a teacher", ["a teacher", "alone"]), (None, ["alone"])]
)
def test_lines_of_a_report_whose_tables_had_one_teacher_or_none(teacher, lines):
    assert lines_of(dict(teacher=teacher, methods=["alone"])) == lines


def test_report(tmp_path):
    table = write_report(
        tmp_path / "new",
        "Title",
        [Table([ALONE, PCKD], [TEACHER])],
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
    assert (result["commit"], entry["teachers"][0]["mean"]) == ("abc", 97.5)
    pckd = entry["methods"][1]
    assert (pckd["name"], pckd["mean"], pckd["best"]) == ("PCKD", 96.0, 97.0)
    assert pckd["gain"] == 4.0
    assert pckd["runs"][2] == dict(
        seed=2, final=98.0, best=99.0, accuracy={"1": 50.0, "2": 99.0, "3": 98.0}
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


def test_a_table_for_each_pair(tmp_path):
    partial = Method("PCKD", {1: PCKD.curves[1]}, config="pckd.py", published=72.21)
    partial.notes[1] = {"commit": "abc", "hardware": "a GPU"}
    tables = [
        Table([ALONE, partial], [TEACHER], name="first"),
        Table([method("alone")], [Method("teacher", {})], name="second"),
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
        picture.write_bytes(PNG)
    write_report(tmp_path, "Title", tables, draw=["two"])
    assert [picture.read_bytes() == PNG for picture in pictures] == [True, False]


def test_report_of_detectors(tmp_path):
    alone = Method("alone", {0: {4: 30.0, 8: 40.0}})
    pckd = Method("PCKD", {0: {4: 35.0, 8: 42.5}, 1: {4: 34.0, 8: 43.5}})
    pckd.further[AP] = {0: {4: 15.0, 8: 22.0}, 1: {4: 25.0, 8: 24.0}}
    tables = [Table([alone, pckd], [Method("teacher", {0: {8: 60.0}})], metric=MAP50)]
    (tmp_path / "more.png").write_bytes(PNG)
    appendix = [Picture("More", "more.png", "a dot")]
    table = write_report(tmp_path, "Title", tables, facts={"a": "b"}, appendix=appendix)
    assert table.splitlines()[0] == (
        "| method  | mAP@0.5 last, mean +- std | best epoch | AP last, mean +- std "
        "| AP best | n | gain   |"
    )
    text = (tmp_path / "report.md").read_text()
    assert (
        "Mean average precision at IoU 0.5 in percent on the test set after the last "
        "epoch (8); mean" in text
    )
    headline = "Average precision after each validated epoch"
    ends = "alone 40.00, PCKD 43.00 percent; teacher 60.00 percent."
    alt = f"{headline}, mean over seeds. After the last epoch: {ends}"
    assert f"## {headline}\n\n![{alt}](average_precision.png)" in text
    assert "top-1" not in text.lower() and "accuracy" not in text.lower()
    assert text.endswith(
        "## More\n\n![a dot](more.png)\n\n[report.html](report.html) is this report in "
        "one file.\n\n## Made by\n- a: b\n"
    )
    picture = (tmp_path / "average_precision.png").read_bytes()
    assert picture.startswith(b"\x89PNG")
    (entry,) = json.loads((tmp_path / "report.json").read_text())["tables"]
    assert entry["metric"] == "mAP@0.5" and entry["methods"][1]["mean"] == 43.0
    (run,) = entry["methods"][0]["runs"]
    curve = {"4": 30.0, "8": 40.0}
    assert run == dict(seed=0, final=40.0, best=40.0, average_precision=curve)
    ap = entry["methods"][1]["average_precision_50_95"]
    assert ap == dict(mean=23.0, std=pytest.approx(2**0.5), best=23.5)
    (_, run) = entry["methods"][1]["runs"]
    assert run["average_precision_50_95"] == {"4": 25.0, "8": 24.0}


def test_report_with_a_look_into_the_networks(tmp_path):
    table = Table([ALONE, PCKD], [TEACHER], inspected=inspected())
    write_report(tmp_path, "Title", [table])
    text = (tmp_path / "report.md").read_text()
    assert "with images that were previewed and categories that are confused." in text
    assert "(centers.png)" in text and (tmp_path / "centers.png").is_file()
    (entry,) = json.loads((tmp_path / "report.json").read_text())["tables"]
    found = entry["inspected"]
    assert found["wrong"] == {"teacher": 4, "alone": 12, "PCKD": 9}
    assert found["likeness_to_teacher"]["PCKD"] == pytest.approx(1)
    alt = "Correlation with those of teacher: alone 1.000, PCKD 1.000."
    assert alt in text
    # Of several teachers each student's own.
    found = replace(inspected(), teachers={"alone": "PCKD", "PCKD": "pckd"})
    found.centers["pckd"] = found.centers["teacher"]
    write_report(tmp_path, "Title", [Table([ALONE, PCKD], [TEACHER], inspected=found)])
    text = (tmp_path / "report.md").read_text()
    assert "those of PCKD: alone 1.000. Correlation with those of pckd: PC" in text
    page = (tmp_path / "report.html").read_text()
    assert '<td class="name">PCKD</td>' in page
    assert "that a network learns from. 1 is the same" in page
