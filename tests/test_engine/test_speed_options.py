"""What the options of the command line make of a config."""

import pytest
import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper

from pckd_mm.engine.speed_options import (
    use_mixed_precision,
    use_speed_options,
    use_speed_up,
)
from pckd_mm.registry import HOOKS
from pckd_mm.utils.speed_arguments import SpeedArguments


def config(scope: str = "mmpretrain") -> Config:
    return Config(
        dict(default_scope=scope, optim_wrapper=dict(type="OptimWrapper", optimizer={}))
    )


@pytest.mark.parametrize(
    "capability, scope, expected",
    [
        (None, "mmpretrain", "pckd_mm.BFloat16OptimWrapper"),
        ((9, 0), "mmpretrain", "pckd_mm.BFloat16OptimWrapper"),
        ((8, 0), "mmpretrain", "pckd_mm.BFloat16OptimWrapper"),
        ((7, 5), "mmpretrain", "pckd_mm.SkipStepAmpOptimWrapper"),
        ((9, 0), "mmdet", "pckd_mm.SkipStepAmpOptimWrapper"),
        (None, "mmdet", "pckd_mm.BFloat16OptimWrapper"),
    ],
)
def test_precision_follows_the_hardware(monkeypatch, capability, scope, expected):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: capability is not None)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: capability)
    cfg = config(scope)
    use_mixed_precision(cfg)
    assert cfg.optim_wrapper.type == expected
    scaled = expected == "pckd_mm.SkipStepAmpOptimWrapper"
    assert cfg.optim_wrapper.get("loss_scale") == ("dynamic" if scaled else None)


@pytest.mark.parametrize("gpu", [None, (9, 0), (7, 5)])
@pytest.mark.parametrize("wanted", ["auto", "force"])
def test_bfloat16_can_be_insisted_on(gpu, wanted, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu is not None)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: gpu)
    cfg = config()
    use_mixed_precision(cfg, wanted)
    insists = wanted == "force" and gpu != (7, 5)
    assert cfg.optim_wrapper.get("force", False) is insists
    model = torch.nn.Linear(2, 2)
    cfg.optim_wrapper.optimizer = dict(type="SGD", lr=0.1)
    if gpu != (7, 5):
        assert build_optim_wrapper(model, cfg.optim_wrapper).force is insists


def test_without_an_optimizer_there_is_no_precision():
    with pytest.raises(ValueError, match="--force-amp found no optim_wrapper"):
        use_mixed_precision(Config(dict(default_scope="mmpretrain")), "force")


def test_all_options_of_a_command_line():
    cfg = config()
    use_speed_options(cfg, SpeedArguments("force", True, "default", True))
    assert cfg.optim_wrapper.type == "pckd_mm.BFloat16OptimWrapper"
    hook = cfg.default_hooks.speed_up
    assert hook.fused_optimizer and hook.data_on_device
    assert hook.compile == dict(mode="default")
    cfg = config()
    use_speed_options(cfg, SpeedArguments())
    assert cfg.optim_wrapper.type == "OptimWrapper"


def test_settings_of_another_wrapper_go():
    cfg = config()
    cfg.optim_wrapper.update(type="AmpOptimWrapper", loss_scale=512.0, dtype="float16")
    use_mixed_precision(cfg)
    assert set(cfg.optim_wrapper) == {"type", "optimizer"}


def test_detectors_are_not_compiled():
    with pytest.raises(ValueError, match="--compile found a detector"):
        use_speed_up(config("mmdet"), fast=False, compile_mode="default")


def test_none_turns_the_hook_off():
    cfg = config()
    cfg.default_hooks = dict(speed_up=None, timer=dict(type="IterTimerHook"))
    use_speed_up(cfg, fast=False, compile_mode=None)
    assert cfg.default_hooks == dict(speed_up=None, timer=dict(type="IterTimerHook"))
    with pytest.raises(ValueError, match="asks for channels_last, fold_teacher, fused"):
        use_speed_up(cfg, fast=True, compile_mode=None)
    assert cfg.default_hooks.speed_up is None


def test_a_setting_alone_is_one_of_the_hook():
    cfg = config("mmdet")
    cfg.merge_from_dict({"default_hooks.speed_up.fold_teacher": True})
    use_speed_up(cfg, fast=False, compile_mode=None)
    assert HOOKS.build(cfg.default_hooks.speed_up).fold_teacher is True
    use_speed_up(cfg, fast=False, compile_mode=None, data_on_device=True)
    assert cfg.default_hooks.speed_up == dict(
        type="pckd_mm.SpeedUpHook", fold_teacher=True, data_on_device=True
    )


def test_speed_up_adds_to_what_the_config_has():
    cfg = config()
    use_speed_up(cfg, fast=False, compile_mode=None)
    assert cfg.default_hooks.speed_up == dict(type="pckd_mm.SpeedUpHook")
    use_speed_up(cfg, fast=True, compile_mode=None)
    use_speed_up(cfg, fast=False, compile_mode="reduce-overhead")
    use_speed_up(cfg, fast=False, compile_mode=None, data_on_device=True)
    assert cfg.default_hooks.speed_up == dict(
        type="pckd_mm.SpeedUpHook",
        channels_last="auto",
        fold_teacher=True,
        fused_optimizer=True,
        compile=dict(mode="reduce-overhead"),
        data_on_device=True,
    )
    cfg.default_hooks.speed_up = dict(type="Mine", keep_memory=False)
    use_speed_up(cfg, fast=True, compile_mode=None)
    assert cfg.default_hooks.speed_up.type == "Mine"
    assert not cfg.default_hooks.speed_up.keep_memory
