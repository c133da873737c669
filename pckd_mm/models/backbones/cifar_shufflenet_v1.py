"""The CIFAR ShuffleNetV1 of the CRD benchmark."""

from typing import Sequence, Tuple

import torch
import torch.nn.functional as F
from mmpretrain.models.utils import channel_shuffle
from torch import Tensor, nn

from pckd_mm.registry import MODELS

from ._common import CIFARBackbone, InitCfg

_STEM = 24


class ShuffleUnit(nn.Module):
    """Grouped 1x1, shuffle, depthwise 3x3 and grouped 1x1 convolution.

    The input is added to that, or where the unit halves the size, pooled and appended.
    """

    def __init__(
        self, in_channels: int, channels: int, stride: int, groups: int
    ) -> None:
        super().__init__()
        self.stride = stride
        # The stem has few channels; the first convolution behind it is not grouped.
        self.shuffled_groups = 1 if in_channels == _STEM else groups
        added = channels - in_channels if stride == 2 else channels
        hidden = added // 4
        self.conv1 = nn.Conv2d(
            in_channels, hidden, 1, groups=self.shuffled_groups, bias=False
        )
        self.bn1 = nn.BatchNorm2d(hidden)
        self.conv2 = nn.Conv2d(hidden, hidden, 3, stride, 1, groups=hidden, bias=False)
        self.bn2 = nn.BatchNorm2d(hidden)
        self.conv3 = nn.Conv2d(hidden, added, 1, groups=groups, bias=False)
        self.bn3 = nn.BatchNorm2d(added)

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu(self.bn1(self.conv1(x)))
        out = channel_shuffle(out, self.shuffled_groups)
        out = F.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        if self.stride == 2:
            return F.relu(torch.cat([out, F.avg_pool2d(x, 3, 2, 1)], dim=1))
        return F.relu(out + x)


@MODELS.register_module()
class CIFARShuffleNetV1(CIFARBackbone):
    """ShuffleNet (Zhang et al., CVPR 2018) for 32x32 images.

    The network that the CRD benchmark calls ``ShuffleV1``: a 1x1 stem without pooling
    and three stages. Tensors are named as in its checkpoints.

    Args:
        groups (int): Groups of the 1x1 convolutions. Defaults to 3.
        widths (Sequence[int]): Channels of the stages. Defaults to (240, 480, 960).
        blocks (Sequence[int]): Units of the stages. Defaults to (4, 8, 4).
        in_channels (int): Channels of the images. Defaults to 3.
        init_cfg (dict | list, optional): Initialization. Defaults to None: torch's
            own, as in the benchmark.

    Raises:
        ValueError: For widths that the groups do not divide, or not three of them.
    """

    stages = ("layer1", "layer2", "layer3")

    def __init__(
        self,
        groups: int = 3,
        widths: Sequence[int] = (240, 480, 960),
        blocks: Sequence[int] = (4, 8, 4),
        in_channels: int = 3,
        init_cfg: InitCfg = None,
    ) -> None:
        super().__init__(init_cfg)
        added = [b - a for a, b in zip((_STEM, *widths), widths, strict=False)]
        if (
            len(widths) != 3
            or min(added) <= 0
            or any(n % (4 * groups) for n in (*widths, *added))
        ):
            raise ValueError(
                f"widths={tuple(widths)} with groups={groups} do not make a "
                f"CIFARShuffleNetV1; expected three widths that rise from {_STEM} on, "
                "each and each rise a multiple of 4 * groups."
            )
        self.feat_dim = widths[-1]
        self.conv1 = nn.Conv2d(in_channels, _STEM, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(_STEM)
        previous = _STEM
        for index, (channels, units) in enumerate(
            zip(widths, blocks, strict=True), start=1
        ):
            stage = [ShuffleUnit(previous, channels, 2, groups)]
            stage += [
                ShuffleUnit(channels, channels, 1, groups) for _ in range(units - 1)
            ]
            setattr(self, f"layer{index}", nn.Sequential(*stage))
            previous = channels

    def forward(self, x: Tensor) -> Tuple[Tensor, ...]:
        """Extract the last feature map.

        Args:
            x (Tensor): Images, shape (N, in_channels, H, W).

        Returns:
            tuple[Tensor]: One feature map, shape (N, feat_dim, H / 8, W / 8).
        """
        x = F.relu(self.bn1(self.conv1(x)))
        for stage in (self.layer1, self.layer2, self.layer3):
            x = stage(x)
        return (x,)
