"""Measurements that are taken out of reports."""

import json

import pytest

from pckd_mm.analysis import Method, Table, read_curve, write_report
from pckd_mm.analysis.measured import over_seeds
from pckd_mm.analysis.report_measurements import from_report


def row(config, runs, command=""):
    return dict(name=config, config=config, command=command, runs=runs)


def run(seed, final, **notes):
    return dict(seed=seed, final=final, commit="abc", date=f"2026-01-0{seed}", **notes)


# Its table has one teacher, as tables had before they could have several.
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


def test_runs_that_are_set_apart_are_no_results_of_the_plain_config():
    shared = run(1, 62.0, apart=["share_teacher", "fast"])
    tables = [
        dict(
            teachers=[row("teacher.py", [run(0, 75.0)])],
            methods=[row("alone.py", [run(1, 60.0)]), row("kd.py", [shared])],
        )
    ]
    teacher, alone, kd = from_report(dict(REPORT, tables=tables, share_teacher=8))
    assert teacher.options == alone.options == [] and alone.name == ""
    assert kd.options == ["share_teacher", "fast"]
    assert (kd.name, kd.top1) == ("kd.py", {1: 62.0})


@pytest.mark.parametrize("fact", [dict(share_teacher=8), dict(speed="fast")])
def test_a_report_that_does_not_say_which_runs_are_apart_is_refused(fact):
    """None of its entries is one of the plain config, as none says otherwise."""
    with pytest.raises(ValueError, match="does not say of which; .* command again"):
        from_report(dict(REPORT, **fact))
    # Later ones say it of each run; of a student alone there is nothing to say.
    tables = [dict(teachers=[], methods=[row("alone.py", [run(1, 60.0)])])]
    (alone,) = from_report(dict(REPORT, tables=tables, **fact))
    assert alone.options == []
    methods = [row("kd.py", [run(1, 62.0, apart=["fast"])])]
    tables = [dict(teachers=[], methods=methods)]
    (kd,) = from_report(dict(REPORT, tables=tables, **fact))
    assert kd.options == ["fast"]


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
    tables = [dict(teachers=[], methods=rows)]
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
    tables = [dict(teachers=[], methods=[row("a.py", runs)])]
    (entry,) = from_report(dict(REPORT, tables=tables))
    assert (entry.top1, entry.best) == ({1: 60.0, 2: 62.0}, {})


def test_detectors_are_recorded_by_their_metric():
    # Of epochs 9 and 10, of which "9" is the greater string.
    curves = dict(
        average_precision={"9": 75.126, "10": 74.0},
        average_precision_50_95={"9": 41.0, "10": 40.254},
    )
    methods = [row("d.py", [run(1, 74.0, **curves)])]
    tables = [dict(teachers=[], metric="mAP@0.5", methods=methods)]
    (entry,) = from_report(dict(REPORT, tables=tables))
    assert (entry.map50, entry.best, entry.ap) == ({1: 74.0}, {1: 75.13}, {1: 40.25})
    assert entry.top1 == {}
    tables[0]["metric"] = "recall"
    with pytest.raises(ValueError, match="is of recall; expected top-1 or mAP@0.5"):
        from_report(dict(REPORT, tables=tables))


def test_a_config_of_several_tables_is_one_entry():
    """The teacher of one pair may be the student of another."""
    trained = [
        dict(teachers=[], methods=[row("a.py", [run(1, 60.0), run(2, 62.0)])]),
        dict(
            teacher=row("a.py", [run(3, 61.0)]), methods=[row("b.py", [run(1, 50.0)])]
        ),
    ]
    first, second = from_report(dict(REPORT, tables=trained))
    assert (first.config, first.top1) == ("a.py", {1: 60.0, 2: 62.0, 3: 61.0})
    assert (second.config, second.top1) == ("b.py", {1: 50.0})
