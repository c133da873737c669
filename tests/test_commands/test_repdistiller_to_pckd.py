"""Checkpoints of the CRD benchmark, converted: outputs, layouts, refusals."""

import argparse
import errno
import json
import os
import re

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope

from pckd_mm.commands import main
from pckd_mm.registry import MODELS
from pckd_mm.utils.checkpoint import load_exactly, model_state_dict, read_checkpoint
from pckd_mm.utils.conversion import published_state_dict
from pckd_mm.utils.repdistiller import convert_state_dict
from tests.builders import CONFIGS, SHARED
from tests.reference import assert_golden_outputs, golden_tensor

COMMAND = ["convert", "repdistiller_to_pckd"]
GOLDEN = SHARED / "golden" / "crd_networks.json"
# The benchmark's spelling.
NETWORKS = [
    *("resnet8", "resnet14", "resnet20", "resnet32", "resnet44", "resnet56"),
    *("resnet110", "resnet8x4", "resnet32x4", "ResNet50"),
    *("wrn_16_1", "wrn_16_2", "wrn_40_1", "wrn_40_2"),
    *("vgg8", "vgg11", "vgg13", "vgg16", "vgg19"),
    *("MobileNetV2", "ShuffleV1", "ShuffleV2"),
]


@pytest.fixture(scope="module")
def golden_values():
    if not GOLDEN.is_file():
        pytest.skip(f"no golden values at {GOLDEN}")
    return json.loads(GOLDEN.read_text())


def config(arch):
    return Config.fromfile(CONFIGS / "_base_/networks/cifar100.py")[arch]


def build(arch):
    with DefaultScope.overwrite_default_scope("mmpretrain"):
        return MODELS.build(config(arch))


@pytest.fixture(scope="module")
def resnet8():
    """Tensors of a ResNet-8 under their published names."""
    torch.manual_seed(0)
    return {
        name.removeprefix("backbone.").removeprefix("head."): torch.randn_like(tensor)
        if tensor.is_floating_point()
        else tensor + 7
        for name, tensor in build("resnet8").state_dict().items()
    }


def convert(content, folder, arch="resnet8", out="out.pth"):
    """Write a checkpoint, convert it and read the result."""
    torch.save(content, folder / "published.pth")
    args = [str(folder / "published.pth"), str(folder / out), "--arch", arch]
    main([*COMMAND, *args])
    return read_checkpoint(str(folder / out))


def refusal(content, folder, capsys, arch="resnet8"):
    """The message for a checkpoint that is refused; nothing is written."""
    with pytest.raises(SystemExit) as stop:
        convert(content, folder, arch)
    assert stop.value.code == 1
    assert [path.name for path in folder.iterdir()] == ["published.pth"]
    message = capsys.readouterr().err
    assert message.count("\n") == 1
    return message


@pytest.mark.parametrize("arch", NETWORKS)
def test_golden_outputs(arch, golden_values, tmp_path):
    golden = golden_values[arch]
    state = {
        name: golden_tensor(name, shape) for name, shape in golden["tensors"].items()
    }
    if golden["parameters"] < 2e6:
        converted = model_state_dict(convert({"model": state}, tmp_path, arch))
    else:  # without two files of up to 190 MB
        network = config(arch.lower())
        state = published_state_dict({"model": state}, "state").tensors
        converted = convert_state_dict(state, arch, network, "state")
    # Doubled before it is filled, or the values would be rounded to float32.
    classifier = build(arch.lower()).double()
    load_exactly(classifier, converted, arch)
    assert_golden_outputs(classifier, golden)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: {"epoch": 240, "model": state, "best_acc": torch.tensor(60.0)},
        lambda state: {"state_dict": state},
        lambda state: {"model": {f"module.{k}": v for k, v in state.items()}},
        lambda state: {f"module.{k}": v for k, v in state.items()},
        lambda state: state,
    ],
)
def test_layouts(wrap, resnet8, tmp_path):
    converted = convert(wrap(resnet8), tmp_path)
    found = converted["state_dict"]
    assert len(found) == len(resnet8)
    for name, tensor in resnet8.items():
        prefix = "head." if name.startswith("fc.") else "backbone."
        assert torch.equal(found[prefix + name], tensor)
    assert converted["meta"]["arch"] == "resnet8"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out.pth", "published.pth"]


def test_what_was_taken_of_several_is_said(resnet8, tmp_path, capsys):
    average = {name: value + 1 for name, value in resnet8.items()}
    wrapped = {f"module.{name}": value for name, value in resnet8.items()}
    found = convert({"state_dict_ema": average, "state_dict": wrapped}, tmp_path)
    assert torch.equal(found["state_dict"]["head.fc.bias"], resnet8["fc.bias"])
    assert (
        capsys.readouterr()
        .out.strip()
        .endswith(
            "cifar100_resnet8.py; taken from state_dict in the file (beside "
            "state_dict_ema); names without module"
        )
    )


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64])
def test_number_types_stay(dtype, resnet8, tmp_path):
    state = {k: v.to(dtype) if v.dim() else v for k, v in resnet8.items()}
    found = convert(state, tmp_path)["state_dict"]
    assert found["head.fc.weight"].dtype == dtype
    assert torch.equal(found["head.fc.weight"], state["fc.weight"])
    assert found["backbone.bn1.num_batches_tracked"].dtype == torch.long


def test_the_file_holds_no_more_than_the_tensors(resnet8, tmp_path):
    storage = torch.randn(1_000_000)
    convert({**resnet8, "fc.bias": storage[:100]}, tmp_path)
    assert (tmp_path / "out.pth").stat().st_size < 1_000_000


def test_counters_may_lack_all_together(resnet8, tmp_path, capsys):
    none = {k: v for k, v in resnet8.items() if "num_batches" not in k}
    found = convert(none, tmp_path)["state_dict"]
    assert found["backbone.layer1.0.bn2.num_batches_tracked"].item() == 0
    assert len(found) == len(resnet8)
    (tmp_path / "out.pth").unlink()

    some = dict(resnet8)
    del some["layer1.0.bn2.num_batches_tracked"]
    message = refusal(some, tmp_path, capsys)
    assert "in 1 tensors: layer1.0.bn2.num_batches_tracked is missing" in message


def test_damaged_checkpoints_are_refused_by_name(resnet8, tmp_path, capsys):
    missing = dict(resnet8)
    del missing["layer2.0.downsample.0.weight"], missing["fc.bias"]
    message = refusal(missing, tmp_path, capsys)
    assert (
        "in 2 tensors: fc.bias is missing; layer2.0.downsample.0.weight is missing;"
        in message
    )

    renamed = dict(resnet8)
    renamed["linear.weight"] = renamed.pop("fc.weight")
    message = refusal(renamed, tmp_path, capsys)
    assert (
        "in 2 tensors: fc.weight is missing; linear.weight is unknown; expected"
        in message
    )

    for name in ("extra.weight", "head.fc.weight", "backbone.conv1.weight"):
        message = refusal({**resnet8, name: torch.ones(1)}, tmp_path, capsys)
        assert f"in 1 tensors: {name} is unknown; expected" in message

    message = refusal({**resnet8, "fc.bias": torch.ones(10)}, tmp_path, capsys)
    assert "in 1 tensors: fc.bias is (10,) instead of (100,); expected" in message

    message = refusal({**resnet8, "fc.bias": [0.0] * 100}, tmp_path, capsys)
    assert "fc.bias is list instead of (100,)" in message

    # Taking the prefix away would leave two tensors of one name.
    message = refusal({**resnet8, "module.fc.bias": torch.ones(100)}, tmp_path, capsys)
    assert "in 1 tensors: module.fc.bias is unknown; expected" in message


def test_another_network_is_refused(resnet8, tmp_path, capsys):
    message = refusal({"model": resnet8}, tmp_path, capsys, "resnet20")
    assert "does not fit the resnet20 of the benchmark in 72 tensors" in message
    assert "layer1.1.bn1.bias is missing" in message and "more; expected" in message
    assert "--arch" in message
    message = refusal({"model": resnet8}, tmp_path, capsys, "wrn_16_1")
    assert "block1.layer.0.bn1.bias is missing" in message


class Intruder:
    """Asks for code to be run when it is read."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return open, (self.path, "w")


def test_no_code_of_the_file_runs(resnet8, tmp_path, capsys):
    mark = tmp_path / "mark"
    message = refusal({"model": resnet8, "opt": Intruder(mark)}, tmp_path, capsys)
    assert "is refused" in message and "io.open" in message
    # As RepDistiller's last checkpoint of a run has it.
    options = argparse.Namespace(model="resnet8")
    message = refusal({"model": resnet8, "opt": options}, tmp_path, capsys)
    assert "argparse.Namespace" in message


@pytest.mark.parametrize(
    "content", [{"epoch": 3}, {"model": {}}, {"model": "resnet8"}, {}]
)
def test_no_state_dict(content, tmp_path, capsys):
    assert "holds no state dict" in refusal(content, tmp_path, capsys)


def test_a_file_that_is_none(tmp_path, capsys):
    (tmp_path / "published.pth").write_text("<html>Not found</html>")
    args = [str(tmp_path / "published.pth"), str(tmp_path / "out.pth"), "--arch=vgg8"]
    with pytest.raises(SystemExit) as stop:
        main([*COMMAND, *args])
    assert stop.value.code == 1
    assert "cannot be read" in capsys.readouterr().err


@pytest.mark.parametrize(
    "checkpoint, out, arch, message",
    [
        ("none.pth", "out.pth", "vgg8", "no checkpoint .*none.pth; expected a file"),
        ("there.pth", "no/folder/out.pth", "resnet8", "no folder .*no/folder for out"),
        ("there.pth", "out.pth", "resnet21", "no network resnet21; .*resnet20, .*vgg8"),
    ],
)
def test_wrong_arguments(checkpoint, out, arch, message, tmp_path, capsys, resnet8):
    torch.save(resnet8, tmp_path / "there.pth")
    with pytest.raises(SystemExit) as stop:
        paths = [str(tmp_path / checkpoint), str(tmp_path / out)]
        main([*COMMAND, *paths, "--arch", arch])
    assert stop.value.code == 1
    error = capsys.readouterr().err
    assert re.search(message, error)
    assert [path.name for path in tmp_path.iterdir()] == ["there.pth"]


def test_a_failed_write_leaves_the_old_file(resnet8, tmp_path, monkeypatch, capsys):
    (tmp_path / "out.pth").write_text("old")

    def fill(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    torch.save(resnet8, tmp_path / "published.pth")
    monkeypatch.setattr(os, "fsync", fill)
    args = [str(tmp_path / "published.pth"), str(tmp_path / "out.pth")]
    with pytest.raises(SystemExit):
        main([*COMMAND, *args, "--arch=resnet8"])
    assert "No space left" in capsys.readouterr().err
    assert (tmp_path / "out.pth").read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 2
