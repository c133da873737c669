"""Features of all stages of a backbone, whatever the network calls them."""

from functools import partial
from typing import Any, Dict, List

from mmrazor.models.task_modules.recorder.base_recorder import BaseRecorder
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from pckd_mm.registry import TASK_UTILS


def stage_modules(backbone: nn.Module) -> List[nn.Module]:
    """The stages of a backbone, in the order of its forward pass.

    Args:
        backbone (nn.Module): One that names them in ``stages`` as pckd_mm's do, or in
            ``res_layers`` as MMPretrain's ResNets do, or holds them in ``stages``, as
            its ConvNeXt does.

    Returns:
        list[nn.Module]: The stages.

    Raises:
        ValueError: For a backbone that does neither.
    """
    names = getattr(backbone, "stages", None) or getattr(backbone, "res_layers", None)
    if not names:
        raise ValueError(
            f"StageOutputs found a {type(backbone).__name__} without stages or "
            "res_layers; expected a backbone that names its stages, such as a ResNet: "
            "take another one, give it an attribute stages with the names of the "
            "modules, or record each by ModuleOutputs."
        )
    return [
        stage if isinstance(stage, nn.Module) else backbone.get_submodule(stage)
        for stage in names
    ]


@TASK_UTILS.register_module()
class StageOutputsRecorder(BaseRecorder):
    """Record the outputs of a backbone's stages, one tuple for each forward pass.

    ``dict(recorder="stages", data_idx=1, ...)`` is the second stage then, in every
    network.

    Args:
        source (str): Name of the backbone in the model. Defaults to ``'backbone'``.

    Raises:
        TypeError: In a step, for stages that give other things than feature maps.
    """

    def __init__(self, source: str = "backbone") -> None:
        super().__init__(source)
        self._recording = False
        self._outputs: Dict[int, Any] = {}
        self._handles: List[RemovableHandle] = []

    def modules(self, model: nn.Module) -> List[nn.Module]:
        """The modules that it hooks in a model.

        Args:
            model (nn.Module): The model.

        Returns:
            list[nn.Module]: The stages.

        Raises:
            ValueError: For a model without this backbone, or a backbone without
                stages.
        """
        try:
            backbone = model.get_submodule(self.source)
        except AttributeError:
            raise ValueError(
                f"StageOutputs has source {self.source!r}, which the "
                f"{type(model).__name__} does not have; expected the name of its "
                "backbone."
            ) from None
        return stage_modules(backbone)

    def prepare_from_model(self, model: nn.Module) -> None:
        """Hook the stages, in place of those that were hooked before.

        Args:
            model (nn.Module): The model.
        """
        for handle in self._handles:
            handle.remove()
        stages = self.modules(model)
        self._handles = [
            stage.register_forward_hook(partial(self._record, index, len(stages)))
            for index, stage in enumerate(stages)
        ]

    def _record(
        self, index: int, stages: int, module: nn.Module, inputs: tuple, outputs: Any
    ) -> None:
        if not self._recording:
            return
        if not isinstance(outputs, Tensor) or outputs.dim() != 4:
            found = f"a {type(outputs).__name__}"
            if isinstance(outputs, Tensor):
                found = f"a tensor of shape {tuple(outputs.shape)}"
            raise TypeError(
                f"StageOutputs found {found} behind stage {index} of the "
                f"{self.source}, a {type(module).__name__}; expected feature maps, of "
                "shape (B, C, H, W), as the stages of a ResNet give: take another "
                "backbone, or a method that compares no maps, such as kd or pckd."
            )
        self._outputs[index] = outputs
        if len(self._outputs) == stages:
            self.data_buffer.append(tuple(map(self._outputs.pop, range(stages))))

    def __enter__(self) -> None:
        """Begin to record."""
        super().__enter__()
        self._outputs.clear()
        self._recording = True

    def __exit__(self, *raised: Any) -> None:
        """End the record."""
        super().__exit__(*raised)
        self._outputs.clear()
        self._recording = False
