"""The multi-layer perceptron in front of feature alignment."""

from typing import Optional, cast

import torch
from mmengine.dist import get_world_size
from mmrazor.models.architectures.connectors.base_connector import BaseConnector
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from pckd_mm.registry import MODELS


def _rows_of_statistics(norm: nn.Module, rows: Tensor) -> int:
    """Rows that a BatchNorm takes its statistics of; SyncBatchNorm of all processes."""
    if not (isinstance(norm, nn.SyncBatchNorm) and torch.distributed.is_initialized()):
        return len(rows)
    number = torch.tensor(len(rows), device=rows.device)
    torch.distributed.all_reduce(number, group=norm.process_group)
    return int(number)


def _by_running_statistics(norm: _BatchNorm, rows: Tensor) -> Tensor:
    return F.batch_norm(
        rows, norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=norm.eps
    )


@MODELS.register_module()
class MLPConnector(BaseConnector):
    """Linear, BatchNorm, ReLU, Linear: from the student's features to the teacher's.

    Args:
        in_channels (int): Width of the student's feature.
        hidden_channels (int, optional): Width of the hidden layer. Defaults to None,
            16 times ``out_channels`` as in PCKD.
        out_channels (int): Width of the teacher's feature.
        allow_few_rows (bool): Whether no or one row in training, as a detector has of
            foreground regions, is normalised by the running statistics of BatchNorm;
            else it is an error. Defaults to False.
        init_cfg (dict, optional): Initialization. Defaults to None, torch's own.
    """

    def __init__(
        self,
        in_channels: int,
        hidden_channels: Optional[int] = None,
        out_channels: Optional[int] = None,
        allow_few_rows: bool = False,
        init_cfg: Optional[dict] = None,
    ) -> None:
        super().__init__(init_cfg)
        if out_channels is None:
            raise ValueError(
                "MLPConnector found no out_channels; expected the width of the "
                "teacher's feature."
            )
        self.allow_few_rows = allow_few_rows
        hidden_channels = hidden_channels or 16 * out_channels
        self.mlp = nn.Sequential(
            nn.Linear(in_channels, hidden_channels),
            nn.BatchNorm1d(hidden_channels),
            nn.ReLU(),
            nn.Linear(hidden_channels, out_channels),
        )

    @property
    def min_rows(self) -> int:
        """int: Rows that a process must have of a training batch."""
        of_all = isinstance(self.mlp[1], nn.SyncBatchNorm) and get_world_size() > 1
        return 1 if self.allow_few_rows or of_all else 2

    def forward_train(self, feature: Tensor) -> Tensor:
        """Map features.

        Args:
            feature (Tensor): Features, shape (N, in_channels); N >= 2 in training,
                unless few rows are allowed.

        Returns:
            Tensor: Mapped features, shape (N, out_channels).

        Raises:
            ValueError: For no or one row in training, without batch statistics.
        """
        linear, norm, relu, last = self.mlp
        few = self.training and _rows_of_statistics(norm, feature) < 2
        if few and self.allow_few_rows:
            norm = cast(_BatchNorm, norm)  # what it was built as, or SyncBatchNorm
            return last(relu(_by_running_statistics(norm, linear(feature))))
        if few:
            raise ValueError(
                f"MLPConnector found {len(feature)} feature in a training batch; "
                "expected two or more for its BatchNorm: use a larger batch_size or "
                "drop_last=True, or set allow_few_rows."
            )
        return self.mlp(feature)
