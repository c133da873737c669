"""Checkpoints: reading, fitting, exporting."""

import numpy as np
import pytest
import torch
from torch import nn

from pckd_mm.utils.checkpoint import (
    export_student,
    load_exactly,
    model_state_dict,
    read_checkpoint,
)


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="no checkpoint .*none.pth"):
        read_checkpoint(str(tmp_path / "none.pth"))


def test_file_without_a_dict(tmp_path):
    path = tmp_path / "list.pth"
    torch.save([torch.zeros(2)], path)
    with pytest.raises(ValueError, match="holds a list"):
        read_checkpoint(str(path))


def test_student_is_taken_of_a_distillation():
    state = {
        "architecture.fc.weight": torch.ones(1),
        "distiller.connectors.align.weight": torch.ones(2),
    }
    assert model_state_dict({"state_dict": state}) == {"fc.weight": torch.ones(1)}


def test_load_exactly_names_what_is_not_a_tensor():
    layer = nn.Linear(2, 3)
    with pytest.raises(ValueError, match=r"weight is str instead of \(3, 2\)"):
        load_exactly(layer, {"weight": "w", "bias": torch.zeros(3)}, "file")
    with pytest.raises(ValueError, match=r"bias is ndarray instead of \(3,\)"):
        load_exactly(layer, {"weight": torch.zeros(3, 2), "bias": np.zeros(3)}, "file")


def test_long_lists_are_cut():
    layers = nn.Sequential(*[nn.Linear(1, 1) for _ in range(15)])
    with pytest.raises(ValueError, match="in 30 tensors.*and 10 more"):
        load_exactly(layers, {}, "file")


def test_export_refuses_a_plain_network(tmp_path):
    path = tmp_path / "plain.pth"
    torch.save({"state_dict": nn.Linear(1, 1).state_dict()}, path)
    with pytest.raises(ValueError, match="holds no student"):
        export_student(str(path), str(tmp_path / "out.pth"))
    assert not (tmp_path / "out.pth").exists()


def test_a_model_of_mmpretrains_zoo_has_an_address(monkeypatch):
    asked = []

    def load(name, **kwargs):
        asked.append(name)
        return {}

    monkeypatch.setattr(
        "pckd_mm.utils.checkpoint.CheckpointLoader.load_checkpoint", load
    )
    read_checkpoint("resnet34_8xb32_in1k")
    read_checkpoint("https://example.org/weights.pth")
    read_checkpoint("torchvision://resnet18")
    assert asked[0].startswith("https://") and "resnet34" in asked[0]
    assert asked[1:] == ["https://example.org/weights.pth", "torchvision://resnet18"]
