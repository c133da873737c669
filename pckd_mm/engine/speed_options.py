"""What --amp, --fast and --compile make of a config."""

from typing import Optional

import torch
from mmengine.config import Config

__all__ = ["COMPILE_MODES", "use_mixed_precision", "use_speed_up"]

COMPILE_MODES = (
    "default",
    "reduce-overhead",
    "max-autotune",
    "max-autotune-no-cudagraphs",
)


def use_mixed_precision(cfg: Config) -> None:
    """Train in bfloat16 autocast, or in float16 with loss scaling on a GPU without it.

    Args:
        cfg (Config): Config of a run, changed in place: its ``optim_wrapper``.

    Raises:
        ValueError: For a detector on the CPU.
    """
    # mmcv's operators have kernels for float16 on a GPU, and none for bfloat16.
    is_detector = cfg.get("default_scope") == "mmdet"
    has_gpu = torch.cuda.is_available()
    if is_detector and not has_gpu:
        raise ValueError(
            "--amp found a detector on the CPU, where mmcv's operators have no "
            "bfloat16; expected a GPU: leave --amp out."
        )
    # Older ones emulate bfloat16, slowly.
    if has_gpu and (is_detector or torch.cuda.get_device_capability() < (8, 0)):
        cfg.optim_wrapper.type = "AmpOptimWrapper"
        cfg.optim_wrapper.setdefault("loss_scale", "dynamic")
    else:
        cfg.optim_wrapper.type = "pckd_mm.BFloat16OptimWrapper"


def use_speed_up(cfg: Config, fast: bool, compile_mode: Optional[str]) -> None:
    """Turn on the options of :class:`pckd_mm.engine.SpeedUpHook`.

    Args:
        cfg (Config): Config of a run, changed in place: ``default_hooks.speed_up``.
        fast (bool): Whether to fold the teacher's BatchNorm and to fuse the optimizer.
        compile_mode (str, optional): Mode of :func:`torch.compile`, by which networks
            are compiled.
    """
    options = {}
    if fast:
        options.update(fold_teacher=True, fused_optimizer=True)
    if compile_mode is not None:
        options.update(compile=dict(mode=compile_mode))
    if not options:
        return
    if "default_hooks" not in cfg:
        cfg.default_hooks = {}
    if "speed_up" not in cfg.default_hooks:
        cfg.default_hooks.speed_up = dict(type="pckd_mm.SpeedUpHook")
    cfg.default_hooks.speed_up.update(options)
