"""What the config of a run must have, told before anything is trained."""

from copy import deepcopy
from typing import Any, Mapping, Optional

from mmengine.config import Config

from pckd_mm.utils.speed_arguments import SpeedArguments

from .hooks import hook_kind, hooks_of
from .job import ExperimentError, refusing

__all__ = [
    "leave_broken_out",
    "require_last_epoch",
    "require_skipping",
    "require_speed",
    "with_speed",
]

_CHECKPOINTS = ("CheckpointHook", "WholeCheckpointHook")


def require_last_epoch(config: str, cfg: Config, teaches: bool = False) -> None:
    """Refuse a training whose last epoch may not be reached, validated or kept.

    Args:
        config (str): Path of the config, for the message.
        cfg (Config): The config, which is one of epochs.
        teaches (bool): Whether others load the checkpoint of that epoch. Defaults to
            False.

    Raises:
        ExperimentError: For one.
    """
    epochs = cfg.train_cfg.max_epochs
    # MMEngine validates the last epoch whatever the interval, once it has begun.
    begin = cfg.train_cfg.get("val_begin", 1)
    if begin > epochs:
        raise ExperimentError(
            f"{config} has train_cfg.val_begin {begin} and max_epochs {epochs}; "
            "expected validation after the last epoch, whose metric counts: lower "
            "val_begin."
        )
    if "EarlyStoppingHook" in map(hook_kind, hooks_of(cfg)):
        raise ExperimentError(
            f"{config} has the EarlyStoppingHook, which may end a run before its last "
            "epoch, whose metric counts; expected none: remove it, and lower "
            "train_cfg.max_epochs."
        )
    # Training adds one that keeps it where the config has none.
    default = (cfg.get("default_hooks") or {}).get("checkpoint", {})
    others = [hook for hook in hooks_of(cfg) if hook_kind(hook) in _CHECKPOINTS]
    if teaches and not any(_keeps(hook, epochs) for hook in (default, *others)):
        raise ExperimentError(
            f"{config} has default_hooks.checkpoint={default}, which leaves no "
            f"epoch_{epochs}.pth in the folder of the run; expected one, which the "
            "students load: leave that setting out, or of it by_epoch, filename_tmpl, "
            "out_dir and save_last."
        )


def _keeps(hook: Optional[Mapping[str, Any]], epochs: int) -> bool:
    """Whether a checkpoint hook leaves ``epoch_N.pth`` of the last epoch."""
    if hook is None:
        return False
    interval, since = hook.get("interval", -1), epochs - hook.get("save_begin", 0)
    is_due = interval > 0 and since >= 0 and since % interval == 0
    return (
        hook.get("by_epoch", True)
        and not hook.get("out_dir")
        and hook.get("filename_tmpl") in (None, "epoch_{}.pth")
        and (hook.get("save_last", True) or is_due)
    )


def require_speed(config: str, cfg: Config, speed: SpeedArguments) -> None:
    """Refuse speed options that a network cannot have.

    Args:
        config (str): Path of the config, for the message.
        cfg (Config): The config; it is left as it is.
        speed (SpeedArguments): The options.

    Raises:
        ExperimentError: For one.
    """
    if speed == SpeedArguments():
        return  # and spare the seconds that its module takes
    with refusing(config):
        with_speed(cfg, speed)


def with_speed(cfg: Config, speed: SpeedArguments) -> Config:
    """A config with speed options put into it.

    Args:
        cfg (Config): The config; it is left as it is.
        speed (SpeedArguments): The options.

    Returns:
        Config: A copy with them.

    Raises:
        ValueError: Where its network cannot have one.
    """
    from pckd_mm.engine.speed_options import use_speed_options  # takes seconds

    copy = deepcopy(cfg)
    use_speed_options(copy, speed)
    return copy


def require_skipping(config: str, cfg: Config) -> None:
    """Refuse training images of which broken ones cannot be skipped.

    Args:
        config (str): Path of the config, for the message.
        cfg (Config): The config; it is left as it is.

    Raises:
        ExperimentError: For such.
    """
    from pckd_mm.engine.skip_broken import skip_broken_files  # takes seconds

    with refusing(config):
        skip_broken_files(deepcopy(cfg))


def leave_broken_out(config: str, cfg: Config, trains: bool) -> None:
    """Make the parts of a data set of the files that are whole, in all data loaders.

    Args:
        config (str): Path of the config, for the message.
        cfg (Config): The config, changed in place.
        trains (bool): Whether its training images are read.

    Raises:
        ExperimentError: For training images of which broken ones cannot be skipped.
    """
    from pckd_mm.engine.skip_broken import leave_out_of_parts  # takes seconds

    if trains:
        require_skipping(config, cfg)
    # Whoever reads the parts besides, such as a look into the networks.
    leave_out_of_parts(cfg)
