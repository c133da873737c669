"""What --amp, --fast, --compile and --data-on-device make of a config."""

from typing import Any, Dict, Optional

import torch
from mmengine.config import Config

from pckd_mm.engine.channels_last import AUTO
from pckd_mm.engine.guards import add_hook
from pckd_mm.utils.methods import run_detects
from pckd_mm.utils.precision import AMP_OPTIONS, autocast_dtype
from pckd_mm.utils.speed_arguments import SpeedArguments

__all__ = ["use_mixed_precision", "use_speed_options", "use_speed_up"]


def use_speed_options(cfg: Config, asked: SpeedArguments) -> None:
    """Train as fast as the command line asks for.

    Args:
        cfg (Config): Config of a run, changed in place.
        asked (SpeedArguments): What the command line says.

    Raises:
        ValueError: Where that cannot be had, see :func:`use_mixed_precision` and
            :func:`use_speed_up`.
    """
    if asked.amp is not None:
        use_mixed_precision(cfg, asked.amp)
    use_speed_up(cfg, asked.fast, asked.compile, asked.data_on_device)


def use_mixed_precision(cfg: Config, wanted: str = "auto") -> None:
    """Train in bfloat16 autocast, or in float16 with loss scaling on a GPU without it.

    On a CPU without instructions for bfloat16
    :class:`pckd_mm.engine.BFloat16OptimWrapper` stays in float32. Of a detector on a
    CPU the layers in front of the predictions alone are in bfloat16.

    Args:
        cfg (Config): Config of a run, changed in place: its ``optim_wrapper``.
        wanted (str): "force" for bfloat16 there all the same. Defaults to "auto".

    Raises:
        ValueError: For a config that has none.
    """
    if not cfg.get("optim_wrapper"):
        raise ValueError(
            f"{AMP_OPTIONS[wanted]} found no optim_wrapper in the config, which it "
            "would change; expected one, such as optim_wrapper=dict(type='OptimWrapper"
            "', optimizer=dict(type='SGD', lr=0.1))."
        )
    if autocast_dtype(run_detects(cfg)) == torch.float16:
        cfg.optim_wrapper.pop("force", None)
        cfg.optim_wrapper.type = "pckd_mm.SkipStepAmpOptimWrapper"
        cfg.optim_wrapper.setdefault("loss_scale", "dynamic")
    else:
        cfg.optim_wrapper.type = "pckd_mm.BFloat16OptimWrapper"
        for name in ("loss_scale", "dtype"):  # AmpOptimWrapper's
            cfg.optim_wrapper.pop(name, None)
        if wanted == "force":
            cfg.optim_wrapper.force = True


def use_speed_up(
    cfg: Config,
    fast: bool,
    compile_mode: Optional[str],
    data_on_device: bool = False,
) -> None:
    """Add :class:`pckd_mm.engine.SpeedUpHook`, with its options.

    Args:
        cfg (Config): Config of a run, changed in place: ``default_hooks.speed_up``.
        fast (bool): Whether tensors lie with channels last where that is faster, the
            teacher's BatchNorm is folded and the optimizer fused.
        compile_mode (str, optional): Mode of :func:`torch.compile`, by which networks
            are compiled.
        data_on_device (bool): Whether images in memory lie on the device. Defaults to
            False.

    Raises:
        ValueError: For a detector that would be compiled, and for options beside a
            ``speed_up`` of None, which turns the hook off.
    """
    if compile_mode is not None and run_detects(cfg):
        raise ValueError(
            "--compile found a detector, whose images have many sizes, each of which "
            "would be compiled for; expected a classifier: leave --compile out."
        )
    options: Dict[str, Any] = {}
    if fast:
        options.update(channels_last=AUTO, fold_teacher=True, fused_optimizer=True)
    if compile_mode is not None:
        options.update(compile=dict(mode=compile_mode))
    if data_on_device:
        options.update(data_on_device=True)
    add_hook(cfg, "speed_up")
    if not options:
        return
    if cfg.default_hooks.speed_up is None:
        raise ValueError(
            f"The command line asks for {', '.join(options)} and the config has "
            "default_hooks.speed_up=None, which turns them off; expected one of both: "
            "leave out --fast, --compile and --data-on-device, or that setting."
        )
    cfg.default_hooks.speed_up.update(options)
