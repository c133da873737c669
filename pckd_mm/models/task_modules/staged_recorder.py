"""One record of networks that classify in several stages."""

from typing import Any, List, Optional, Sequence

from mmrazor.models.task_modules import RecorderManager
from mmrazor.models.task_modules.recorder.base_recorder import BaseRecorder
from torch import nn

from pckd_mm.registry import TASK_UTILS


@TASK_UTILS.register_module()
class StagedRecorder(BaseRecorder):
    """Hold a recorder for each stage of a cascade, and give that of one stage.

    Losses ask for it by one name, and the distiller says whose turn it is.

    Args:
        recorders (Sequence[dict]): Configs of the stages' recorders, with scopes.
        source (str): What the config asked for, for messages.
    """

    def __init__(self, recorders: Sequence[dict], source: str) -> None:
        super().__init__(source)
        manager = RecorderManager({str(k): cfg for k, cfg in enumerate(recorders)})
        self.recorders: List[BaseRecorder] = list(manager.recorders.values())
        self.stage = 0

    @property
    def data_buffer(self) -> List[Any]:
        """list: What the stage's recorder recorded."""
        return self.recorders[self.stage].data_buffer

    def modules(self, model: nn.Module) -> List[Any]:
        """What the recorders are hooked to in a model.

        Args:
            model (nn.Module): The model.

        Returns:
            list[nn.Module | Parameter]: Modules and parameters.
        """
        found: List[Any] = []
        for recorder in self.recorders:
            if hasattr(recorder, "modules"):
                found += recorder.modules(model)
                continue
            owner, _, name = recorder.source.rpartition(".")
            found.append(getattr(model.get_submodule(owner), name))
        return found

    def prepare_from_model(self, model: Optional[nn.Module] = None) -> None:
        """Hook the recorders.

        Args:
            model (nn.Module): The model.
        """
        for recorder in self.recorders:
            recorder.data_buffer.clear()
            recorder.initialize(model)

    def get_record_data(
        self, record_idx: int = 0, data_idx: Optional[int] = None
    ) -> Any:
        """See :class:`BaseRecorder`; of the stage."""
        return self.recorders[self.stage].get_record_data(record_idx, data_idx)

    def reset_data_buffer(self) -> None:
        """Let go of what all stages recorded."""
        for recorder in self.recorders:
            recorder.reset_data_buffer()

    def __enter__(self) -> None:
        """Begin to record."""
        self.stage = 0
        for recorder in self.recorders:
            recorder.__enter__()

    def __exit__(self, *raised: Any) -> None:
        """End the record."""
        for recorder in self.recorders:
            recorder.__exit__(*raised)
