"""Recorders of classifiers that are not one plain linear layer.

Where it is one, MMRazor's recorders of its inputs, outputs and parameters do.
"""

from typing import Any, List, Optional, Sequence, Tuple

import torch
import torch.nn.functional as F
from mmrazor.models.task_modules.recorder.base_recorder import BaseRecorder
from torch import Tensor, nn

from pckd_mm.registry import TASK_UTILS

from .classifier import Classifier, ClassifierLayer
from .joined_recorder import JoinedRecorder

__all__ = [
    "ClassifierBiasRecorder",
    "ClassifierCentersRecorder",
    "ClassifierFeatureRecorder",
    "ClassifierLogitsRecorder",
    "category_centers",
]


class _ClassifierRecorder(BaseRecorder):
    """What recorders of a classifier share.

    Args:
        source (str): What the config asked for, for messages.
        layers (Sequence[ClassifierLayer]): The layers of the classifier.
    """

    def __init__(self, source: str, layers: Sequence[ClassifierLayer]) -> None:
        super().__init__(source)
        self.layers = list(layers)

    def modules(self, model: nn.Module) -> List[nn.Module]:
        """The modules that it records in a model.

        Args:
            model (nn.Module): The model.

        Returns:
            list[nn.Module]: The layers.
        """
        return [model.get_submodule(layer.name) for layer in self.layers]


@TASK_UTILS.register_module()
class ClassifierFeatureRecorder(_ClassifierRecorder, JoinedRecorder):
    """Record the feature in front of a classifier, as a tuple of one.

    It has shape (N, D): the inputs of all its layers beside each other, brought to
    length 1 where the layer compares directions.
    """

    def value(
        self, index: int, module: nn.Module, inputs: tuple, output: Tensor
    ) -> Tensor:
        """The input of a layer."""
        feature = inputs[0].flatten(1)
        return F.normalize(feature) if self.layers[index].cosine else feature

    def join(self, values: List[Tensor]) -> Tuple[Tensor]:
        """All of them beside each other."""
        return (torch.cat(values, dim=1),)


@TASK_UTILS.register_module()
class ClassifierLogitsRecorder(_ClassifierRecorder, JoinedRecorder):
    """Record the logits, shape (N, C): the sum of all layers' outputs."""

    def value(
        self, index: int, module: nn.Module, inputs: tuple, output: Tensor
    ) -> Tensor:
        """A layer's part of the logits."""
        logits, factor = output.flatten(1), self.layers[index].factor
        return logits if factor == 1 else factor * logits

    def join(self, values: List[Tensor]) -> Tensor:
        """Their sum."""
        return torch.stack(values).sum(dim=0) if len(values) > 1 else values[0]


class ClassifierParameterRecorder(_ClassifierRecorder):
    """Give a value of the layers' parameters as they are when it is asked for."""

    def __init__(self, source: str, layers: Sequence[ClassifierLayer]) -> None:
        super().__init__(source, layers)
        self._hooked: List[Any] = []  # modules, whose weights have no type

    @property
    def data_buffer(self) -> List[Tensor]:
        """list[Tensor]: The one value."""
        return [self.value(self._hooked)] if self._hooked else []

    def get_record_data(
        self, record_idx: int = 0, data_idx: Optional[int] = None
    ) -> Tensor:
        """The value, whatever the indices."""
        return self.value(self._hooked)

    def value(self, modules: List[Any]) -> Tensor:
        raise NotImplementedError

    def prepare_from_model(self, model: nn.Module) -> None:
        """Look up the layers.

        Args:
            model (nn.Module): The model.
        """
        self._hooked = self.modules(model)

    def reset_data_buffer(self) -> None:
        """Nothing is kept."""


@TASK_UTILS.register_module()
class ClassifierCentersRecorder(ClassifierParameterRecorder):
    """Give the category centers, shape (C, D).

    They are the layers' weights beside each other, times their factors; of a layer that
    compares directions rows of length 1 times its factor.
    """

    def value(self, modules: List[Any]) -> Tensor:
        weights = []
        for layer, module in zip(self.layers, modules, strict=True):
            weight = module.weight.flatten(1)
            weight = F.normalize(weight) if layer.cosine else weight
            factor = layer.factor * layer.scale
            weights.append(weight if factor == 1 else factor * weight)
        return torch.cat(weights, dim=1) if len(weights) > 1 else weights[0]


@TASK_UTILS.register_module()
class ClassifierBiasRecorder(ClassifierParameterRecorder):
    """Give the bias of the logits, shape (C,): zeros where there is none."""

    def value(self, modules: List[Any]) -> Tensor:
        bias = torch.zeros_like(modules[0].weight.flatten(1)[:, 0])
        for layer, module in zip(self.layers, modules, strict=True):
            if layer.has_bias:
                bias = bias + layer.factor * module.bias
        return bias


def category_centers(network: nn.Module, classifier: Classifier) -> Tensor:
    """The category centers of a network, as ``source="classifier.weight"`` has them.

    Args:
        network (nn.Module): The network.
        classifier (Classifier): Its classifier, which has layers.

    Returns:
        Tensor: Shape (C, D), without gradient.
    """
    recorder = ClassifierCentersRecorder("classifier.weight", classifier.layers)
    recorder.prepare_from_model(network)
    return recorder.get_record_data().detach()
