"""The CIFAR ResNets of the CRD benchmark."""

from typing import Sequence, Tuple, Union

import torch.nn.functional as F
from torch import Tensor, nn

from pckd_mm.registry import MODELS

from ._common import KAIMING, CIFARBackbone, InitCfg

# Stem and the three stages. The "x4" networks widen the stem by two only.
_WIDTHS = {1: (16, 16, 32, 64), 4: (32, 64, 128, 256)}


def blocks_per_stage(depth: int, offset: int, network: str) -> int:
    """Blocks of two convolutions in each of three stages, for ``6n + offset`` layers.

    Raises:
        ValueError: Where ``depth`` is not of that form.
    """
    blocks, rest = divmod(depth - offset, 6)
    if rest or blocks < 1:
        raise ValueError(
            f"depth={depth} does not make a {network}; expected 6n + {offset} with "
            f"n >= 1, such as {6 + offset}, {18 + offset} or {36 + offset}."
        )
    return blocks


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut, projected by 1x1 where shapes differ."""

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.downsample = None
        if stride != 1 or in_channels != channels:
            self.downsample = nn.Sequential(
                nn.Conv2d(in_channels, channels, 1, stride, bias=False),
                nn.BatchNorm2d(channels),
            )

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        x = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(x)) + shortcut)


@MODELS.register_module()
class CIFARResNet(CIFARBackbone):
    """ResNet for 32x32 images with three stages of basic blocks.

    The networks that the CRD benchmark (Tian et al., ICLR 2020) calls ``resnet8`` to
    ``resnet110`` (width 1) and ``resnet8x4``, ``resnet32x4`` (width 4). Tensors are
    named as in its checkpoints.

    Args:
        depth (int): Layers, 6n + 2: 8, 14, 20, 32, 44, 56, 110.
        width (int | Sequence[int]): 1 for stages of 16, 32, 64 channels, 4 for 64,
            128, 256, or the channels of stem and stages, such as ``(4, 4, 8, 16)``.
            Defaults to 1.
        in_channels (int): Channels of the images. Defaults to 3.
        init_cfg (dict | list, optional): Initialization. Defaults to Kaiming for the
            convolutions and ones for the norm layers.

    Raises:
        ValueError: For a depth that is not 6n + 2 or an unknown width.
    """

    stages = ("layer1", "layer2", "layer3")

    def __init__(
        self,
        depth: int,
        width: Union[int, Sequence[int]] = 1,
        in_channels: int = 3,
        init_cfg: InitCfg = KAIMING,
    ) -> None:
        super().__init__(init_cfg)
        blocks = blocks_per_stage(depth, 2, "CIFARResNet")
        widths = _WIDTHS.get(width) if isinstance(width, int) else tuple(width)
        if widths is None or len(widths) != 4:
            raise ValueError(
                f"width={width} does not make a CIFARResNet; expected 1, 4 or the four "
                "channel counts of stem and stages."
            )
        stem, *stages = widths
        self.feat_dim = stages[-1]
        self.conv1 = nn.Conv2d(in_channels, stem, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(stem)
        previous = stem
        for index, channels in enumerate(stages, start=1):
            stride = 1 if index == 1 else 2
            stage = [BasicBlock(previous, channels, stride)]
            stage += [BasicBlock(channels, channels, 1) for _ in range(blocks - 1)]
            setattr(self, f"layer{index}", nn.Sequential(*stage))
            previous = channels

    def forward(self, x: Tensor) -> Tuple[Tensor, ...]:
        """Extract the last feature map.

        Args:
            x (Tensor): Images, shape (N, in_channels, H, W).

        Returns:
            tuple[Tensor]: One feature map, shape (N, feat_dim, H / 4, W / 4).
        """
        x = F.relu(self.bn1(self.conv1(x)))
        for stage in (self.layer1, self.layer2, self.layer3):
            x = stage(x)
        return (x,)
