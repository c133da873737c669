"""Features of all stages of a backbone, whatever the network calls them."""

from typing import Any, List, Tuple

from torch import Tensor, nn

from pckd_mm.registry import TASK_UTILS

from .joined_recorder import JoinedRecorder


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
class StageOutputsRecorder(JoinedRecorder):
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

    def value(
        self, index: int, module: nn.Module, inputs: tuple, output: Any
    ) -> Tensor:
        """The maps behind a stage."""
        if not isinstance(output, Tensor) or output.dim() != 4:
            found = f"a {type(output).__name__}"
            if isinstance(output, Tensor):
                found = f"a tensor of shape {tuple(output.shape)}"
            raise TypeError(
                f"StageOutputs found {found} behind stage {index} of the "
                f"{self.source}, a {type(module).__name__}; expected feature maps, of "
                "shape (B, C, H, W), as the stages of a ResNet give: take another "
                "backbone, or a method that compares no maps, such as kd or pckd."
            )
        return output

    def join(self, values: List[Tensor]) -> Tuple[Tensor, ...]:
        """The maps behind all stages."""
        return tuple(values)
