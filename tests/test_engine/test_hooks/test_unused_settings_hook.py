"""UnusedSettingsHook: what a run's config says to no effect is in the log file."""

import glob

import pytest
from mmengine.config import Config
from mmengine.registry import MODELS
from mmengine.runner import Runner

from pckd_mm.engine.guards import use_guards
from pckd_mm.engine.hooks.unused_settings_hook import misspelt
from pckd_mm.models.algorithms.settings import NAMED
from tests.builders import CONFIGS, Point


def log_of(tmp_path, **settings) -> str:
    MODELS.register_module(module=Point, force=True)
    cfg = Config(
        dict(
            model=dict(type="Point"),
            work_dir=str(tmp_path),
            experiment_name=f"unused_{tmp_path.name}",
            **settings,
        )
    )
    use_guards(cfg)
    runner = Runner.from_cfg(cfg)
    runner.call_hook("before_run")
    (path,) = glob.glob(f"{tmp_path}/*/*.log")
    with open(path) as file:
        lines = file.read().splitlines()
    return "\n".join(line for line in lines if "WARNING" in line)


@pytest.mark.parametrize("name", NAMED[""])
def test_what_belongs_to_mmcv_1_is_named(tmp_path, name):
    expected = f"Nothing reads {name} by that name: {NAMED[''][name]}. As a variable"
    assert expected in log_of(tmp_path, **{name: dict(type="x")})


def test_of_a_variable_that_the_config_uses_nothing_false_is_said(tmp_path):
    log = log_of(tmp_path, seed=3, randomness=dict(seed=3))
    assert "Not used" not in log
    assert "it may stay" in log


def test_what_is_misspelt_is_named(tmp_path):
    log = log_of(tmp_path, load_form="a.pth", custom_hook=[], pair=dict(a=1))
    assert "has load_form, which nothing reads; did you mean load_from?" in log
    assert "has custom_hook, which nothing reads; did you mean custom_hooks?" in log
    assert "pair" not in log


@pytest.mark.parametrize(
    "path",
    [
        "pckd/digits_resnet20_resnet8_thin.py",
        "pckd/voc_frcnn_r101_r50.py",
        "pckd/imagenet_resnet34_resnet18.py",
        "vanilla/voc_frcnn_r50.py",
        "vanilla/cifar100_resnet20.py",
    ],
)
def test_nothing_of_the_shipped_configs(path):
    cfg = Config.fromfile(CONFIGS / path)
    assert misspelt(cfg) == []
    assert not cfg.keys() & NAMED[""].keys()
