"""The classifier of a network: the layers whose outputs are its logits."""

from dataclasses import dataclass
from typing import Any, Optional, Tuple

from torch import Tensor

__all__ = ["Classifier", "ClassifierLayer", "read_logits"]


@dataclass(frozen=True)
class ClassifierLayer:
    """A layer that the logits are made of.

    Attributes:
        name (str): Its name in the network.
        width (int): Width D of its input.
        factor (float): What its output is multiplied by in the logits.
        cosine (bool): Whether it compares directions: input and rows of its weight are
            brought to length 1 first, as in ArcFace.
        scale (float): What it multiplies its cosines by itself, as mmdet's
            ``NormedLinear`` does.
        has_bias (bool): Whether it adds a bias.
    """

    name: str
    width: int
    factor: float = 1.0
    cosine: bool = False
    scale: float = 1.0
    has_bias: bool = True


@dataclass(frozen=True)
class Classifier:
    """What a network's logits are made of.

    Several linear layers of which the sum or mean is predicted are one linear
    classifier: of their inputs beside each other, with weights times their factors.

    Attributes:
        num_classes (int): Number of logits C.
        reading (str): How the network's output becomes its logits: ``"tensor"``,
            or ``"sum"`` or ``"mean"`` of several tensors.
        layers (tuple[ClassifierLayer]): The layers; empty where the logits are no
            linear function of anything, so that there is no feature and there are no
            category centers.
        modules (tuple[str]): Names of the modules whose output is the logits, the
            innermost first.
        parts (tuple[str]): Names of the modules whose output is that of one of several
            layers, or of one before it is scaled.
        task (str, optional): Which task of a network with several.
        input_shape (tuple[int]): Channels, height and width of an image that the
            network takes.
        background (int): How many of the logits are of no category: 1 in a detector
            that has one for the background.
        handed_over (bool): Whether the algorithm picks the instances itself, as among
            the places of a map, and hands over what recorders ask for.
        place_width (int, optional): Width of the feature at the instance's own place,
            where the classifier sees a patch around it.
    """

    num_classes: int
    reading: str = "tensor"
    layers: Tuple[ClassifierLayer, ...] = ()
    modules: Tuple[str, ...] = ()
    parts: Tuple[str, ...] = ()
    task: Optional[str] = None
    input_shape: Tuple[int, ...] = ()
    background: int = 0
    handed_over: bool = False
    place_width: Optional[int] = None

    @property
    def categories(self) -> int:
        """int: Number of categories."""
        return self.num_classes - self.background

    @property
    def width(self) -> Optional[int]:
        """int, optional: Width of the feature in front of the classifier."""
        return sum(layer.width for layer in self.layers) if self.layers else None

    @property
    def path(self) -> Optional[str]:
        """str, optional: Name of the one plain linear layer that is the classifier."""
        if len(self.layers) == 1:
            layer = self.layers[0]
            # A convolution's output has another shape than the logits.
            if not layer.cosine and layer.name in self.modules:
                return layer.name
        return None

    def logits(self, output: Any) -> Tensor:
        """The logits in what the network gives.

        Args:
            output (Tensor | tuple | dict): Output of the network.

        Returns:
            Tensor: Shape (N, C).
        """
        return read_logits(output, self.reading, self.task)


def read_logits(output: Any, reading: str, task: Optional[str] = None) -> Tensor:
    """The logits in a network's output.

    Args:
        output (Tensor | tuple | dict): Output of the network.
        reading (str): ``"tensor"``, ``"sum"`` or ``"mean"``.
        parts (tuple[str]): Names of the modules whose output is that of one of several
            layers, or of one before it is scaled.
        task (str, optional): Which task, where there are several. Defaults to None.

    Returns:
        Tensor: Shape (N, C).
    """
    if task is not None:
        output = output[task]
    if isinstance(output, (list, tuple)) and len(output) == 1:
        output = output[0]
    if reading == "tensor":
        return output
    total = sum(output)
    return total if reading == "sum" else total / len(output)
