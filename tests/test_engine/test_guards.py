"""What training adds to a config of MMEngine's own hooks."""

import pytest
from mmengine.config import Config
from mmengine.hooks import CheckpointHook

from pckd_mm.engine.guards import use_guards
from tests.builders import CONFIGS


@pytest.mark.parametrize(
    "checkpoint",
    [
        dict(type="CheckpointHook", interval=2),
        dict(type=CheckpointHook, interval=2),
        dict(interval=2),
    ],
)
def test_plain_hooks_are_replaced(checkpoint):
    cfg = Config(dict(default_hooks=dict(checkpoint=checkpoint)))
    use_guards(cfg)
    assert cfg.default_hooks.to_dict() == dict(
        checkpoint=dict(type="pckd_mm.WholeCheckpointHook", interval=2),
        non_finite=dict(type="pckd_mm.NonFiniteLossHook"),
        resume_check=dict(type="pckd_mm.ResumeCheckHook"),
        fit_checkpoint=dict(type="pckd_mm.FitCheckpointHook"),
        unused_settings=dict(type="pckd_mm.UnusedSettingsHook"),
        num_views=dict(type="pckd_mm.NumViewsHook"),
        norm_statistics=dict(type="pckd_mm.NormStatisticsHook"),
    )


def test_without_hooks():
    cfg = Config(dict())
    use_guards(cfg)
    assert cfg.default_hooks.checkpoint == dict(
        type="pckd_mm.WholeCheckpointHook", interval=1
    )
    assert cfg.default_hooks.non_finite.type == "pckd_mm.NonFiniteLossHook"


def test_settings_stay():
    hooks = dict(checkpoint=dict(type="MyHook"), non_finite=dict(action="skip"))
    cfg = Config(dict(default_hooks=hooks))
    use_guards(cfg)
    assert cfg.default_hooks.checkpoint.type == "MyHook"
    assert cfg.default_hooks.non_finite.action == "skip"

    nothing = dict(checkpoint=None, non_finite=None, resume_check=None)
    nothing.update(fit_checkpoint=None, unused_settings=None, num_views=None)
    nothing.update(norm_statistics=None)
    cfg = Config(dict(default_hooks=nothing))
    use_guards(cfg)
    assert cfg.default_hooks.to_dict() == nothing


@pytest.mark.parametrize(
    "path", ["vanilla/voc_frcnn_r18.py", "pckd/digits_resnet20_resnet8_thin.py"]
)
def test_every_config_ends_with_both(path):
    cfg = Config.fromfile(CONFIGS / path)
    use_guards(cfg)
    assert cfg.default_hooks.checkpoint.type == "pckd_mm.WholeCheckpointHook"
    assert cfg.default_hooks.checkpoint.interval == 1
    assert cfg.default_hooks.non_finite.type == "pckd_mm.NonFiniteLossHook"


@pytest.mark.parametrize("name", ["strategy", "runner_type"])
def test_flexible_runners_are_refused(name):
    with pytest.raises(ValueError, match=f"has {name}=.*FSDP.*: leave {name} out"):
        use_guards(Config({name: dict(type="FSDPStrategy")}))


def test_buffers_stay_those_of_each_process():
    """MMEngine says so of its own wrapper, and not of one that a config sets."""

    def wrapper(**given):
        cfg = Config(dict(model_wrapper_cfg=given))
        use_guards(cfg)
        return cfg.model_wrapper_cfg.to_dict()

    static = dict(broadcast_buffers=False, static_graph=True)
    assert wrapper(static_graph=True) == static
    assert wrapper(broadcast_buffers=True) == dict(broadcast_buffers=True)
    other = dict(type="MMFullyShardedDataParallel")
    assert wrapper(**other) == other
    cfg = Config(dict())
    use_guards(cfg)
    assert "model_wrapper_cfg" not in cfg
