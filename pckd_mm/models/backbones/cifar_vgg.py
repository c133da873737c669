"""The CIFAR VGGs of the CRD benchmark."""

from typing import List, Tuple

import torch.nn.functional as F
from torch import Tensor, nn

from pckd_mm.registry import MODELS

from ._common import KAIMING, CIFARBackbone, InitCfg

_WIDTHS = (64, 128, 256, 512, 512)
# Convolutions in each of the five blocks.
_CONVOLUTIONS = {
    8: (1, 1, 1, 1, 1),
    11: (1, 1, 2, 2, 2),
    13: (2, 2, 2, 2, 2),
    16: (2, 2, 3, 3, 3),
    19: (2, 2, 4, 4, 4),
}


@MODELS.register_module()
class CIFARVGG(CIFARBackbone):
    """VGG (Simonyan and Zisserman, ICLR 2015) with batch norm for 32x32 images.

    The networks that the CRD benchmark calls ``vgg8`` to ``vgg19``: five blocks of 3x3
    convolutions, then global pooling in place of the fully connected layers. Tensors
    are named as in its checkpoints. The stage features are the activated outputs of
    the blocks 1 to 4, before pooling.

    Args:
        depth (int): Layers: 8, 11, 13, 16 or 19.
        in_channels (int): Channels of the images. Defaults to 3.
        init_cfg (dict | list, optional): Initialization. Defaults to Kaiming for the
            convolutions, their biases 0, and ones for the norm layers.

    Raises:
        ValueError: For another depth.
    """

    stages = ("block1", "block2", "block3", "block4")

    def __init__(
        self, depth: int, in_channels: int = 3, init_cfg: InitCfg = KAIMING
    ) -> None:
        super().__init__(init_cfg)
        if depth not in _CONVOLUTIONS:
            raise ValueError(
                f"depth={depth} does not make a CIFARVGG; expected one of "
                f"{', '.join(map(str, _CONVOLUTIONS))}."
            )
        self.feat_dim = _WIDTHS[-1]
        plan = zip(_WIDTHS, _CONVOLUTIONS[depth], strict=True)
        for index, (channels, convolutions) in enumerate(plan):
            block: List[nn.Module] = []
            for _ in range(convolutions):
                block += [
                    nn.Conv2d(in_channels, channels, 3, padding=1),
                    nn.BatchNorm2d(channels),
                    nn.ReLU(inplace=True),
                ]
                in_channels = channels
            setattr(self, f"block{index}", nn.Sequential(*block))

    def forward(self, x: Tensor) -> Tuple[Tensor, ...]:
        """Extract the last feature map.

        Args:
            x (Tensor): Images, shape (N, in_channels, H, W).

        Returns:
            tuple[Tensor]: One feature map, shape (N, feat_dim, H / 8, W / 8), or
            (N, feat_dim, H / 16, W / 16) for images of 64 pixels and more.
        """
        # As in the benchmark, small images are not pooled before the last block.
        is_large = x.shape[2] >= 64
        x = F.max_pool2d(self.block0(x), 2)
        x = F.max_pool2d(self.block1(x), 2)
        x = F.max_pool2d(self.block2(x), 2)
        x = self.block3(x)
        if is_large:
            x = F.max_pool2d(x, 2)
        return (self.block4(x),)
