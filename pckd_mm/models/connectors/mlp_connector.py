"""The multi-layer perceptron in front of feature alignment."""

from typing import Optional

from mmrazor.models.architectures.connectors.base_connector import BaseConnector
from torch import Tensor, nn

from pckd_mm.registry import MODELS


@MODELS.register_module()
class MLPConnector(BaseConnector):
    """Linear, BatchNorm, ReLU, Linear: from the student's features to the teacher's.

    Args:
        in_channels (int): Width of the student's feature.
        hidden_channels (int, optional): Width of the hidden layer. Defaults to None,
            16 times ``out_channels`` as in PCKD.
        out_channels (int): Width of the teacher's feature.
        init_cfg (dict, optional): Initialization. Defaults to None, torch's own.
    """

    def __init__(
        self,
        in_channels: int,
        hidden_channels: Optional[int] = None,
        out_channels: Optional[int] = None,
        init_cfg: Optional[dict] = None,
    ) -> None:
        super().__init__(init_cfg)
        if out_channels is None:
            raise ValueError(
                "MLPConnector found no out_channels; expected the width of the "
                "teacher's feature."
            )
        hidden_channels = hidden_channels or 16 * out_channels
        self.mlp = nn.Sequential(
            nn.Linear(in_channels, hidden_channels),
            nn.BatchNorm1d(hidden_channels),
            nn.ReLU(),
            nn.Linear(hidden_channels, out_channels),
        )

    def forward_train(self, feature: Tensor) -> Tensor:
        """Map features.

        Args:
            feature (Tensor): Features, shape (N, in_channels); N >= 2 in training.

        Returns:
            Tensor: Mapped features, shape (N, out_channels).

        Raises:
            ValueError: For a single row in training, which has no batch statistics.
        """
        if self.training and len(feature) < 2:
            raise ValueError(
                f"MLPConnector found {len(feature)} feature in a training batch; "
                "expected two or more for its BatchNorm: use a larger batch_size or "
                "drop_last=True."
            )
        return self.mlp(feature)
