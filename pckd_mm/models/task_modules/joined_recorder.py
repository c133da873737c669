"""A record of the calls of several modules, one for each forward pass."""

from functools import partial
from typing import Any, Dict, List

from mmrazor.models.task_modules.recorder.base_recorder import BaseRecorder
from torch import nn
from torch.utils.hooks import RemovableHandle

__all__ = ["JoinedRecorder"]


class JoinedRecorder(BaseRecorder):
    """Keep a value of each module's call, and join them when all were called.

    A subclass says which modules it hooks (:meth:`modules`), what it keeps of a call
    (:meth:`value`), and what becomes of all of them (:meth:`join`).

    Args:
        source (str): What the config asks for.
    """

    def __init__(self, source: str) -> None:
        super().__init__(source)
        self._recording = False
        self._values: Dict[int, Any] = {}
        self._handles: List[RemovableHandle] = []

    def modules(self, model: nn.Module) -> List[nn.Module]:
        """The modules that it hooks in a model.

        Args:
            model (nn.Module): The model.

        Returns:
            list[nn.Module]: The modules, in the order of what is joined.
        """
        raise NotImplementedError

    def value(self, index: int, module: nn.Module, inputs: tuple, output: Any) -> Any:
        """What is kept of a call.

        Args:
            index (int): Place of the module.
            module (nn.Module): The module.
            inputs (tuple): What it was called with.
            output (Any): What it gave.
        """
        raise NotImplementedError

    def join(self, values: List[Any]) -> Any:
        """What is recorded of a forward pass.

        Args:
            values (list): What was kept of each module, in their order.
        """
        raise NotImplementedError

    def prepare_from_model(self, model: nn.Module) -> None:
        """Hook the modules, in place of those that were hooked before.

        Args:
            model (nn.Module): The model.
        """
        for handle in self._handles:
            handle.remove()
        self._handles = [
            module.register_forward_hook(partial(self._record, index))
            for index, module in enumerate(self.modules(model))
        ]

    def _record(
        self, index: int, module: nn.Module, inputs: tuple, output: Any
    ) -> None:
        if not self._recording:
            return
        self._values[index] = self.value(index, module, inputs, output)
        places = range(len(self._handles))
        if len(self._values) == len(places):
            self.data_buffer.append(self.join(list(map(self._values.pop, places))))

    def __enter__(self) -> None:
        """Begin to record."""
        super().__enter__()
        self._values.clear()
        self._recording = True

    def __exit__(self, *raised: Any) -> None:
        """End the record."""
        super().__exit__(*raised)
        self._values.clear()
        self._recording = False
