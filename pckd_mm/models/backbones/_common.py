"""What the CIFAR backbones have in common."""

from typing import Tuple, Union

from mmengine.model import BaseModule

InitCfg = Union[dict, list, tuple, None]

# Kaiming for the convolutions (their biases 0), ones for the norm layers.
KAIMING: InitCfg = (
    dict(type="Kaiming", layer="Conv2d", mode="fan_out"),
    dict(type="Constant", layer="BatchNorm2d", val=1),
)


class CIFARBackbone(BaseModule):
    """Base of the CIFAR backbones.

    Args:
        init_cfg (dict | list | tuple, optional): Initialization. Defaults to
            ``KAIMING``; None keeps torch's own.

    Attributes:
        stages (tuple[str]): Names of the submodules whose outputs are the benchmark's
            stage features f1, f2, ... for distillation from intermediate layers.
        feat_dim (int): Channels of the last feature map.
    """

    stages: Tuple[str, ...]
    feat_dim: int

    def __init__(self, init_cfg: InitCfg = KAIMING) -> None:
        # MMEngine knows dicts and lists only.
        super().__init__(list(init_cfg) if isinstance(init_cfg, tuple) else init_cfg)
