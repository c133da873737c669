"""Measurements: reading, taking them from reports, merging."""

from dataclasses import replace

import pytest

from pckd_mm.analysis.measured import (
    Measurement,
    from_report,
    merge,
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


def row(config, runs, command=""):
    return dict(name=config, config=config, command=command, runs=runs)


def run(seed, final, **notes):
    return dict(seed=seed, final=final, commit="abc", date=f"2026-01-0{seed}", **notes)


REPORT = dict(
    command="python tools/compare.py",
    hardware="2 cores",
    software="torch 2",
    precision="float32",
    tables=[
        dict(
            teacher=row("teacher.py", [run(0, 75.0, tested="teacher.pth")]),
            methods=[
                row("alone.py", [run(1, 60.123), run(2, 61.0, hardware="a GPU")]),
                row("kd.py", [], "python kd.py"),
            ],
        )
    ],
)


def test_written_and_read(tmp_path):
    path = tmp_path / "measured.yml"
    other = replace(ENTRY, options=["a=1"], name="other", top1={5: 50.0})
    write_measured(path, [other, ENTRY])
    assert read_measured(path) == [ENTRY, other]
    assert (ENTRY.mean, ENTRY.std) == (71.0, pytest.approx(2**0.5))
    assert (str(ENTRY), str(other)) == ("71.00 +- 1.41", "50.00")
    path.write_text("")
    assert read_measured(path) == []


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


def test_only_percentages(tmp_path):
    write_measured(tmp_path / "x.yml", [replace(ENTRY, top1={0: 170.0})])
    with pytest.raises(ValueError, match="expected a percentage"):
        read_measured(tmp_path / "x.yml")


def test_entries_of_a_report():
    """What is not finished, and a tested checkpoint, are no measurements."""
    (entry,) = from_report(REPORT)
    assert (entry.config, entry.top1) == ("alone.py", {1: 60.12, 2: 61.0})
    assert entry.command == "python tools/compare.py"
    assert (entry.hardware, entry.commit) == ("2 cores, a GPU", "abc")
    assert entry.date == "2026-01-02"
    with pytest.raises(ValueError, match="expected one of plain configs"):
        from_report(dict(REPORT, options="train_cfg.max_epochs=2"))


def test_only_top1_is_recorded():
    tables = [dict(table, metric="top-1") for table in REPORT["tables"]]
    assert from_report(dict(REPORT, tables=tables)) == from_report(REPORT)
    tables[-1]["metric"] = "mAP@0.5"
    with pytest.raises(ValueError, match="is of mAP@0.5; expected one of top-1"):
        from_report(dict(REPORT, tables=tables))


def test_a_config_of_several_tables_is_one_entry():
    """The teacher of one pair may be the student of another."""
    trained = [
        dict(teacher=None, methods=[row("a.py", [run(1, 60.0), run(2, 62.0)])]),
        dict(
            teacher=row("a.py", [run(3, 61.0)]), methods=[row("b.py", [run(1, 50.0)])]
        ),
    ]
    first, second = from_report(dict(REPORT, tables=trained))
    assert (first.config, first.top1) == ("a.py", {1: 60.0, 2: 62.0, 3: 61.0})
    assert (second.config, second.top1) == ("b.py", {1: 50.0})


def test_no_seed_is_lost():
    more = replace(ENTRY, top1={0: 70.5, 1: 71.0, 2: 72.0})
    assert merge([ENTRY], [more]) == [more]
    with pytest.raises(ValueError, match=r"seeds \[0, 1, 2\], and \[0, 2\]"):
        merge([more], [ENTRY])
