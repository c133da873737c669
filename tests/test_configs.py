"""Every run config builds, trains a step and predicts."""

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmpretrain.structures import DataSample

from pckd_mm.registry import MODELS
from pckd_mm.utils.checkpoint import load_exactly, model_state_dict, read_checkpoint
from tests.builders import CONFIGS, ROOT

RUNS = sorted(
    path.relative_to(CONFIGS).as_posix()
    for method in ("vanilla", "kd", "pckd")
    for path in (CONFIGS / method).glob("*.py")
)


def build(cfg: Config):
    """As the runner does."""
    torch.manual_seed(0)
    model = dict(cfg.model, data_preprocessor=cfg.data_preprocessor)
    if "teacher_ckpt" in model:
        model["teacher_ckpt"] = None
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        model = MODELS.build(model)
        model.init_weights()
    return model


@pytest.mark.parametrize("path", RUNS)
def test_config_trains_and_tests(path):
    cfg = Config.fromfile(CONFIGS / path)
    is_digits = "digits" in path
    classes = 9 if is_digits else 100
    shape = (1, 8, 8) if is_digits else (3, 32, 32)
    model = build(cfg)
    images = torch.randint(0, 256, (2, *shape), dtype=torch.uint8)
    samples = [DataSample().set_gt_label(label) for label in (0, classes - 1)]

    data = model.data_preprocessor(dict(inputs=images, data_samples=samples), True)
    assert len(data["inputs"]) == 2 * (4 if path.startswith("pckd") else 1)
    total, _ = model.parse_losses(model(**data, mode="loss"))
    total.backward()
    assert total.isfinite()
    assert all(parameter.grad is not None for parameter in model.parameters())

    model.eval()
    data = model.data_preprocessor(dict(inputs=images, data_samples=samples), False)
    with torch.no_grad():
        predictions = model(**data, mode="predict")
    assert [len(p.pred_score) for p in predictions] == [classes] * 2


@pytest.mark.parametrize("path", [path for path in RUNS if path.count("_") > 1])
def test_teacher_of_a_distillation_is_a_run_of_ours(path):
    cfg = Config.fromfile(CONFIGS / path)
    if path.startswith("vanilla"):
        return
    teacher = Config.fromfile(CONFIGS.parent / cfg.model.teacher_config)
    assert teacher.model == cfg.model.teacher
    if cfg.model.teacher_ckpt.startswith("zoo/"):
        state = model_state_dict(read_checkpoint(str(ROOT / cfg.model.teacher_ckpt)))
        load_exactly(build(teacher), state, cfg.model.teacher_ckpt)
        return
    name = cfg.model.teacher_config.removeprefix("configs/").removesuffix(".py")
    epochs = teacher.train_cfg.max_epochs
    assert cfg.model.teacher_ckpt == f"work_dirs/{name}/epoch_{epochs}.pth"


def test_pckd_states_the_method():
    cfg = Config.fromfile(CONFIGS / "pckd/cifar100_wrn_40_2_wrn_16_2.py")
    losses = cfg.model.distiller.distill_losses
    weights = {name: loss.loss_weight for name, loss in losses.items()}
    assert weights == dict(loss_kd=1.0, loss_cc=0.05, loss_ca=1.0, loss_fa=20.0)
    assert (losses.loss_kd.tau, losses.loss_cc.tau, losses.loss_cc.base_tau) == (
        4.0,
        4.0,
        0.07,
    )
    optimizer = cfg.optim_wrapper.optimizer
    assert (optimizer.lr, optimizer.momentum, optimizer.weight_decay) == (
        0.05,
        0.9,
        5e-4,
    )
    assert cfg.param_scheduler.milestones == [150, 180, 210]
    assert cfg.train_cfg.max_epochs == 240
    assert cfg.train_dataloader.batch_size == 64
    mean, std = cfg.data_preprocessor["mean"], cfg.data_preprocessor["std"]
    assert [round(v / 255, 4) for v in mean] == [0.5071, 0.4866, 0.4409]
    assert [round(v / 255, 4) for v in std] == [0.2675, 0.2565, 0.2761]


def test_folders_and_official_files_differ_in_the_data_only():
    official, folder = (
        Config.fromfile(CONFIGS / "_base_/datasets" / name)
        for name in ("cifar100.py", "cifar100_folder.py")
    )
    assert official.train_dataloader.dataset.type == "CIFAR100"
    assert folder.train_dataloader.dataset.type == "CustomDataset"
    # Files decode to BGR, the official arrays are RGB.
    assert not official.data_preprocessor.to_rgb and folder.data_preprocessor.to_rgb
    for cfg in (official, folder):
        cfg.data_preprocessor.pop("to_rgb")
        for loader in ("train_dataloader", "val_dataloader", "test_dataloader"):
            cfg[loader].pop("dataset")
    assert official.to_dict() == folder.to_dict()
