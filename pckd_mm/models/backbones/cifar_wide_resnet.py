"""The wide ResNets of the CRD benchmark."""

from typing import Tuple

import torch.nn.functional as F
from torch import Tensor, nn

from pckd_mm.registry import MODELS

from ._common import KAIMING, CIFARBackbone, InitCfg
from .cifar_resnet import blocks_per_stage


class PreActivationBlock(nn.Module):
    """Norm and ReLU before each of two 3x3 convolutions.

    Where the shapes differ, the 1x1 shortcut starts behind the first activation.
    """

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(in_channels)
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.convShortcut = None
        if in_channels != channels:
            self.convShortcut = nn.Conv2d(in_channels, channels, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        activated = F.relu(self.bn1(x))
        shortcut = x if self.convShortcut is None else self.convShortcut(activated)
        x = F.relu(self.bn2(self.conv1(activated)))
        return self.conv2(x) + shortcut


class Stage(nn.Module):
    """A row of blocks under the name ``layer``, as published checkpoints have it."""

    def __init__(
        self, in_channels: int, channels: int, blocks: int, stride: int
    ) -> None:
        super().__init__()
        layer = [PreActivationBlock(in_channels, channels, stride)]
        layer += [PreActivationBlock(channels, channels, 1) for _ in range(blocks - 1)]
        self.layer = nn.Sequential(*layer)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x)


@MODELS.register_module()
class CIFARWideResNet(CIFARBackbone):
    """Wide ResNet (Zagoruyko and Komodakis, BMVC 2016) for 32x32 images.

    The networks that the CRD benchmark calls ``wrn_16_1``, ``wrn_16_2``, ``wrn_40_1``
    and ``wrn_40_2``. Tensors are named as in its checkpoints.

    Args:
        depth (int): Layers, 6n + 4: 16, 40.
        width (int): Factor on the 16, 32, 64 channels of the stages. Defaults to 1.
        in_channels (int): Channels of the images. Defaults to 3.
        init_cfg (dict | list, optional): Initialization. Defaults to Kaiming for the
            convolutions and ones for the norm layers.

    Raises:
        ValueError: For a depth that is not 6n + 4.
    """

    stages = ("block1", "block2", "block3")

    def __init__(
        self,
        depth: int,
        width: int = 1,
        in_channels: int = 3,
        init_cfg: InitCfg = KAIMING,
    ) -> None:
        super().__init__(init_cfg)
        blocks = blocks_per_stage(depth, 4, "CIFARWideResNet")
        self.feat_dim = 64 * width
        self.conv1 = nn.Conv2d(in_channels, 16, 3, 1, 1, bias=False)
        self.block1 = Stage(16, 16 * width, blocks, stride=1)
        self.block2 = Stage(16 * width, 32 * width, blocks, stride=2)
        self.block3 = Stage(32 * width, 64 * width, blocks, stride=2)
        self.bn1 = nn.BatchNorm2d(self.feat_dim)

    def forward(self, x: Tensor) -> Tuple[Tensor, ...]:
        """Extract the last feature map.

        Args:
            x (Tensor): Images, shape (N, in_channels, H, W).

        Returns:
            tuple[Tensor]: One feature map, shape (N, feat_dim, H / 4, W / 4).
        """
        x = self.conv1(x)
        for stage in (self.block1, self.block2, self.block3):
            x = stage(x)
        return (F.relu(self.bn1(x)),)
