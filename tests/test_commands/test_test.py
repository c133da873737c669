"""What pckd test takes: configs and checkpoints of students and distillations."""

import argparse
import hashlib
import logging
import pickle
import zipfile

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope

from pckd_mm.commands import test
from pckd_mm.datasets import CheckedCIFAR100
from pckd_mm.registry import MODELS
from pckd_mm.utils.checkpoint import export_student
from tests.builders import CONFIGS, ROOT, SHARED
from tests.zoo import VIT

ALONE = "vanilla/digits_resnet8_thin.py"
PCKD, KD = (f"{method}/digits_resnet20_resnet8_thin.py" for method in ("pckd", "kd"))


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    """Of a distillation, as DDP would save it, and its student, alone or compiled."""
    folder = tmp_path_factory.mktemp("checkpoints")
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope("mmpretrain"):
        model = MODELS.build(Config.fromfile(CONFIGS / PCKD).model)
    model.student.init_weights()
    state = {f"module.{name}": value for name, value in model.state_dict().items()}
    whole, student = folder / "epoch_1.pth", folder / "student.pth"
    meta = dict(epoch=1)
    torch.save(dict(meta=meta, state_dict=model.state_dict()), whole)
    torch.save(dict(meta=meta, state_dict=state), folder / "of_ddp.pth")
    export_student(str(whole), str(student))
    compiled = {f"_orig_mod.{k}": v for k, v in model.student.state_dict().items()}
    average = {name: value + 1 for name, value in compiled.items()}
    torch.save(dict(model=compiled, state_dict_ema=average), folder / "elsewhere.pth")
    return folder


def run(tmp_path, config: str, checkpoint) -> dict:
    cfg = Config.fromfile(CONFIGS / config)
    cfg.test_dataloader.dataset.dataset.indices = 90
    cfg.work_dir, cfg.load_from = str(tmp_path), str(checkpoint)
    cfg.experiment_name = f"{config}{checkpoint}".replace("/", "_")
    return test.test(cfg)


def test_any_config_tests_the_student_of_any_checkpoint(checkpoints, tmp_path):
    found = {
        (config, name): run(tmp_path, config, checkpoints / f"{name}.pth")
        for config, name in [
            (ALONE, "student"),
            (ALONE, "epoch_1"),
            (ALONE, "elsewhere"),
            (PCKD, "epoch_1"),
            (PCKD, "of_ddp"),
            (PCKD, "student"),
            (KD, "student"),
            (KD, "epoch_1"),  # KD has no connectors, PCKD has
        ]
    }
    logs = "".join(path.read_text() for path in tmp_path.glob("*/*.log"))
    assert (
        "elsewhere.pth is loaded into the ImageClassifier: taken from model in the "
        "file (beside state_dict_ema); names without _orig_mod."
    ) in logs
    assert "student.pth is loaded into" not in logs
    first = found[ALONE, "student"]
    assert first["accuracy/top1"] > 0
    assert found == dict.fromkeys(found, first)


def test_settings_of_hooks_that_training_adds(checkpoints, tmp_path):
    """As a comparison of detectors hands them to the test of its teacher."""
    plain = run(tmp_path / "plain", ALONE, checkpoints / "student.pth")
    cfg = Config.fromfile(CONFIGS / ALONE)
    cfg.default_hooks.non_finite = dict(action="skip")
    cfg.default_hooks.broken_files = dict(most=0.3)
    cfg.test_dataloader.dataset.dataset.indices = 90
    cfg.work_dir, cfg.experiment_name = str(tmp_path), "settings_alone"
    cfg.load_from = str(checkpoints / "student.pth")
    assert test.test(cfg) == plain


@pytest.mark.parametrize("config", [ALONE, PCKD])
def test_a_checkpoint_that_fits_neither(tmp_path, config):
    """The teacher's: the tensors are named, and what to do."""
    teacher = tmp_path / "teacher.pth"
    with DefaultScope.overwrite_default_scope("mmpretrain"):
        model = MODELS.build(Config.fromfile(CONFIGS / PCKD).model.teacher)
    torch.save(dict(state_dict=model.state_dict()), teacher)
    expected = (
        r"The checkpoint \S*teacher\.pth does not fit the ImageClassifier in \d+ "
        r"tensors: .*backbone\..*: test it with the config that trained it\.$"
    )
    with pytest.raises(ValueError, match=r"^" + expected) as caught:
        run(tmp_path, config, teacher)
    assert "\n" not in str(caught.value)


def test_a_network_may_adapt_what_it_loads():
    """MMPretrain's ViT brings the embeddings of places to the size of its images."""
    head = dict(type="VisionTransformerClsHead", num_classes=3, in_channels=16)
    kind = dict(type="mmpretrain.ImageClassifier", head=head)
    small, large = (
        MODELS.build(dict(kind, backbone=dict(VIT, img_size=size))) for size in (32, 40)
    )
    runner = argparse.Namespace(
        model=large, _load_from="small.pth", logger=logging.getLogger("test")
    )
    content = dict(state_dict=small.state_dict())
    test.TakeStudentHook().after_load_checkpoint(runner, content)
    assert torch.equal(large.head.layers.head.weight, small.head.layers.head.weight)
    assert content["state_dict"]["backbone.pos_embed"].shape == (1, 26, 16)


@pytest.fixture(scope="module")
def cifar(tmp_path_factory):
    """Four real test images of each class of CIFAR-100, as folders and as pickles."""
    source = SHARED / "data" / "cifar100_png.zip"
    if not source.is_file():
        pytest.skip(f"the real images {source.name} are not here")
    folder, of_class = tmp_path_factory.mktemp("cifar100"), {}
    with zipfile.ZipFile(source) as archive:
        for name in sorted(archive.namelist()):
            if name.startswith("test/") and name.endswith(".png"):
                of_class.setdefault(name.split("/")[1], []).append(name)
        names = [name for each in of_class.values() for name in each[:4]]
        archive.extractall(folder, names)
    rows = []
    for name in names:
        rgb = cv2.imread(str(folder / name))[:, :, ::-1]
        rows.append(rgb.transpose(2, 0, 1).reshape(3072))
    labels = [label for label in range(100) for _ in range(4)]
    content = pickle.dumps(dict(data=np.stack(rows), fine_labels=labels))
    (folder / "cifar-100-python").mkdir()
    for split in ("train", "test"):
        (folder / "cifar-100-python" / split).write_bytes(content)
    return folder, hashlib.md5(content).hexdigest()


@pytest.mark.parametrize("kind", ["folders", "official files", "as of official files"])
def test_the_shipped_weights_name_real_images(kind, cifar, tmp_path, monkeypatch):
    """Channels, normalisation and labels are those that they were trained with."""
    folder, md5 = cifar
    cfg = Config.fromfile(CONFIGS / "vanilla" / "cifar100_resnet20_60e.py")
    loader = cfg.test_dataloader
    if kind != "folders":
        official = Config.fromfile(CONFIGS / "_base_" / "datasets" / "cifar100.py")
        cfg.data_preprocessor = official.data_preprocessor
        if kind == "official files":
            loader = official.test_dataloader
            for split in ("train", "test"):
                files = [[split, md5]]
                monkeypatch.setattr(CheckedCIFAR100, f"{split}_list", files)
        else:  # the steps that predict image files
            loader.dataset.dataset.pipeline = official.test_dataloader.dataset.pipeline
    loader.dataset.dataset.data_root = str(folder)
    cfg.test_dataloader = loader
    cfg.work_dir, cfg.experiment_name = str(tmp_path), f"real {kind}"
    cfg.load_from = str(ROOT / "zoo" / "cifar100_resnet20_60e.pth")
    # 66.83 % of all 10,000; of these 400 as many, but for a few by another rounding.
    assert test.test(cfg)["accuracy/top1"] == pytest.approx(66.75, abs=1)
