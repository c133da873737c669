"""ExportStudentHook: the student alone beside each checkpoint."""

import os

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from mmpretrain.apis import get_model

from pckd_mm.compat import weights_only_loading
from tests.builders import image_folder, run_config

PCKD = "pckd/cifar100_resnet20_resnet8_30e.py"


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return image_folder(tmp_path_factory.mktemp("images"))


def train(images, work_dir, **changes):
    cfg = run_config(PCKD, images, work_dir)
    cfg.model.teacher_ckpt = None
    cfg.merge_from_dict(changes)
    runner = Runner.from_cfg(cfg)
    runner.train()
    return runner


def files(work_dir):
    return sorted(path.name for path in work_dir.glob("*.pth"))


def test_a_student_beside_each_checkpoint_and_gone_with_it(images, tmp_path):
    runner = train(images, tmp_path)
    # The runner keeps the last two.
    assert files(tmp_path) == [
        "epoch_2.pth",
        "epoch_2_student.pth",
        "epoch_3.pth",
        "epoch_3_student.pth",
    ]
    # Plain torch reads it, with nothing allowed.
    student = torch.load(tmp_path / "epoch_3_student.pth", weights_only=True)
    assert set(student) == {"meta", "state_dict"}
    expected = runner.model.student.state_dict()
    assert student["state_dict"].keys() == expected.keys()
    for name, value in expected.items():
        assert torch.equal(student["state_dict"][name], value), name


def test_students_of_others_stay(images, tmp_path):
    kept = tmp_path / "favourite_student.pth"
    kept.write_bytes(b"mine")
    train(images, tmp_path)
    assert kept.read_bytes() == b"mine"


def test_what_a_killed_run_did_not_come_to_is_done_when_it_is_resumed(images, tmp_path):
    train(images, tmp_path)
    before = files(tmp_path)
    expected = torch.load(tmp_path / "epoch_3_student.pth", weights_only=True)
    # Of what was there before the checkpoint; of the checkpoint that has gone.
    (tmp_path / "epoch_3_student.pth").write_bytes(b"stale")
    os.utime(tmp_path / "epoch_3_student.pth", (1, 1))
    (tmp_path / "epoch_1_student.pth").write_bytes(b"outdated")
    cfg = run_config(PCKD, images, tmp_path)
    cfg.model.teacher_ckpt = None
    cfg.experiment_name += "resumed"
    cfg.resume, cfg.load_from = True, str(tmp_path / "epoch_3.pth")
    with weights_only_loading():
        Runner.from_cfg(cfg).train()
    assert files(tmp_path) == before
    found = torch.load(tmp_path / "epoch_3_student.pth", weights_only=True)
    for name, value in expected["state_dict"].items():
        assert torch.equal(found["state_dict"][name], value), name


def test_students_of_another_folder_go_with_their_checkpoints(images, tmp_path):
    changes = {
        "default_hooks.checkpoint.out_dir": str(tmp_path / "out"),
        "default_hooks.checkpoint.max_keep_ckpts": 2,
    }
    runner = train(images, tmp_path / "run", **changes)
    (folder,) = (tmp_path / "out").iterdir()
    cfg = run_config(PCKD, images, tmp_path / "run")
    cfg.model.teacher_ckpt = None
    cfg.merge_from_dict(changes)
    cfg.experiment_name = runner.experiment_name + "resumed"
    cfg.train_cfg.max_epochs = 5
    cfg.resume, cfg.load_from = True, str(folder / "epoch_3.pth")
    with weights_only_loading():
        Runner.from_cfg(cfg).train()
    kept = [
        f"epoch_{epoch}{which}.pth" for epoch in (4, 5) for which in ("", "_student")
    ]
    assert files(folder) == kept


def test_plain_mmpretrain_gives_the_same_accuracy(images, tmp_path):
    runner = train(images, tmp_path)
    accuracy = runner.val_loop.run()["accuracy/top1"]
    cfg = run_config("vanilla/cifar100_resnet8_30e.py", images, tmp_path / "test")
    cfg.load_from = str(tmp_path / "epoch_3_student.pth")
    assert Runner.from_cfg(cfg).test()["accuracy/top1"] == accuracy


def test_plain_mmpretrain_loads_it(images, tmp_path):
    runner = train(images, tmp_path)
    cfg = run_config("vanilla/cifar100_resnet8_30e.py", images, tmp_path / "x")
    path = tmp_path / "model.py"
    cfg.dump(path)
    with DefaultScope.overwrite_default_scope("mmpretrain"), weights_only_loading():
        model = get_model(
            Config.fromfile(path), pretrained=str(tmp_path / "epoch_3_student.pth")
        )
    inputs = torch.randn(4, 3, 16, 16)
    runner.model.eval()
    with torch.no_grad():
        found = model.eval()(inputs, mode="tensor")
        torch.testing.assert_close(found, runner.model.student(inputs, mode="tensor"))


def test_best_checkpoint_and_its_student(images, tmp_path):
    train(images, tmp_path, **{"default_hooks.checkpoint.save_best": "auto"})
    best = [name for name in files(tmp_path) if name.startswith("best_")]
    assert len(best) == 2 and best[1] == best[0].replace(".pth", "_student.pth")


def test_with_ema_the_averaged_weights_are_exported(images, tmp_path):
    hooks = [dict(type="EMAHook", momentum=0.5), dict(type="pckd_mm.ExportStudentHook")]
    cfg = run_config(PCKD, images, tmp_path)
    cfg.model.teacher_ckpt = None
    cfg.custom_hooks = hooks
    runner = Runner.from_cfg(cfg)
    runner.train()
    ema = next(hook for hook in runner.hooks if type(hook).__name__ == "EMAHook")
    averaged = ema.ema_model.module.student.state_dict()
    assert not [name for name in ema.ema_model.state_dict() if "teacher" in name]
    student = torch.load(tmp_path / "epoch_3_student.pth", weights_only=True)
    for name, value in averaged.items():
        assert torch.equal(student["state_dict"][name], value), name
    plain = runner.model.student.state_dict()
    weight = "backbone.conv1.weight"
    assert not torch.equal(student["state_dict"][weight], plain[weight])


def test_teacher_and_its_size_are_not_in_the_checkpoint(images, tmp_path):
    train(images, tmp_path)
    with weights_only_loading():
        checkpoint = torch.load(tmp_path / "epoch_3.pth")
    assert not [name for name in checkpoint["state_dict"] if "teacher" in name]
    optimised = sum(
        len(group["params"]) for group in checkpoint["optimizer"]["param_groups"]
    )
    trained = [n for n in checkpoint["state_dict"] if n.endswith(("weight", "bias"))]
    assert optimised == len(trained)


@pytest.mark.parametrize("library", ["torchvision", "timm"])
def test_a_student_of_another_library_says_how_it_loads(
    library, images, tmp_path, capsys
):
    import torchvision

    cfg = run_config(PCKD, images, tmp_path)
    cfg.model.teacher_ckpt = None
    if library == "timm":
        timm = pytest.importorskip("timm", reason="the extra zoo")
        student = dict(type="TimmClassifier", model_name="resnet10t", num_classes=3)
        network = timm.create_model("resnet10t", num_classes=3)
        expected = "load_state_dict of timm.create_model('resnet10t') of the same argum"
    else:
        student = dict(
            type="pckd_mm.PlainClassifier",
            model="torchvision.models.resnet18",
            num_classes=3,
        )
        network = torchvision.models.resnet18(num_classes=3)
        expected = "load_state_dict of torchvision's ResNet takes the state_dict of thi"
    cfg.model.architecture = student
    cfg.train_cfg.max_epochs = 1
    Runner.from_cfg(cfg).train()
    path = tmp_path / "epoch_1_student.pth"
    content = torch.load(path, weights_only=True)
    assert content["meta"]["how_the_student_loads"].startswith(expected)
    network.load_state_dict(content["state_dict"])  # what it says
    log = next(tmp_path.glob("2*/*.log")).read_text()
    assert f"{path}: {expected}" in log
