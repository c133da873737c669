"""Detections drawn, of a tiny detector with random weights."""

import subprocess
import sys

import cv2
import numpy as np
import pytest
from matplotlib.patches import Rectangle

from pckd_mm.analysis import detections
from pckd_mm.analysis.detections import Box, Scene, detect, plot_detections
from tests.builders import ROOT
from tests.test_analysis.tiny_detector import detector, write_devkit


def test_what_is_there_and_what_is_found(tmp_path):
    pytest.importorskip("mmdet")
    devkit = write_devkit(tmp_path)
    networks = {"teacher": detector(devkit), "student": detector(devkit, 1)}
    before = networks["teacher"][0].pretty_text
    scenes = detect(networks, images=2, threshold=0.0)
    assert networks["teacher"][0].pretty_text == before
    assert [scene.name for scene in scenes] == ["a.jpg", "b.jpg"]
    # VOC counts from 1.
    assert scenes[0].boxes["ground truth"] == [
        Box((10, 15, 30, 45), 0, "one"),
        Box((40, 40, 60, 60), 1, "two", True),
    ]
    assert scenes[1].boxes["ground truth"] == []
    for scene in scenes:
        assert list(scene.boxes) == ["ground truth", "teacher", "student"]
        assert scene.image.shape == (48, 64, 3) and scene.image.dtype == np.uint8
        for name in networks:
            found = scene.boxes[name]
            assert 0 < len(found) <= 3
            names, scores = zip(*(box.text.split() for box in found), strict=True)
            assert list(names) == [("one", "two")[box.label] for box in found]
            assert sorted(map(int, scores)) == list(map(int, scores))
            assert all(
                0 <= left <= right <= 64 and 0 <= top <= bottom <= 48
                for (left, top, right, bottom), *_ in found
            )
    assert scenes[0].boxes["teacher"] != scenes[0].boxes["student"]
    (scene,) = detect({"teacher": networks["teacher"]}, 1, threshold=1.0)
    assert scene.boxes["teacher"] == []


def test_the_picture(tmp_path, monkeypatch):
    figures, new = [], detections.new_figure
    monkeypatch.setattr(
        detections,
        "new_figure",
        lambda *size: figures.append(new(*size)) or figures[-1],
    )
    image = np.zeros((48, 64, 3), dtype=np.uint8)
    there = [Box((10, 15, 30, 45), 0, "one"), Box((40, 1, 60, 20), 1, "two", True)]
    boxes = {"ground truth": there, "teacher": [], "PCKD": [there[0]]}
    scenes = [Scene("a.jpg", image, boxes), Scene("b.jpg", image, boxes)]
    plot_detections(tmp_path / "picture.png", scenes)
    assert cv2.imread(str(tmp_path / "picture.png")).shape == (720, 1080, 3)
    axes = figures[0].axes
    assert [axis.get_title() for axis in axes[:3]] == list(boxes)
    assert [axis.get_ylabel() for axis in axes[::3]] == ["a.jpg", "b.jpg"]
    drawn = [[p for p in axis.patches if isinstance(p, Rectangle)] for axis in axes]
    assert [len(panel) for panel in drawn] == [2, 0, 1, 2, 0, 1]
    assert [patch.get_bbox().extents.tolist() for patch in drawn[0]] == [
        [10, 15, 30, 45],
        [40, 1, 60, 20],
    ]
    assert [patch.get_linestyle() for patch in drawn[0]] == ["-", "--"]
    assert [text.get_text() for text in axes[0].texts] == ["one", "two"]
    assert axes[0].get_xlim() == (0, 64) and axes[0].get_ylim() == (48, 0)


def test_analysis_needs_no_mmdet():
    code = (
        "import sys; sys.modules['mmdet'] = sys.modules['mmcv'] = None; "
        "import pckd_mm.analysis.detections"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
