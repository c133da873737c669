"""The regressor in front of hints."""

from typing import Optional, Sequence

from mmrazor.models.architectures.connectors.base_connector import BaseConnector
from torch import Tensor, nn

from pckd_mm.registry import MODELS


@MODELS.register_module()
class HintConnector(BaseConnector):
    """Convolution, BatchNorm, ReLU: from the student's feature map to the teacher's.

    The regressor of FitNet (Romero et al., ICLR 2015) as the CRD benchmark has it. The
    convolution maps size and channels:

    - from twice the teacher's size: 3x3 with stride 2;
    - from half the teacher's size: transposed, 4x4 with stride 2;
    - else from equal or larger maps: as large as the difference in size, plus one.

    Args:
        in_shape (Sequence[int]): Channels, height and width of the student's feature.
        out_shape (Sequence[int]): Channels, height and width of the teacher's.
        init_cfg (dict, optional): Initialization. Defaults to None, torch's own.

    Raises:
        ValueError: For shapes that are no three numbers, and for maps smaller than the
            teacher's that are not half of its size.
    """

    def __init__(
        self,
        in_shape: Sequence[int],
        out_shape: Sequence[int],
        init_cfg: Optional[dict] = None,
    ) -> None:
        super().__init__(init_cfg)
        if len(in_shape) != 3 or len(out_shape) != 3:
            raise ValueError(
                f"HintConnector found in_shape={tuple(in_shape)} and out_shape="
                f"{tuple(out_shape)}; expected channels, height and width of a feature "
                "map each."
            )
        (in_channels, *size), (out_channels, *target) = in_shape, out_shape
        excess = [s - t for s, t in zip(size, target, strict=True)]
        if size == [2 * t for t in target]:
            conv: nn.Module = nn.Conv2d(
                in_channels, out_channels, 3, stride=2, padding=1
            )
        elif [2 * s for s in size] == target:
            conv = nn.ConvTranspose2d(in_channels, out_channels, 4, stride=2, padding=1)
        elif min(excess) >= 0:
            kernel = (1 + excess[0], 1 + excess[1])
            conv = nn.Conv2d(in_channels, out_channels, kernel)
        else:
            raise ValueError(
                f"HintConnector found a student feature of {size[0]} x {size[1]} and a "
                f"teacher feature of {target[0]} x {target[1]}; expected one at least "
                "as large, or half as large: take features of other stages."
            )
        self.regressor = nn.Sequential(
            conv, nn.BatchNorm2d(out_channels), nn.ReLU(inplace=True)
        )

    def forward_train(self, feature: Tensor) -> Tensor:
        """Map features.

        Args:
            feature (Tensor): Features of the student, shape ``(B, *in_shape)``.

        Returns:
            Tensor: Features, shape ``(B, *out_shape)``.
        """
        return self.regressor(feature)
