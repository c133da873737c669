"""A trained network for use: built from its config, with a checkpoint's weights."""

from pathlib import Path
from typing import Optional, Sequence, Tuple, Union

from mmengine.config import Config
from torch import nn

from pckd_mm.registry import MODELS
from pckd_mm.utils.checkpoint import (
    classes_of,
    load_fitting,
    read_checkpoint,
)
from pckd_mm.utils.config import load_config

from .plain_config import plain_config

__all__ = ["load_network"]


def load_network(
    config: Union[str, Path, Config], checkpoint: Union[str, Path]
) -> Tuple[nn.Module, Config, Optional[Sequence[str]]]:
    """Build the student of a run, with its weights, in eval mode.

    Args:
        config (str | Path | Config): The config of a distillation or of a plain
            network.
        checkpoint (str | Path): A checkpoint of either, or of the student alone.

    Returns:
        tuple[nn.Module, Config, Sequence[str] | None]: The network, its plain config,
        and the names of its categories.

    Raises:
        FileNotFoundError: Where the config or the checkpoint is not there.
        ValueError: Where one does not fit the other.
    """
    content = read_checkpoint(str(checkpoint))
    cfg = config if isinstance(config, Config) else load_config(config)
    plain = plain_config(cfg, classes_of(content))
    network = MODELS.build(plain.model)
    load_fitting(network, content, f"The checkpoint {checkpoint}")
    return network.eval(), plain, plain.get("classes")
