"""Find the classifier of a network by running it, not by its names.

Heads call their layers as they like, hide them in a backbone, or have two of them.
"""

import copy
from typing import List, Optional, Sequence, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pckd_mm.utils.randomness import isolated_randomness

from .classifier import Classifier, ClassifierLayer, read_logits
from .network_outputs import (
    Calls,
    find_reading,
    first_run,
    refuse_probabilities,
    which_task,
)

__all__ = ["find_classifier"]

# What torch.compile calls the network that it wraps.
COMPILED = "_orig_mod"


def find_classifier(
    network: nn.Module,
    who: str,
    input_shape: Optional[Sequence[int]] = None,
    task: Optional[str] = None,
) -> Classifier:
    """Find the layers whose outputs are a network's logits.

    A copy of the network runs in evaluation on random images, with weights of its last
    layers drawn anew: no layer's output is another's then, whatever the network was
    initialised with.

    Args:
        network (nn.Module): A classifier of mmpretrain, or one that runs as they do.
        who (str): What it is, for messages: ``"student"`` or ``"teacher"``.
        input_shape (Sequence[int], optional): Channels, height and width of an image.
            Defaults to None, which tries what the network says and usual sizes.
        task (str, optional): Which task of a network with several. Defaults to None.

    Returns:
        Classifier: Its layers and how its output is read.

    Raises:
        ValueError: For a network that gives no logits, by any reading, on any size, for
            one with several tasks of which none is named, and for one that
            ``torch.compile`` wraps.
    """
    network = copy.deepcopy(network).eval()
    calls = Calls(network)
    with isolated_randomness(), torch.no_grad():
        torch.manual_seed(0)
        _draw_where_not_finite(network)
        inputs, output = first_run(calls, who, input_shape)
        task = which_task(output, who, task)
        reading = find_reading(network, inputs, output, who, task)
        logits = read_logits(output, reading, task)
        candidates = _candidates(network, calls, logits)
        if not candidates:
            _refuse_compiled(network, who)
        found = []
        for _ in range(2):  # a factor that weights decide on differs between the two
            _draw(network, candidates)
            logits = read_logits(calls.run(inputs), reading, task)
            found.append(_layers(network, calls, candidates, logits))
        modules = _modules_of(calls, logits)
        refuse_probabilities(network, calls, candidates, logits, who)
    same = [layer.name for layer in found[0]] == [layer.name for layer in found[1]]
    if not same or any(
        abs(one.factor - other.factor) > 1e-3 * abs(other.factor)
        for one, other in zip(*found, strict=True)
    ):
        found[-1] = []
    layers = tuple(found[-1])
    return Classifier(
        num_classes=logits.shape[1],
        reading=reading,
        layers=layers,
        modules=modules,
        parts=_parts_of(calls, layers, modules),
        task=task,
        input_shape=tuple(inputs.shape[1:]),
    )


def _refuse_compiled(network: nn.Module, who: str) -> None:
    """Refuse what torch.compile wraps, since the classifier may be inside, unseen."""
    for name, module in network.named_modules():
        if COMPILED in module._modules:
            place = f" in {name}" if name else ""
            raise ValueError(
                f"The {who} found a network of torch.compile{place}, whose layers "
                "cannot be listened to; expected one that is compiled in place, if at "
                "all: give the network itself, and call network.compile()."
            )


def _draw_where_not_finite(network: nn.Module) -> None:
    """Values for tensors that are only allocated before ``init_weights``."""
    for parameter in network.parameters():
        if not parameter.isfinite().all():
            parameter.normal_(std=0.02)


def _candidates(network: nn.Module, calls: Calls, logits: Tensor) -> List[str]:
    """Layers with a weight that give as many numbers an image as there are logits."""
    return [
        name
        for name, (inputs, output) in calls.of.items()
        if isinstance(inputs, Tensor)
        and COMPILED not in name.split(".")  # it calls no hooks once it is compiled
        and output.flatten(1).shape == logits.shape
        and _has_rows(network.get_submodule(name))
    ]


def _has_rows(layer: nn.Module) -> bool:
    """Whether a layer has a weight that is a matrix of C rows."""
    weight = layer._parameters.get("weight")
    return weight is not None and weight.ndim in (2, 4) and weight[0, 0].numel() == 1


def _rows(layer: nn.Module) -> Tensor:
    """The weight of a layer, which has one, as a matrix of C rows."""
    return layer.get_parameter("weight").flatten(1)


def _draw(network: nn.Module, candidates: List[str]) -> None:
    """New weights for the last layers, and slightly other scales elsewhere."""
    for parameter in network.parameters():
        if parameter.ndim < 2:
            parameter.mul_(1 + 0.1 * torch.rand_like(parameter))
    for name in candidates:
        layer = network.get_submodule(name)
        layer.get_parameter("weight").normal_(std=_rows(layer).shape[1] ** -0.5)
        bias = layer._parameters.get("bias")
        if bias is not None:
            bias.normal_()


def _layers(
    network: nn.Module, calls: Calls, candidates: List[str], logits: Tensor
) -> List[ClassifierLayer]:
    """The layers of which the logits are a sum, with their factors."""
    if not candidates:
        return []
    # On the CPU, where torch solves equations that are not of full rank.
    outputs = torch.stack(
        [calls.of[name][1].flatten().double().cpu() for name in candidates], dim=1
    )
    target = logits.flatten().double().cpu()[:, None]
    # Layers that the logits do not depend on get a factor of zero.
    factors = torch.linalg.lstsq(outputs, target, driver="gelsd").solution[:, 0]
    rest = (outputs @ factors[:, None] - target).abs().max()
    if not rest <= 1e-4 * target.abs().max():
        return []
    layers = []
    for name, factor in zip(candidates, factors.tolist(), strict=True):
        if abs(factor) < 1e-4:
            continue
        layer = _describe(network.get_submodule(name), name, factor, *calls.of[name])
        if layer is None:
            return []
        layers.append(layer)
    return layers


def _describe(
    layer: nn.Module, name: str, factor: float, inputs: Tensor, output: Tensor
) -> Optional[ClassifierLayer]:
    """A layer that is linear, or compares directions; None for any other."""
    weight, bias = _rows(layer), layer._parameters.get("bias")
    feature, output = inputs.flatten(1), output.flatten(1)
    if feature.shape[1] != weight.shape[1] or len(weight) != output.shape[1]:
        return None
    bound = 1e-4 * output.abs().max().item()
    rounded = round(factor, 3) if abs(factor - round(factor, 3)) < 1e-4 else factor
    settings = (name, weight.shape[1], rounded)
    if torch.allclose(F.linear(feature, weight, bias), output, rtol=0, atol=bound):
        return ClassifierLayer(*settings, has_bias=bias is not None)
    cosine = F.linear(F.normalize(feature), F.normalize(weight))
    if torch.allclose(cosine, output, rtol=0, atol=bound):
        return ClassifierLayer(*settings, cosine=True, has_bias=False)
    return None


def _modules_of(calls: Calls, logits: Tensor) -> Tuple[str, ...]:
    """The modules whose output is the logits; inner ones end before outer ones."""
    return tuple(
        name
        for name, (_, output) in calls.of.items()
        if output.shape == logits.shape and torch.equal(output, logits)
    )


def _parts_of(
    calls: Calls, layers: Sequence[ClassifierLayer], modules: Sequence[str]
) -> Tuple[str, ...]:
    """The modules whose output is that of one layer, and not the logits."""
    outputs = [calls.of[layer.name][1] for layer in layers]
    return tuple(
        name
        for name, (_, output) in calls.of.items()
        if name not in modules
        and any(
            output.shape == other.shape and torch.equal(output, other)
            for other in outputs
        )
    )
