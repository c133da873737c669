"""Recorders, hooked to the network that they listen to."""

import weakref
from typing import Dict, List, Sequence

from mmrazor.models.task_modules import RecorderManager
from mmrazor.models.task_modules.recorder import (
    ModuleOutputsRecorder,
    ParameterRecorder,
)
from mmrazor.models.task_modules.recorder.base_recorder import BaseRecorder
from torch import nn

from pckd_mm.utils.nearest import nearest_names


class HookedRecorders:
    """The recorders of one network, and what each of them is hooked to.

    Conversions such as SyncBN's replace modules, and hooks with them: recorders are
    hooked again where that happened, and only there. A copy, and what is read from a
    file, is hooked to nothing yet.

    Args:
        who (str): ``'student'`` or ``'teacher'``, for messages.
        manager (RecorderManager): The recorders.
    """

    def __init__(self, who: str, manager: RecorderManager) -> None:
        self.who = who
        self.manager = manager
        self._hooked: Dict[str, List[weakref.ref]] = {}

    def __getstate__(self) -> dict:
        return {**self.__dict__, "_hooked": {}}

    @property
    def is_hooked(self) -> bool:
        """bool: Whether each recorder was hooked to a network, and not released."""
        return self._hooked.keys() == self.manager.recorders.keys()

    def release(self, model: nn.Module) -> None:
        """Take the recorders' hooks off a network.

        Args:
            model (nn.Module): The network.
        """
        for recorder in self.manager.recorders.values():
            _unhook(recorder, model)
        self._hooked = {}

    def hook(self, model: nn.Module) -> None:
        """Hook the recorders to a network; again where its modules were replaced.

        Raises:
            ValueError: For a source that the network does not have.
        """
        for name, recorder in self.manager.recorders.items():
            targets = self._targets(name, recorder, model)
            hooked = [ref() for ref in self._hooked.get(name, [])]
            if [id(module) for module in hooked] != [id(module) for module in targets]:
                _unhook(recorder, model)
                # A recorder of a parameter would keep the one before in front of it.
                recorder.data_buffer.clear()
                recorder.initialize(model)
                self._hooked[name] = [weakref.ref(target) for target in targets]

    def _targets(self, name: str, recorder: BaseRecorder, model: nn.Module) -> Sequence:
        """What a recorder listens to."""
        if hasattr(recorder, "modules"):  # one of ours, of several modules
            return recorder.modules(model)
        is_module = isinstance(recorder, ModuleOutputsRecorder)
        if not is_module and not isinstance(recorder, ParameterRecorder):
            return [model]
        known = dict(model.named_modules() if is_module else model.named_parameters())
        if recorder.source not in known:
            near = nearest_names(recorder.source, known)
            kind = "module" if is_module else "parameter"
            hint = f" such as {', '.join(near)}" if near else ""
            raise ValueError(
                f"The {self.who} recorder {name} has source {recorder.source!r}, "
                f"which the {self.who} ({type(model).__name__}) does not have; "
                f"expected the name of a {kind}{hint}."
            )
        return [known[recorder.source]]

    def require_call(self, recorder: str, record_idx: int) -> None:
        """Refuse a record of a call that did not happen in this step.

        Args:
            recorder (str): Name of the recorder.
            record_idx (int): Which call of its source.

        Raises:
            RuntimeError: Names the source that was not called so often.
        """
        found = self.manager.get_recorder(recorder)
        calls = len(found.data_buffer)
        if record_idx >= calls:
            raise RuntimeError(
                f"The {self.who} recorder {recorder} asks for call {record_idx + 1} of "
                f"{found.source!r}, which was called {calls} times in this step; "
                "expected a source that the forward pass calls: change its source or "
                "record_idx."
            )


def _unhook(recorder: BaseRecorder, model: nn.Module) -> None:
    """Remove a recorder's hooks, of which MMRazor's keep no handle."""
    owners = [recorder, *getattr(recorder, "recorders", ())]
    for module in model.modules():
        for key, hook in list(module._forward_hooks.items()):
            owner = getattr(getattr(hook, "func", hook), "__self__", None)
            if any(owner is each for each in owners):
                del module._forward_hooks[key]
