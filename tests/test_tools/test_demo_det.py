"""The demo of detectors, without its trainings."""

import json
import sys
from pathlib import Path

import cv2
import pytest

from pckd_mm.commands import compare
from pckd_mm.experiments import Run, Settings
from pckd_mm.experiments.planned import Line, PlannedTable
from tests.builders import CONFIGS, ROOT
from tests.preloaded import preloaded
from tests.test_analysis.tiny_detector import detector, write_devkit

sys.path.insert(0, str(ROOT / "tools"))
import demo  # noqa: E402
import demo_det  # noqa: E402


@pytest.fixture
def calls(monkeypatch):
    """What the demo does to data and runs, which takes no time."""
    done = []
    monkeypatch.setattr(sys, "argv", ["demo_det.py"])
    monkeypatch.chdir(ROOT.parent)
    monkeypatch.setattr(
        demo_det, "write_scenes", lambda *args: done.append((Path.cwd(), *args))
    )
    monkeypatch.setattr(
        demo_det, "main", lambda argv, **more: done.append((argv, more)) or 7
    )
    return done


def test_the_comparison(calls, monkeypatch):
    assert demo_det.run() == 7
    (folder, data), (argv, more) = calls
    # Paths of configs, data and results are relative to the repository.
    assert (folder, data) == (ROOT, Path("data/digit_scenes"))
    args = compare.parse_args(argv)
    assert (args.dataset, args.methods) == ("digit_scenes", {"pckd": None})
    for pair in args.pairs:
        assert (CONFIGS / "pckd" / f"digit_scenes_{pair}.py").is_file()
    # Of two stages and of one.
    assert args.pairs == ["frcnn_r18w32_r18w8", "gfl_r18w32_r18w8"]
    assert (args.seeds, str(args.work_dir)) == ([0], "work_dirs/demo_det")
    assert more["command"] == "python tools/demo_det.py" and not args.fresh
    assert more["appendix"] is demo_det.detections
    monkeypatch.setattr(sys, "argv", ["demo_det.py", "--fresh"])
    demo_det.run()
    assert compare.parse_args(calls[-1][0]).fresh


def test_what_is_missing_is_named(calls, monkeypatch, capsys):
    def other(out):
        raise FileExistsError(f"{out} was made with other settings")

    monkeypatch.setattr(demo_det, "write_scenes", other)
    assert demo_det.run() == 1
    assert "data/digit_scenes was made with other" in capsys.readouterr().err
    monkeypatch.setattr(demo_det, "has_detection", lambda: False)
    assert demo_det.run() == 1
    assert "not installed: make env-full" in capsys.readouterr().err and not calls


def finished(work, name, config, checkpoint, network):
    """A run that ended with 50 %, as it lies in its folder."""
    run = Run(name, str(config), 0, work / name, Settings(ROOT))
    folder = run.folder / "1" / "vis_data"
    folder.mkdir(parents=True)
    scores = json.dumps({"pascal_voc/mAP": 0.5, "step": 2})
    (folder / "scalars.json").write_text(scores)
    (run.folder / "finished.json").write_text(json.dumps({"average_precision": 50.0}))
    (run.folder / checkpoint).write_bytes(network.read_bytes())
    return run


def test_what_was_found_is_drawn_and_shown(tmp_path, monkeypatch):
    pytest.importorskip("mmdet")
    work = tmp_path / "work"
    devkit = write_devkit(tmp_path)
    cfg, weights = detector(devkit)
    _, others = detector(devkit, 1)
    cfg.train_cfg = dict(max_epochs=2)
    cfg.val_evaluator = dict(type="VOCMetric")
    plain = tmp_path / "plain.py"
    cfg.dump(plain)
    # Only PCKD's checkpoint of the student is of use to the student's config.
    cfg.model = dict(type="Any", architecture=dict(type="Any"), teacher_ckpt="a.pth")
    distils = tmp_path / "distils.py"
    cfg.dump(distils)
    teacher = finished(work, "teacher", plain, "epoch_2.pth", weights)
    alone = finished(work, "alone", plain, "epoch_2.pth", weights)
    pckd = finished(work, "PCKD", distils, "epoch_2_student.pth", others)
    lines = [Line("student alone", [alone]), Line("PCKD", [pckd])]
    table = PlannedTable("small", lines, [Line("teacher", [teacher])])
    monkeypatch.setattr(demo_det, "WORK_DIR", work)

    (picture,) = demo_det.detections([table])
    assert (picture.headline, picture.file) == ("Detections", "detections_small.png")
    assert "The first 3 scenes" in picture.text and "above 0.3" in picture.text
    # The one image with objects has two.
    said = "Boxes in 3 scenes of the test: ground truth 2, teacher "
    assert picture.alt.startswith(said)
    # Three images; what is there, the teacher, the student alone and PCKD.
    assert cv2.imread(str(work / "detections_small.png")).shape == (1080, 1440, 3)

    # A detector that failed is left out, in a report of its metric.
    (pckd.folder / "finished.json").unlink()
    request = compare.Request(Settings(ROOT), work_dir=work)
    monkeypatch.setattr("pckd_mm.experiments.comparison.make_plan", lambda _: [table])
    monkeypatch.setattr(
        "pckd_mm.experiments.comparison.Scheduler.train", lambda self: {}
    )
    shown, _ = compare.compare(request, "Title", appendix=demo_det.detections)
    assert "mAP@0.5 last, mean +- std" in shown and "| 50.00 +- -" in shown
    text = (work / "report.md").read_text()
    assert "(detections_small.png)\n\n[report.html]" in text
    assert cv2.imread(str(work / "detections_small.png")).shape == (1080, 1080, 3)

    for run in (teacher, alone):
        (run.folder / "finished.json").unlink()
    assert demo_det.detections([table]) == []


def test_both_demos_share_their_options(monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(sys, "argv", ["x.py", "--fresh"])
    assert demo.begin("what it is") == ["--seeds", "0", "1", "2", "--fresh"]
    monkeypatch.setattr(sys, "argv", ["x.py", "--seeds", "10", "11"])
    assert demo.begin("what it is") == ["--seeds", "10", "11"]
    monkeypatch.setattr(sys, "argv", ["x.py", "--help"])
    with pytest.raises(SystemExit):
        demo.begin("what it is")
    assert "what it is" in capsys.readouterr().out


def test_the_whole_demo_on_few_scenes(tmp_path, monkeypatch, capsys):
    pytest.importorskip("mmdet")
    for name in ("configs", "tools", "pckd_mm"):
        (tmp_path / name).symlink_to(ROOT / name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "executable", preloaded().python)
    shortened = ["train_cfg.max_epochs=1", "train_dataloader.batch_size=4"]
    options = ["--seeds", "0", "--threads", "1", "--cfg-options", *shortened]
    monkeypatch.setattr(demo_det, "begin", lambda *args, **more: options)
    write_scenes = demo_det.write_scenes
    monkeypatch.setattr(
        demo_det, "write_scenes", lambda out: write_scenes(out, 8, 1, 4)
    )
    assert demo_det.run() == 0
    table = capsys.readouterr().out
    for kind in ("frcnn", "gfl"):
        for line in (f"| teacher, {kind}_r18w32 ", f"| student alone, {kind}_r18w8 "):
            assert line in table
    assert table.count("| PCKD ") == 2
    work = tmp_path / "work_dirs" / "demo_det"
    report = (work / "report.md").read_text()
    assert "mAP@0.5" in report
    for pair in demo_det.PAIRS:
        name = f"detections_digit_scenes_{pair}.png"
        assert f"({name})" in report
        # Four scenes; what is there, the teacher, the student alone and PCKD.
        assert cv2.imread(str(work / name)).shape == (1440, 1440, 3)
