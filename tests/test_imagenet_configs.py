"""The ImageNet runs: MMPretrain's networks and teacher, views of images of any size."""

import types
from pathlib import Path

import mmpretrain
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import default_collate
from mmengine.fileio import load
from mmengine.registry import DefaultScope
from torch.utils.data import DataLoader

from pckd_mm.engine import NumViewsHook
from pckd_mm.engine.dry_run import dry_run
from pckd_mm.registry import DATASETS, MODELS
from tests.builders import CONFIGS, image_folder

# What MMPretrain installs beside its code.
THEIRS = Path(mmpretrain.__file__).parent / ".mim" / "configs" / "resnet"
NAME = "imagenet_resnet34_resnet18.py"


@pytest.fixture(params=["pckd", "kd"])
def cfg(request):
    return Config.fromfile(CONFIGS / request.param / NAME)


@pytest.mark.parametrize("depth", [18, 34])
def test_networks_and_schedule_are_those_of_mmpretrain(depth):
    cfg = Config.fromfile(CONFIGS / "vanilla" / f"imagenet_resnet{depth}.py")
    theirs = Config.fromfile(THEIRS / f"resnet{depth}_8xb32_in1k.py")
    with DefaultScope.overwrite_default_scope("mmpretrain"):
        ours, expected = MODELS.build(cfg.model), MODELS.build(theirs.model)
    assert repr(ours.backbone) == repr(expected.backbone)
    assert repr(ours.neck) == repr(expected.neck)
    assert repr(ours.head) == repr(expected.head)
    shapes, expected_shapes = (
        {name: value.shape for name, value in model.state_dict().items()}
        for model in (ours, expected)
    )
    assert shapes == expected_shapes
    assert (
        sum(p.numel() for p in ours.parameters()) == {18: 11689512, 34: 21797672}[depth]
    )
    assert dict(cfg.optim_wrapper.optimizer) == dict(theirs.optim_wrapper.optimizer)
    assert cfg.param_scheduler == theirs.param_scheduler
    assert cfg.train_cfg == theirs.train_cfg
    assert cfg.auto_scale_lr == theirs.auto_scale_lr
    assert cfg.train_dataloader.batch_size == theirs.train_dataloader.batch_size
    for name in ("mean", "std", "to_rgb"):
        assert cfg.data_preprocessor[name] == theirs.data_preprocessor[name]
    dataset = dict(theirs.val_dataloader.dataset, type="pckd_mm.CheckedImageNet")
    assert cfg.val_dataloader.dataset == dataset
    assert cfg.test_dataloader.dataset == dataset


def test_methods_keep_their_weights_and_views():
    pckd, kd = (Config.fromfile(CONFIGS / m / NAME) for m in ("pckd", "kd"))
    for cfg, views in ((pckd, 4), (kd, 1)):
        assert cfg.model.num_views == views
        # The loader's crops follow, by NumViewsHook.
        assert "num_views" not in cfg.train_dataloader.dataset.pipeline[1]
        assert cfg.default_hooks.num_views.type == "pckd_mm.NumViewsHook"
    assert kd.model.architecture.head.loss.loss_weight == 0.1
    assert pckd.model.distiller.distill_losses.loss_ca.loss_weight == 1.0
    assert kd.model.teacher == pckd.model.teacher
    teacher = Config.fromfile(CONFIGS / "vanilla" / "imagenet_resnet34.py").model
    assert kd.model.teacher == teacher
    zoo = {model["Name"]: model for model in load(THEIRS / "metafile.yml")["Models"]}
    address = zoo["resnet34_8xb32_in1k"]["Weights"]  # the maintained line moved them
    assert kd.model.teacher_ckpt.split("/")[-4:] == address.split("/")[-4:]
    assert pckd.model.teacher_ckpt == kd.model.teacher_ckpt


def small(cfg, images):
    """On three classes of small images, as a dataset and a model."""
    cfg.train_dataloader.dataset.pipeline[1].scale = 32
    for model in (cfg.model.architecture, cfg.model.teacher):
        model.head.num_classes = 3
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        dataset = DATASETS.build(
            dict(
                type="CustomDataset",
                data_root=str(image_folder(images, size=40)),
                data_prefix="train",
                pipeline=cfg.train_dataloader.dataset.pipeline,
            )
        )
        torch.manual_seed(0)
        settings = dict(data_preprocessor=cfg.data_preprocessor)
        return dataset, MODELS.build(dict(cfg.model, **settings))


def test_teacher_is_read_from_the_zoos_file(tmp_path, monkeypatch):
    """A file in the place where a download goes, since tests have no network."""
    cfg = Config.fromfile(CONFIGS / "kd" / NAME)
    address = cfg.model.teacher_ckpt
    with DefaultScope.overwrite_default_scope("mmpretrain"):
        zoo = MODELS.build(cfg.model.teacher)
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    torch.save(
        {"meta": {"CLASSES": ["tench"]}, "state_dict": zoo.state_dict()},
        folder / address.rsplit("/", 1)[1],
    )
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    model = dict(cfg.model, data_preprocessor=cfg.data_preprocessor)
    with DefaultScope.overwrite_default_scope("mmpretrain"):
        model = MODELS.build(model)
    model.load_teacher()
    for name, value in model.teacher.state_dict().items():
        assert torch.equal(value, zoo.state_dict()[name]), name


def follow(dataset, model):
    """What the hook does before training, through two wrappers."""
    wrapped = types.SimpleNamespace(
        datasets=[types.SimpleNamespace(dataset=dataset), []]
    )
    loader = types.SimpleNamespace(dataset=wrapped)
    NumViewsHook().before_train(
        types.SimpleNamespace(model=model, train_dataloader=loader)
    )


def test_trains_on_crops_of_the_loader(tmp_path, cfg):
    cfg.model.teacher_ckpt = None
    views = cfg.model.num_views
    dataset, model = small(cfg, tmp_path)
    follow(dataset, model)
    model.init_weights()
    np.random.seed(0)
    batch = default_collate([dataset[0], dataset[1], dataset[9], dataset[20]])
    assert batch["inputs"].shape == (4, views, 3, 32, 32)
    data = model.data_preprocessor(batch, True)
    assert data["inputs"].shape == (4 * views, 3, 32, 32)
    total, losses = model.train().parse_losses(model(**data, mode="loss"))
    total.backward()
    assert total.isfinite()
    expected = (
        {"loss_kd"} if views == 1 else {"loss_kd", "loss_cc", "loss_ca", "loss_fa"}
    )
    assert {n.split(".")[1] for n in losses if n.startswith("distill")} == expected
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_other_views_in_model_and_loader_end_before_training(tmp_path, cfg):
    cfg.model.teacher_ckpt = None
    found = cfg.model.num_views
    cfg.model.num_views = 2
    cfg.train_dataloader.dataset.pipeline[1].num_views = found  # said, so it stays
    dataset, model = small(cfg, tmp_path)
    follow(dataset, model)
    loader = DataLoader(dataset, collate_fn=default_collate)
    with pytest.raises(ValueError, match=f"image is {found}, for num_views=2; exp"):
        dry_run(model, loader)
