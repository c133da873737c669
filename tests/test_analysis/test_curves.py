"""Logs of runs, read back."""

import json

import pytest

from pckd_mm.analysis import read_curve, read_epoch, read_losses, read_preview
from pckd_mm.analysis.curves import validation_keys


def write_scalars(work_dir, start, records, tail=""):
    folder = work_dir / start / "vis_data"
    folder.mkdir(parents=True)
    lines = "".join(json.dumps(record) + "\n" for record in records)
    (folder / "scalars.json").write_text(lines + tail)


def accuracy(epoch, value):
    return {"accuracy/top1": value, "time": 0.1, "step": epoch}


def test_curve_of_a_run(tmp_path):
    train = {"loss": 1.5, "epoch": 1, "iter": 10, "step": 10}
    records = [train, accuracy(1, 40.0), dict(train, step=20), accuracy(2, 55.5)]
    write_scalars(tmp_path, "20260101_000000", records)
    assert read_curve(tmp_path) == {1: 40.0, 2: 55.5}
    assert read_curve(tmp_path, "loss") == {10: 1.5, 20: 1.5}


def test_of_a_resumed_run_the_latest_start_counts(tmp_path):
    resumed = [accuracy(2, 60.0), accuracy(3, 70.0)]
    write_scalars(tmp_path, "20260101_100000", resumed)
    first = [accuracy(1, 40.0), accuracy(2, 50.0)]
    # The process was killed while it wrote.
    write_scalars(tmp_path, "20260101_090000", first, tail='{"accuracy/top1": 9')
    assert list(read_curve(tmp_path).items()) == [(1, 40.0), (2, 60.0), (3, 70.0)]


def test_epochs_logged(tmp_path):
    train = {"loss": 1.5, "epoch": 1, "iter": 10, "step": 10}
    records = [train, dict(train, epoch=3, step=50), accuracy(4, 40.0)]
    write_scalars(tmp_path, "20260101_000000", records)
    write_scalars(tmp_path, "20260101_100000", [dict(train, epoch=2)])
    assert read_epoch(tmp_path) == 3


def test_no_curve_yet(tmp_path):
    assert read_curve(tmp_path) == {} and read_epoch(tmp_path) == 0
    assert read_curve(tmp_path / "missing") == {}


def test_preview_of_a_resumed_run(tmp_path):
    def line(epoch, share):
        record = dict(epoch=epoch, threshold=1.0, share=share, histogram=[1, 3])
        return json.dumps(record) + "\n"

    cut_off = '{"epoch": 3, "thr'
    text = line(1, 0.5) + line(2, 0.4) + cut_off + line(2, 0.3) + line(3, 0.2)
    (tmp_path / "preview.jsonl").write_text(text)
    # The first line after the cut is lost with it; the epoch's earlier record stays.
    assert [(r["epoch"], r["share"]) for r in read_preview(tmp_path)] == [
        (1, 0.5),
        (2, 0.4),
        (3, 0.2),
    ]


def test_no_preview(tmp_path):
    assert read_preview(tmp_path) == []


def test_losses_and_their_shares(tmp_path):
    detector = {
        "lr": 0.1,
        "loss": 10.0,
        "student.loss_rpn_cls": 1.0,
        "student.loss_bbox": 2.0,
        "student.acc": 90.0,
        "distill.loss_cc": 5.0,
        "distill.loss_kd": 2.0,
        "step": 10,
    }
    share = {"gradient_share/student": 0.75, "gradient_share/loss_cc": 0.25, "step": 1}
    share["gradient_cosine/loss_cc"] = -0.5
    later = {**detector, "distill.loss_cc": float("nan"), "step": 20}
    records = [share, detector, later, accuracy(1, 40.0)]
    write_scalars(tmp_path, "20260101_000000", records)
    found = read_losses(tmp_path)
    assert found.values["student"] == {10: 3.0, 20: 3.0}
    assert list(found.values) == ["student", "loss_cc", "loss_kd"]
    assert found.gradient == {"student": {1: 0.75}, "loss_cc": {1: 0.25}}
    assert found.cosines == {"loss_cc": {1: -0.5}}
    shares = found.shares()
    assert {name: curve[10] for name, curve in shares.items()} == pytest.approx(
        dict(student=0.3, loss_cc=0.5, loss_kd=0.2)
    )
    assert all(0 <= v <= 1 for curve in shares.values() for v in curve.values())
    assert validation_keys(tmp_path) == ["accuracy/top1"]
    assert read_losses(tmp_path / "nothing").shares() == {}


def test_a_plain_run_has_no_losses_to_tell_apart(tmp_path):
    records = [{"lr": 0.1, "loss": 10.0, "step": 1}, accuracy(1, 40.0)]
    write_scalars(tmp_path, "20260101_000000", records)
    assert read_losses(tmp_path).values == {}
