"""The CIFAR ShuffleNetV2 of the CRD benchmark."""

from typing import List, Sequence, Tuple

import torch
import torch.nn.functional as F
from mmpretrain.models.utils import channel_shuffle
from torch import Tensor, nn

from pckd_mm.registry import MODELS

from ._common import CIFARBackbone, InitCfg

_STEM = 24


def _pointwise(in_channels: int, channels: int) -> nn.Conv2d:
    return nn.Conv2d(in_channels, channels, 1, bias=False)


def _depthwise(channels: int, stride: int) -> nn.Conv2d:
    return nn.Conv2d(channels, channels, 3, stride, 1, groups=channels, bias=False)


class SplitUnit(nn.Module):
    """Three convolutions on one half of the channels, shuffled with the other."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        half = channels // 2
        self.conv1 = _pointwise(half, half)
        self.bn1 = nn.BatchNorm2d(half)
        self.conv2 = _depthwise(half, stride=1)
        self.bn2 = nn.BatchNorm2d(half)
        self.conv3 = _pointwise(half, half)
        self.bn3 = nn.BatchNorm2d(half)

    def forward(self, x: Tensor) -> Tensor:
        kept, out = x.chunk(2, dim=1)
        out = F.relu(self.bn1(self.conv1(out)))
        out = self.bn2(self.conv2(out))
        out = F.relu(self.bn3(self.conv3(out)))
        return channel_shuffle(torch.cat([kept, out], dim=1), 2)


class DownUnit(nn.Module):
    """Two branches of stride 2, each giving half of the channels, shuffled."""

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        half = channels // 2
        self.conv1 = _depthwise(in_channels, stride=2)
        self.bn1 = nn.BatchNorm2d(in_channels)
        self.conv2 = _pointwise(in_channels, half)
        self.bn2 = nn.BatchNorm2d(half)
        self.conv3 = _pointwise(in_channels, half)
        self.bn3 = nn.BatchNorm2d(half)
        self.conv4 = _depthwise(half, stride=2)
        self.bn4 = nn.BatchNorm2d(half)
        self.conv5 = _pointwise(half, half)
        self.bn5 = nn.BatchNorm2d(half)

    def forward(self, x: Tensor) -> Tensor:
        left = self.bn1(self.conv1(x))
        left = F.relu(self.bn2(self.conv2(left)))
        right = F.relu(self.bn3(self.conv3(x)))
        right = self.bn4(self.conv4(right))
        right = F.relu(self.bn5(self.conv5(right)))
        return channel_shuffle(torch.cat([left, right], dim=1), 2)


@MODELS.register_module()
class CIFARShuffleNetV2(CIFARBackbone):
    """ShuffleNetV2 (Ma et al., ECCV 2018) for 32x32 images.

    The network that the CRD benchmark calls ``ShuffleV2``: a 1x1 stem without pooling
    and three stages. Tensors are named as in its checkpoints.

    Args:
        widths (Sequence[int]): Channels of the three stages and of the last layer, the
            first three even. Defaults to (116, 232, 464, 1024), the width 1x.
        blocks (Sequence[int]): Units of the stages. Defaults to (4, 8, 4).
        in_channels (int): Channels of the images. Defaults to 3.
        init_cfg (dict | list, optional): Initialization. Defaults to None: torch's
            own, as in the benchmark.

    Raises:
        ValueError: For odd widths or another number of them.
    """

    stages = ("layer1", "layer2", "layer3")

    def __init__(
        self,
        widths: Sequence[int] = (116, 232, 464, 1024),
        blocks: Sequence[int] = (4, 8, 4),
        in_channels: int = 3,
        init_cfg: InitCfg = None,
    ) -> None:
        super().__init__(init_cfg)
        if len(widths) != 4 or any(channels % 2 for channels in widths[:3]):
            raise ValueError(
                f"widths={tuple(widths)} do not make a CIFARShuffleNetV2; expected "
                "the even channel counts of three stages and that of the last layer."
            )
        self.feat_dim = widths[-1]
        self.conv1 = nn.Conv2d(in_channels, _STEM, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(_STEM)
        previous = _STEM
        for index, (channels, units) in enumerate(
            zip(widths[:3], blocks, strict=True), start=1
        ):
            stage: List[nn.Module] = [DownUnit(previous, channels)]
            stage += [SplitUnit(channels) for _ in range(units - 1)]
            setattr(self, f"layer{index}", nn.Sequential(*stage))
            previous = channels
        self.conv2 = _pointwise(previous, self.feat_dim)
        self.bn2 = nn.BatchNorm2d(self.feat_dim)

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
        return (F.relu(self.bn2(self.conv2(x))),)
