"""What is refused of a config before its runs are trained."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner

from pckd_mm.experiments import ExperimentError, Run, Settings
from pckd_mm.experiments.trainable import (
    require_last_epoch,
    require_skipping,
    require_speed,
)
from pckd_mm.utils.config import load_config
from pckd_mm.utils.speed_arguments import SpeedArguments
from tests.builders import ROOT, Point


def config(**more):
    epochs = dict(max_epochs=3, val_begin=3)
    return Config(dict(train_cfg=epochs, optim_wrapper=dict(optimizer={}), **more))


def test_the_last_epoch_is_reached_and_validated():
    hooks = dict(timer=None, non_finite=dict(action="skip"))  # as training adds it
    require_last_epoch("c.py", config(default_hooks=hooks))
    late = config()
    late.train_cfg.val_begin = 4
    with pytest.raises(ExperimentError, match="c.py has train_cfg.val_begin 4 and max"):
        require_last_epoch("c.py", late)
    with pytest.raises(ExperimentError, match="c.py has the EarlyStoppingHook"):
        require_last_epoch(
            "c.py", config(custom_hooks=[dict(type="EarlyStoppingHook")])
        )


@pytest.mark.parametrize(
    "checkpoint, keeps",
    [
        ({}, True),  # the last epoch, whatever the interval
        (dict(interval=3, save_last=False), True),
        (dict(interval=2, save_begin=1, save_last=False), True),
        (dict(interval=2, save_last=False), False),
        (dict(interval=1, save_begin=4, save_last=False), False),
        (dict(type="CheckpointHook", by_epoch=False, interval=100), False),
        (dict(filename_tmpl="mine_{}.pth"), False),
        (dict(filename_tmpl="epoch_{}.pth"), True),
        (dict(out_dir="elsewhere"), False),
        (None, False),
    ],
)
def test_a_teacher_leaves_its_last_checkpoint(checkpoint, keeps, tmp_path):
    """As MMEngine does in three epochs."""
    cfg = config(default_hooks=dict(checkpoint=checkpoint))
    require_last_epoch("c.py", cfg)
    if keeps:
        require_last_epoch("c.py", cfg, teaches=True)
    else:
        with pytest.raises(ExperimentError, match="no epoch_3.pth in the folder of th"):
            require_last_epoch("c.py", cfg, teaches=True)
        # Where another hook keeps it, that will do.
        cfg.custom_hooks = [dict(type="mmengine.CheckpointHook")]
        require_last_epoch("c.py", cfg, teaches=True)
    hook = None
    if checkpoint is not None:
        hook = {"type": "CheckpointHook", **checkpoint}
    if hook and "out_dir" in hook:
        hook["out_dir"] = str(tmp_path / hook["out_dir"])
    Runner(
        Point(),
        str(tmp_path / "run"),
        train_dataloader=dict(
            dataset=[{"inputs": torch.zeros(1)}],
            batch_size=1,
            sampler=dict(type="DefaultSampler", shuffle=False),
        ),
        train_cfg=dict(by_epoch=True, max_epochs=3),
        optim_wrapper=dict(optimizer=dict(type="SGD", lr=0.1)),
        default_hooks=dict(checkpoint=hook),
        experiment_name=str(tmp_path),
    ).train()
    assert (tmp_path / "run" / "epoch_3.pth").is_file() == keeps


@pytest.mark.parametrize(
    "more, speed, message",
    [
        (dict(default_scope="mmdet"), dict(compile="default"), "found a detector"),
        (dict(default_hooks=dict(speed_up=None)), dict(fast=True), "asks for channels"),
    ],
)
def test_speed_options_that_a_network_cannot_have(more, speed, message):
    cfg = config(**more)
    before = cfg.pretty_text
    require_speed("c.py", cfg, SpeedArguments())
    require_speed("c.py", cfg, SpeedArguments(amp="auto"))
    with pytest.raises(ExperimentError, match=f"c.py: .*{message}"):
        require_speed("c.py", cfg, SpeedArguments(**speed))
    assert cfg.pretty_text == before


def test_a_run_is_refused_when_it_is_made(tmp_path):
    detector = str(ROOT / "configs" / "kd" / "voc_frcnn_r101_r50.py")
    settings = Settings(ROOT, speed=SpeedArguments(compile="default"))
    with pytest.raises(ExperimentError, match="voc_frcnn.*found a detector"):
        Run("KD", detector, 0, Path(tmp_path), settings)


def test_images_of_which_none_can_be_skipped(tmp_path):
    digits = str(ROOT / "configs" / "vanilla" / "digits_resnet8_thin.py")
    cfg = load_config(digits)
    before = cfg.pretty_text
    with pytest.raises(ExperimentError, match="d.py: --skip-broken found the data set"):
        require_skipping("d.py", cfg)
    assert cfg.pretty_text == before
    with pytest.raises(ExperimentError, match="digits_res.*: --skip-broken found the"):
        Run("alone", digits, 0, tmp_path, Settings(ROOT, skip_broken=True))
    photos = load_config(str(ROOT / "configs" / "vanilla" / "cifar100_resnet8_30e.py"))
    require_skipping("c.py", photos)
