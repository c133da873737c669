"""What the config of a run must have, told before anything is trained."""

from copy import deepcopy

from mmengine.config import Config

from pckd_mm.utils.speed_arguments import SpeedArguments

from .hooks import hook_kind, hooks_of
from .job import ExperimentError, refusing

__all__ = ["require_last_epoch", "require_skipping", "require_speed", "with_speed"]


def require_last_epoch(config: str, cfg: Config) -> None:
    """Refuse a training whose last epoch may not be reached, or not be validated.

    Args:
        config (str): Path of the config, for the message.
        cfg (Config): The config, which is one of epochs.

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
