"""`pckd report`: of runs as training leaves them."""

import json
import re
import shutil

import pytest
import torch
from mmengine.runner import Runner

from pckd_mm.commands import main
from pckd_mm.registry import MODELS
from pckd_mm.utils.dependencies import has_detection
from tests.builders import image_folder, run_config
from tests.test_analysis.test_page import page_of
from tests.test_analysis.tiny_detector import detector, write_devkit


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Work dirs of a student alone and of one from a teacher."""
    root = tmp_path_factory.mktemp("runs")
    data = image_folder(root / "images")
    for name in ("pckd/cifar100_resnet20_resnet8_30e", "vanilla/cifar100_resnet8_30e"):
        cfg = run_config(f"{name}.py", data, root / name)
        cfg.train_cfg.max_epochs = 2
        if "teacher_ckpt" in cfg.model:
            teacher = MODELS.build(cfg.model.teacher)
            path = root / "teacher.pth"
            torch.save(dict(state_dict=teacher.state_dict()), path)
            cfg.model.teacher_ckpt = str(path)
        Runner.from_cfg(cfg).train()
    return root


def test_a_run_and_its_teacher(root, capsys):
    folder = root / "pckd" / "cifar100_resnet20_resnet8_30e"
    assert main(["report", str(folder)]) == 0
    said = capsys.readouterr().out
    assert f"The report: {folder / 'report' / 'report.html'}" in said
    page = page_of(folder / "report")
    assert page.text("h1") == ["Report of pckd/cifar100_resnet20_resnet8_30e"]
    assert page.text("h2") == [
        "Results",
        "Accuracy after each epoch",
        "Which loss moves the student",
        "What the preview did",
        "Category centers of teacher and student",
        "How the networks see the images",
        "What is taken for what",
        "What the student still confuses",
        "Made by",
    ]
    found = json.loads((folder / "report" / "report.json").read_text())
    (table,) = found["tables"]
    assert list(table["inspected"]["wrong"]) == ["teacher", table["methods"][0]["name"]]
    markdown = (folder / "report" / "report.md").read_text()
    assert "(losses.png)" in markdown and "(confusion.png)" in markdown


def test_runs_with_teachers_of_their_own(root, tmp_path, capsys):
    """Both are looked into, and each student is compared with the one it had."""
    folders = [tmp_path / "one", tmp_path / "other"]
    for folder in folders:
        shutil.copytree(root / "pckd" / "cifar100_resnet20_resnet8_30e", folder)
    (config,) = folders[1].glob("*/vis_data/config.py")
    (tmp_path / "other.pth").write_bytes((root / "teacher.pth").read_bytes())
    before, after = str(root / "teacher.pth"), str(tmp_path / "other.pth")
    config.write_text(config.read_text().replace(before, after))
    report = tmp_path / "report"
    argv = ["report", *map(str, folders), "--out", str(report)]
    assert main(argv) == 0
    (table,) = json.loads((report / "report.json").read_text())["tables"]
    assert list(table["inspected"]["wrong"]) == ["teacher", "teacher 2", "one", "other"]
    assert list(table["inspected"]["likeness_to_teacher"]) == ["one", "other"]
    # One that is gone is named, and the other one stays.
    (tmp_path / "other.pth").unlink()
    assert main(argv) == 0
    assert f"The teacher {after} is left out: " in capsys.readouterr().out
    (table,) = json.loads((report / "report.json").read_text())["tables"]
    assert list(table["inspected"]["wrong"]) == ["teacher", "one", "other"]
    assert list(table["inspected"]["likeness_to_teacher"]) == ["one"]
    # Weights that a config brings are not the other run's teacher either.
    config.write_text(config.read_text().replace(f"'{after}'", "None"))
    assert main(argv) == 0
    (table,) = json.loads((report / "report.json").read_text())["tables"]
    assert list(table["inspected"]["likeness_to_teacher"]) == ["one"]


def test_runs_side_by_side(root, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folders = [str(p.parent) for p in sorted(root.glob("*/*/last_checkpoint"))]
    assert main(["report", *folders, "--curves-only"]) == 0
    page = page_of(tmp_path / "report")
    names = ["pckd/cifar100_resnet20_resnet8_30e", "vanilla/cifar100_resnet8_30e"]
    assert [text for text in page.text("th") if "/" in text] == names
    assert "What is taken for what" not in page.text("h2")


def test_what_cannot_be_looked_into_is_said(root, tmp_path, capsys):
    folder = tmp_path / "moved"
    shutil.copytree(root / "vanilla" / "cifar100_resnet8_30e", folder)
    (config,) = folder.glob("*/vis_data/config.py")
    config.write_text(config.read_text().replace(str(root / "images"), "/nowhere"))
    assert main(["report", str(folder)]) == 0
    assert "moved are not looked into: " in capsys.readouterr().out
    text = (folder / "report" / "report.html").read_text()
    assert "moved are not looked into: " in text and "/nowhere" in text
    for path in [*folder.glob("*.pth"), folder / "last_checkpoint"]:
        path.unlink()
    assert main(["report", str(folder)]) == 0
    assert "it has no checkpoint yet" in capsys.readouterr().out


def test_metrics_apart_have_files_of_their_own(root, tmp_path, capsys, monkeypatch):
    """A slash in a metric's name is no folder, and Markdown's links have no blanks."""
    monkeypatch.chdir(tmp_path)
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder in folders:
        shutil.copytree(root / "vanilla" / "cifar100_resnet8_30e", folder)
    (config,) = folders[1].glob("*/vis_data/config.py")
    text = config.read_text().replace("type='Accuracy'", "type='AveragePrecision'")
    config.write_text(text)
    scalars = next(folders[1].glob("*/vis_data/scalars.json"))
    scalars.write_text(scalars.read_text().replace("accuracy/top1", "multi-label/mAP"))
    assert main(["report", *map(str, folders), "--curves-only"]) == 0
    report = tmp_path / "report"
    links = re.findall(r"!\[.*?\]\((.*?)\)", (report / "report.md").read_text())
    assert len(set(links)) >= 2 and all((report / link).is_file() for link in links)
    assert not any(" " in link or "/" in link for link in links)


def test_no_run_is_a_sentence(tmp_path, capsys):
    assert main(["report", str(tmp_path)]) == 1
    assert "has no config that a run wrote" in capsys.readouterr().err


@pytest.mark.skipif(not has_detection(), reason="needs mmdet")
def test_detectors(tmp_path, capsys):
    cfg, checkpoint = detector(write_devkit(tmp_path / "devkit"))
    cfg.val_evaluator = dict(type="VOCMetric", metric="mAP")
    folder = tmp_path / "run"
    (folder / "20260101_000000" / "vis_data").mkdir(parents=True)
    cfg.dump(folder / "20260101_000000" / "vis_data" / "config.py")
    line = {"pascal_voc/mAP": 0.25, "step": 1}
    scalars = folder / "20260101_000000" / "vis_data" / "scalars.json"
    scalars.write_text(json.dumps(line) + "\n")
    shutil.copy(checkpoint, folder / "epoch_1.pth")
    assert main(["report", str(folder), "--images", "2"]) == 0
    page = page_of(folder / "report")
    heads = ["Results", "Average precision after each epoch", "Detections", "Made by"]
    assert page.text("h2") == heads
    alt = page.all("img")[-1]["alt"]
    # An object and a difficult one in image a, none in b.
    assert alt.startswith("Boxes in 2 images of the test: ground truth 2, ")
    assert "25.00" in capsys.readouterr().out
