"""The CIFAR MobileNetV2 of the CRD benchmark."""

from typing import Any, Tuple

from torch import Tensor, nn

from pckd_mm.registry import MODELS

from ._common import KAIMING, CIFARBackbone, InitCfg

# Channels at width 1, blocks and stride of the seven rows of blocks.
_ROWS = (
    (16, 1, 1),
    (24, 2, 1),
    (32, 3, 2),
    (64, 4, 2),
    (96, 3, 1),
    (160, 3, 2),
    (320, 1, 1),
)


class InvertedResidual(nn.Module):
    """1x1 expansion, 3x3 depthwise convolution, 1x1 projection without activation."""

    def __init__(
        self, in_channels: int, channels: int, stride: int, expansion: int
    ) -> None:
        super().__init__()
        hidden = in_channels * expansion
        self.conv = nn.Sequential(
            nn.Conv2d(in_channels, hidden, 1, bias=False),
            nn.BatchNorm2d(hidden),
            nn.ReLU(inplace=True),
            nn.Conv2d(hidden, hidden, 3, stride, 1, groups=hidden, bias=False),
            nn.BatchNorm2d(hidden),
            nn.ReLU(inplace=True),
            nn.Conv2d(hidden, channels, 1, bias=False),
            nn.BatchNorm2d(channels),
        )
        self.has_shortcut = stride == 1 and in_channels == channels

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(x) if self.has_shortcut else self.conv(x)


def _convolution(in_channels: int, channels: int, **settings: Any) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(in_channels, channels, bias=False, **settings),
        nn.BatchNorm2d(channels),
        nn.ReLU(inplace=True),
    )


@MODELS.register_module()
class CIFARMobileNetV2(CIFARBackbone):
    """MobileNetV2 (Sandler et al., CVPR 2018) for 32x32 images.

    The network that the CRD benchmark calls ``MobileNetV2``, with its defaults of half
    the width and a stem of stride 2. Unlike the published ImageNet network the first
    block has its expansion layer too, channels are not rounded to multiples of 8, and
    activations are plain ReLUs. Tensors are named as in the benchmark's checkpoints.

    Args:
        width (float): Factor on the channels up to the last layer. Defaults to 0.5.
        expansion (int): Factor on the channels within a block, from the second row of
            blocks on. Defaults to 6.
        in_channels (int): Channels of the images. Defaults to 3.
        init_cfg (dict | list, optional): Initialization. Defaults to Kaiming for the
            convolutions and ones for the norm layers.
    """

    stages = ("blocks.1", "blocks.2", "blocks.4", "blocks.6")

    def __init__(
        self,
        width: float = 0.5,
        expansion: int = 6,
        in_channels: int = 3,
        init_cfg: InitCfg = KAIMING,
    ) -> None:
        super().__init__(init_cfg)
        self.feat_dim = int(1280 * max(width, 1))
        previous = int(32 * width)
        self.conv1 = _convolution(
            in_channels, previous, kernel_size=3, stride=2, padding=1
        )
        self.blocks = nn.ModuleList()
        for index, (channels, blocks, stride) in enumerate(_ROWS):
            channels = int(channels * width)
            factor = expansion if index else 1
            row = [InvertedResidual(previous, channels, stride, factor)]
            row += [
                InvertedResidual(channels, channels, 1, factor)
                for _ in range(blocks - 1)
            ]
            self.blocks.append(nn.Sequential(*row))
            previous = channels
        self.conv2 = _convolution(previous, self.feat_dim, kernel_size=1)

    def forward(self, x: Tensor) -> Tuple[Tensor, ...]:
        """Extract the last feature map.

        Args:
            x (Tensor): Images, shape (N, in_channels, H, W).

        Returns:
            tuple[Tensor]: One feature map, shape (N, feat_dim, H / 16, W / 16).
        """
        x = self.conv1(x)
        for row in self.blocks:
            x = row(x)
        return (self.conv2(x),)
