"""What keeps a run from losing work, for configs of MMEngine's own parts."""

from typing import Any, Dict, Mapping

from mmengine.config import Config
from mmengine.hooks import CheckpointHook
from mmengine.model import MMDistributedDataParallel

__all__ = ["DEFAULT_HOOKS", "add_hook", "use_guards", "with_types"]

# Ways to ask for MMEngine's own.
_PLAIN = (None, "CheckpointHook", "mmengine.CheckpointHook", CheckpointHook)
_DDP = (None, "MMDistributedDataParallel", MMDistributedDataParallel)
# What every training has beside MMEngine's.
_ADDED = {
    "non_finite": "pckd_mm.NonFiniteLossHook",
    "resume_check": "pckd_mm.ResumeCheckHook",
    "fit_checkpoint": "pckd_mm.FitCheckpointHook",
    "unused_settings": "pckd_mm.UnusedSettingsHook",
    "num_views": "pckd_mm.NumViewsHook",
    "norm_statistics": "pckd_mm.NormStatisticsHook",
}
# What a name among ``default_hooks`` stands for that has settings and no type.
DEFAULT_HOOKS = {
    "runtime_info": "RuntimeInfoHook",
    "timer": "IterTimerHook",
    "sampler_seed": "DistSamplerSeedHook",
    "logger": "LoggerHook",
    "param_scheduler": "ParamSchedulerHook",
    "checkpoint": "pckd_mm.WholeCheckpointHook",
    **_ADDED,
    # By options of the command line.
    "speed_up": "pckd_mm.SpeedUpHook",
    "broken_files": "pckd_mm.BrokenFilesHook",
}


def use_guards(cfg: Config) -> None:
    """Write whole checkpoints, resume from what fits, stop where a loss is not finite.

    Configs of detectors name MMEngine's own hooks, so that plain mmdet tests them; for
    training they get :class:`pckd_mm.engine.WholeCheckpointHook`,
    :class:`pckd_mm.engine.ResumeCheckHook`, :class:`pckd_mm.engine.FitCheckpointHook`,
    :class:`pckd_mm.engine.UnusedSettingsHook`,
    :class:`pckd_mm.engine.NormStatisticsHook` and
    :class:`pckd_mm.engine.NonFiniteLossHook` here. Hooks that a config names or sets
    otherwise stay as they are.

    Args:
        cfg (Config): Config of a run, changed in place: its ``default_hooks``, and
            ``broadcast_buffers`` of its ``model_wrapper_cfg``.

    Raises:
        ValueError: For a strategy, which is FlexibleRunner's.
    """
    for name in ("strategy", "runner_type"):
        if cfg.get(name) is not None:
            raise ValueError(
                f"The config has {name}={cfg[name]}, which only MMEngine's "
                "FlexibleRunner takes, as for FSDP and DeepSpeed, which take networks "
                f"apart; expected a config for its Runner: leave {name} out."
            )
    hooks = dict(cfg.get("default_hooks") or {})
    checkpoint = hooks.get("checkpoint", dict(interval=1))  # MMEngine's default
    if isinstance(checkpoint, dict) and checkpoint.get("type") in _PLAIN:
        checkpoint = {**checkpoint, "type": "pckd_mm.WholeCheckpointHook"}
    added: Dict[str, Any] = {name: {} for name in _ADDED if name not in hooks}
    cfg.default_hooks = with_types({**hooks, "checkpoint": checkpoint, **added})
    wrapper = cfg.get("model_wrapper_cfg")
    if wrapper and wrapper.get("type") in _DDP:
        # As MMEngine's own: torch would overwrite memories with those of one process.
        cfg.model_wrapper_cfg = {"broadcast_buffers": False, **wrapper}


def with_types(hooks: Mapping[str, Any]) -> Dict[str, Any]:
    """Give settings without a type that of the hook which their name stands for.

    MMEngine puts them in the place of its own hook, and asks for the type.

    Args:
        hooks (Mapping): ``default_hooks`` of a config.

    Returns:
        dict: The hooks; those that :data:`DEFAULT_HOOKS` does not name stay as they
        are.
    """
    return {
        name: {"type": DEFAULT_HOOKS[name], **hook}
        if isinstance(hook, dict) and name in DEFAULT_HOOKS
        else hook
        for name, hook in hooks.items()
    }


def add_hook(cfg: Config, name: str) -> None:
    """Add a hook to a config, with the settings of it that are there without a type.

    Args:
        cfg (Config): Config of a run, changed in place: its ``default_hooks``.
        name (str): What it is called there, one of :data:`DEFAULT_HOOKS`; set to None
            it stays away.
    """
    hooks = dict(cfg.get("default_hooks") or {})
    cfg.default_hooks = {**hooks, **with_types({name: hooks.get(name, {})})}
