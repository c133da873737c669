"""The embeddings that category contrast compares with category centers."""

from typing import Optional

from mmrazor.models.architectures.connectors.base_connector import BaseConnector
from torch import Tensor, nn

from pckd_mm.models.losses.utils import full_precision, l2_normalize
from pckd_mm.registry import MODELS


@MODELS.register_module()
class EmbedConnector(BaseConnector):
    """Linear layer, then rows scaled to length one (PCKD, E_s and E_t).

    Args:
        in_channels (int): Width of the feature.
        out_channels (int): Width of the category centers it is compared with.
        init_cfg (dict, optional): Initialization. Defaults to None, torch's own.
    """

    def __init__(
        self, in_channels: int, out_channels: int, init_cfg: Optional[dict] = None
    ) -> None:
        super().__init__(init_cfg)
        self.linear = nn.Linear(in_channels, out_channels)

    def forward_train(self, feature: Tensor) -> Tensor:
        """Embed features.

        Args:
            feature (Tensor): Features, shape (N, in_channels).

        Returns:
            Tensor: Embeddings of length one, float32 or wider, shape
            (N, out_channels). A row that the linear layer maps to zeros stays zero.
        """
        return full_precision(l2_normalize)(self.linear(feature))
