"""The benchmark of a step: what it compares, what it times, and what it prints."""

import argparse
import json
import sys
import time

import numpy as np
import pytest
import torch
from mmpretrain.structures import DataSample
from torch import nn

from tests.builders import ROOT, build_pckd, classifier
from tests.preloaded import preloaded

FOLDER = ROOT / "tools" / "benchmarks"
sys.path.insert(0, str(FOLDER))
import measure  # noqa: E402
import plain_program  # noqa: E402
import programs  # noqa: E402
import step  # noqa: E402


def test_the_plain_contrast_is_the_definition():
    torch.manual_seed(0)
    anchors = torch.randn(12, 5, dtype=torch.float64)
    labels = torch.arange(12) % 4
    found = plain_program.contrast(anchors, labels)
    for a in range(12):
        others = [b for b in range(12) if b != a]
        total = sum((anchors[a] @ anchors[b] / 4.0).exp() for b in others).log()
        positives = [b for b in others if labels[b] == labels[a]]
        mean = sum(anchors[a] @ anchors[b] / 4.0 for b in positives) / len(positives)
        assert float(found[a]) == pytest.approx(float(4 / 0.07 * (total - mean)))


def test_the_plain_program_has_the_projects_loss():
    model = build_pckd(classifier(8), classifier(14))
    plain = plain_program.PlainPCKD(model.student, model.teacher)
    connectors = model.distiller.connectors
    plain.align.load_state_dict(connectors["align"].mlp.state_dict())
    plain.s_embed.load_state_dict(connectors["s_embed"].linear.state_dict())
    plain.t_embed.load_state_dict(connectors["t_embed"].linear.state_dict())
    views, labels = torch.randn(20, 3, 8, 8), torch.tensor([3, 1, 3, 9, 0])
    expected = float(plain(views, labels, 60).detach())
    model.progress = 60 / 240
    losses = model(views, [DataSample().set_gt_label(labels)], mode="loss")
    found = float(model.parse_losses(losses)[0].detach())
    assert found == pytest.approx(expected, rel=1e-5)


def test_four_views_of_an_image():
    image = np.random.RandomState(0).randint(256, size=(6, 6, 3)).astype(np.uint8)
    data = plain_program.FourViews(
        lambda index: image,
        np.array([7]),
        mean=[100.0, 110.0, 120.0],
        std=[50.0, 60.0, 70.0],
        crop=lambda view: view,
    )
    views, label = data[0]
    assert label == 7 and views.shape == (4, 3, 6, 6)
    mean, std = np.array([100.0, 110.0, 120.0]), np.array([50.0, 60.0, 70.0])
    whole = [
        np.stack([np.rot90(flipped, turns) for turns in range(4)])
        for flipped in (image, image[:, ::-1])
    ]
    found = views.permute(0, 2, 3, 1).numpy() * std + mean
    assert any(np.allclose(found, expected, atol=1e-3) for expected in whole)


def test_a_crop_is_part_of_the_padded_image():
    image = np.arange(1, 28).reshape(3, 3, 3).astype(np.uint8)
    padded = np.zeros((11, 11, 3), np.uint8)
    padded[4:7, 4:7] = image
    crops = [padded[t : t + 3, u : u + 3] for t in range(9) for u in range(9)]
    for _ in range(20):
        found = plain_program.pad_and_crop(image)
        assert any(np.array_equal(found, crop) for crop in crops)


def test_a_stopwatch_adds_up_the_parts():
    watch = measure.Stopwatch("cpu")
    for _ in range(2):
        watch.mark("")
        time.sleep(0.02)
        watch.mark("first")
        watch.mark("second")
        time.sleep(0.03)
        watch.mark("first")
    parts = watch.parts()
    assert parts.keys() == {"first", "second"}
    assert 0.1 <= parts["first"] < 0.3 and parts["second"] < 0.01
    assert watch.parts() == {}


def test_before_and_after_a_method():
    order = []
    model = nn.Linear(2, 2)
    programs.before(model, "forward", lambda: order.append("before"))
    programs.after(model, "forward", lambda: order.append("after"))
    assert model(torch.ones(1, 2)).shape == (1, 2)
    assert order == ["before", "after"]


def test_operations_are_those_of_the_layers():
    pair = step.Pair.__new__(step.Pair)
    pair.args = argparse.Namespace(batch=3)

    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 8, 3, padding=1, bias=False)
            self.head = nn.Identity()

        def forward(self, x):
            return self.conv(x)

        extract_feat = forward

    pair.student, pair.teacher = Network(), Network()
    pair.some_views = lambda: (torch.randn(12, 3, 10, 10), None)
    forward = 2 * 8 * 3 * 9 * 10 * 10  # multiply and add, for each pixel
    # The teacher's forward pass; the student's, and the gradient of its weight alone,
    # since the images need none.
    assert pair.operations() == 12 * (forward + 2 * forward)


def test_an_unknown_pair_is_named():
    with pytest.raises(SystemExit, match="--teacher resnet56 --student resnet8x4"):
        step.find_config("pckd", "resnet56", "resnet8x4")


def test_json():
    options = ["--teacher", "resnet20", "--student", "resnet8", "--batch", "4"]
    options += ["--repeats", "1", "--block", "1", "--workers", "0", "--fast"]
    # The processes that it starts for the peaks of memory are forked likewise.
    done = preloaded().call([FOLDER / "step.py", *options, "--device", "cpu", "--json"])
    assert done.returncode == 0, done.stderr
    # The maintained line of MMPretrain prints a line when it is imported.
    found = json.loads(done.stdout[done.stdout.index("{") :])
    for name in ("plain", "floor", "project", "kd"):
        assert found[f"{name}_ms"] > 0 and found["peaks_mb"][name] > 0
        per_second = found["images_per_s"][name]
        assert per_second == pytest.approx(4000 / found[f"{name}_ms"], rel=0.01)
    assert found["peak_mb"] == found["peaks_mb"]["project"]
    assert 0 < found["own_share"] < 1
    assert found["loss_difference"] < 1e-4
    assert found["project_over_floor"] == pytest.approx(
        found["project_ms"] / found["floor_ms"], rel=0.01
    )
    parts = found["parts_ms"]
    assert set(parts["floor"]) == {"teacher", "student", "optimizer"}
    assert set(parts["project"]) == {
        *parts["floor"],
        *("data", "views", "losses", "hooks"),
    }
    assert sum(parts["project"].values()) == pytest.approx(
        found["project_ms"], rel=0.05
    )
    # Multiplications and additions of resnet20, and three times those of resnet8, for
    # 16 views; the images need no gradient.
    million = 81.6e6 + 3 * 25.2e6
    assert found["gigaoperations"] == pytest.approx(16 * million / 1e9, rel=0.05)
    assert found["precision"] == "float32" and found["fast"] is True
    assert "left" in done.stderr
    assert step.table(found).count("\n|") >= 14
