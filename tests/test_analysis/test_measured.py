"""Measurements: reading, taking them from reports, merging."""

import json
from dataclasses import replace

import pytest

from pckd_mm.analysis import MAP50, TOP1, Method, Table, read_curve, write_report
from pckd_mm.analysis.measured import (
    Measurement,
    from_report,
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


def test_entries_of_a_report():
    """What is not finished, and a tested checkpoint, are no measurements."""
    (entry,) = from_report(REPORT)
    assert (entry.config, entry.top1) == ("alone.py", {1: 60.12, 2: 61.0})
    assert (entry.map50, entry.best, entry.ap) == ({}, {}, {})  # no curve was given
    assert entry.command == "python tools/compare.py"
    assert (entry.hardware, entry.commit) == ("2 cores, a GPU", "abc")
    assert entry.date == "2026-01-02"
    with pytest.raises(ValueError, match="expected one of plain configs"):
        from_report(dict(REPORT, options="train_cfg.max_epochs=2"))
    with pytest.raises(ValueError, match="of runs on 4 GPUs each"):
        from_report(dict(REPORT, gpus_per_run=4))
    with pytest.raises(ValueError, match="of students that share a teacher, whose s"):
        from_report(dict(REPORT, share_teacher=8))


def test_the_best_epoch_is_that_of_the_curve(tmp_path):
    """From what the runs wrote, through the report of a comparison."""
    for seed, values in enumerate(([50.0, 62.604, 61.0], [55.0, 60.0, 63.0])):
        folder = tmp_path / str(seed) / "20260101" / "vis_data"
        folder.mkdir(parents=True)
        lines = [
            json.dumps({"accuracy/top1": value, "step": epoch})
            for epoch, value in enumerate(values, 1)
        ]
        (folder / "scalars.json").write_text("\n".join(lines))
    curves = {seed: read_curve(tmp_path / str(seed)) for seed in (0, 1)}
    method = Method("alone", curves, config="alone.py")
    method.notes[0] = method.notes[1] = dict(date="2026-01-01")
    write_report(tmp_path, "Title", [Table([method])], facts=dict(command="c"))
    (entry,) = from_report(json.loads((tmp_path / "report.json").read_text()))
    assert (entry.top1, entry.best) == ({0: 61.0, 1: 63.0}, {0: 62.6, 1: 63.0})
    assert over_seeds(entry.best) == "62.80 +- 0.28"


def test_lines_with_settings_of_their_own_are_entries():
    rows = [row("a.py", [run(1, 60.0)]), row("a.py", [run(1, 61.0)])]
    rows[1].update(name="PCKD, loss_kd=4", options=["model.x=4"])
    tables = [dict(teacher=None, methods=rows)]
    plain, changed = from_report(dict(REPORT, tables=tables))
    assert (plain.options, plain.name, plain.top1) == ([], "", {1: 60.0})
    assert changed.options == ["model.x=4"] and changed.name == "PCKD, loss_kd=4"
    assert changed.top1 == {1: 61.0}
    # What was held out of the training is no result of the config.
    tables[0]["held_out"] = 0.1
    plain, changed = from_report(dict(REPORT, tables=tables))
    assert plain.options == ["val_share=0.1"] and plain.name == rows[0]["name"]
    assert changed.options == ["model.x=4", "val_share=0.1"]


def test_a_best_epoch_of_some_runs_alone_is_none():
    runs = [run(1, 60.0, accuracy={"1": 61.0, "2": 60.0}), run(2, 62.0)]
    tables = [dict(teacher=None, methods=[row("a.py", runs)])]
    (entry,) = from_report(dict(REPORT, tables=tables))
    assert (entry.top1, entry.best) == ({1: 60.0, 2: 62.0}, {})


def test_detectors_are_recorded_by_their_metric():
    # Of epochs 9 and 10, of which "9" is the greater string.
    curves = dict(
        average_precision={"9": 75.126, "10": 74.0},
        average_precision_50_95={"9": 41.0, "10": 40.254},
    )
    methods = [row("d.py", [run(1, 74.0, **curves)])]
    tables = [dict(teacher=None, metric="mAP@0.5", methods=methods)]
    (entry,) = from_report(dict(REPORT, tables=tables))
    assert (entry.map50, entry.best, entry.ap) == ({1: 74.0}, {1: 75.13}, {1: 40.25})
    assert entry.top1 == {}
    tables[0]["metric"] = "recall"
    with pytest.raises(ValueError, match="is of recall; expected top-1 or mAP@0.5"):
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
    with pytest.raises(ValueError, match=r"seeds \[0, 2\], and \[0\]"):
        merge([DETECTOR], [replace(DETECTOR, map50={0: 71.0})])
