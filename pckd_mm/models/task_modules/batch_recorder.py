"""Values of a batch in the form of a record."""

from typing import Any, Optional

from mmrazor.models.task_modules.recorder.base_recorder import BaseRecorder
from torch import nn

from pckd_mm.registry import TASK_UTILS


@TASK_UTILS.register_module()
class BatchRecorder(BaseRecorder):
    """Hold what an algorithm hands over, for losses to ask for as any other record.

    Args:
        source (str): Name of the value, such as ``labels``.
    """

    def record(self, value: Any) -> None:
        """Replace the record."""
        self._data_buffer = [value]

    def prepare_from_model(self, model: Optional[nn.Module] = None) -> None:
        """Nothing to prepare: the value does not come from a module."""
