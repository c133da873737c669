"""Find the classifier of a network by running it, not by its names.

Heads call their layers as they like, hide them in a backbone, or have two of them.
"""

import copy
from typing import Any, Dict, List, Optional, Sequence, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pckd_mm.utils.example_inputs import example_inputs
from pckd_mm.utils.randomness import isolated_randomness

from .classifier import Classifier, ClassifierLayer, read_logits

__all__ = ["find_classifier"]

_IMAGES = 3


class _Calls:
    """What the layers and modules of a network took and gave in a run."""

    def __init__(self, network: nn.Module) -> None:
        self.network = network
        self.of: Dict[str, Tuple[Tensor, Tensor]] = {}

    def run(self, inputs: Tensor) -> Any:
        self.of.clear()
        handles = [
            module.register_forward_hook(self._keeper(name))
            for name, module in self.network.named_modules()
            if name
        ]
        try:
            return self.network(inputs)
        finally:
            for handle in handles:
                handle.remove()

    def _keeper(self, name: str) -> Any:
        def keep(module: nn.Module, inputs: tuple, output: Any) -> None:
            if isinstance(output, Tensor):
                first = inputs[0] if inputs else None
                self.of[name] = first, output

        return keep


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
        ValueError: For a network that gives no logits, by any reading, on any size, and
            for one with several tasks of which none is named.
    """
    network = copy.deepcopy(network).eval()
    calls = _Calls(network)
    with isolated_randomness(), torch.no_grad():
        torch.manual_seed(0)
        _draw_where_not_finite(network)
        inputs, output = _first_run(calls, who, input_shape)
        task = _which_task(output, who, task)
        reading = _reading(network, inputs, output, who, task)
        logits = read_logits(output, reading, task)
        candidates = _candidates(network, calls, logits)
        found = []
        for _ in range(2):  # a factor that weights decide on differs between the two
            _draw(network, candidates)
            logits = read_logits(calls.run(inputs), reading, task)
            found.append(_layers(network, calls, candidates, logits))
        modules = _modules_of(calls, logits)
        _refuse_probabilities(network, calls, candidates, logits, who)
    same = [layer.name for layer in found[0]] == [layer.name for layer in found[1]]
    if not same or any(
        abs(one.factor - other.factor) > 1e-3 * abs(other.factor)
        for one, other in zip(*found, strict=True)
    ):
        found[-1] = ()
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


def _first_run(
    calls: _Calls, who: str, input_shape: Optional[Sequence[int]]
) -> Tuple[Tensor, Any]:
    tried = []
    for inputs in example_inputs(calls.network, _IMAGES, input_shape):
        try:
            return inputs, calls.run(inputs)
        except Exception as error:  # whatever a network says to a size it cannot take
            reason = str(error).splitlines()[0] if str(error) else ""
            size = " x ".join(map(str, inputs.shape[1:]))
            tried.append(f"{size} ({type(error).__name__}: {reason[:120]})")
    remedy = "set the model's input_shape=(channels, height, width)"
    if who == "teacher":
        remedy += ", and teacher_input_size where the teacher's have another size"
    raise ValueError(
        f"The {who} ({type(calls.network).__name__}) runs on no image of "
        f"{'; '.join(tried)}; expected the shape of its images: {remedy}."
    )


def _which_task(output: Any, who: str, task: Optional[str]) -> Optional[str]:
    if not isinstance(output, dict):
        return None
    if task is None and len(output) == 1:
        return next(iter(output))
    if task not in output:
        raise ValueError(
            f"The {who} has the tasks {', '.join(output)} and the algorithm task="
            f"{task}; expected the one to distil: set the model's task to its name."
        )
    return task


def _scores(network: nn.Module, inputs: Tensor, task: Optional[str]) -> List[Tensor]:
    """The probabilities that a network predicts, where it is one of mmpretrain's."""
    try:
        predictions = network(inputs, mode="predict")
        if task is not None:
            predictions = [prediction.get(task) for prediction in predictions]
        return [torch.stack([prediction.pred_score for prediction in predictions])]
    except Exception:  # whatever a head says that predicts something else
        return []


def _reading(
    network: nn.Module, inputs: Tensor, output: Any, who: str, task: Optional[str]
) -> str:
    """How the output is to be read, so that it gives what the network predicts."""
    scores = _scores(network, inputs, task)
    # Which of several outputs count, only predictions tell.
    readings = ("tensor", "sum", "mean") if scores else ("tensor",)
    for reading in readings:
        try:
            logits = read_logits(output, reading, task)
            fits = isinstance(logits, Tensor) and logits.shape[:-1] == (_IMAGES,)
        except (TypeError, RuntimeError):
            fits = False
        if fits and all(
            torch.allclose(probability, score, atol=1e-4)
            for score in scores
            for probability in (logits.softmax(1), logits.sigmoid())
            if score.shape == probability.shape
            and _is_of_kind(score, probability, logits)
        ):
            return reading
    found = type(output).__name__
    if isinstance(output, Tensor):
        found = f"a tensor of shape {tuple(output.shape)}"
    raise ValueError(
        f"The {who} ({type(network).__name__}) gives {found} for {_IMAGES} images, "
        "which are no logits that it predicts by; expected one row of logits for each "
        "image: take a network with a classifier, and of several outputs give the one "
        "that counts."
    )


def _is_of_kind(score: Tensor, probability: Tensor, logits: Tensor) -> bool:
    """Whether a score is to be compared with softmax or with sigmoid."""
    of_softmax = torch.allclose(score.sum(1), torch.ones(len(score)).to(score))
    sums_to_one = torch.equal(probability, logits.softmax(1))
    return of_softmax == sums_to_one


def _draw_where_not_finite(network: nn.Module) -> None:
    """Values for tensors that are only allocated before ``init_weights``."""
    for parameter in network.parameters():
        if not parameter.isfinite().all():
            parameter.normal_(std=0.02)


def _candidates(network: nn.Module, calls: _Calls, logits: Tensor) -> List[str]:
    """Layers with a weight that give as many numbers an image as there are logits."""
    return [
        name
        for name, (inputs, output) in calls.of.items()
        if isinstance(inputs, Tensor)
        and output.flatten(1).shape == logits.shape
        and _weight(network.get_submodule(name)) is not None
    ]


def _weight(layer: nn.Module) -> Optional[Tensor]:
    """The weight of a layer as a matrix of C rows; None where it has none."""
    weight = layer._parameters.get("weight")
    if weight is None or weight.ndim not in (2, 4) or weight[0, 0].numel() != 1:
        return None
    return weight.flatten(1)


def _draw(network: nn.Module, candidates: List[str]) -> None:
    """New weights for the last layers, and slightly other scales elsewhere."""
    for parameter in network.parameters():
        if parameter.ndim < 2:
            parameter.mul_(1 + 0.1 * torch.rand_like(parameter))
    for name in candidates:
        layer = network.get_submodule(name)
        weight = _weight(layer)
        layer.weight.normal_(std=weight.shape[1] ** -0.5)
        if layer._parameters.get("bias") is not None:
            layer.bias.normal_()


def _layers(
    network: nn.Module, calls: _Calls, candidates: List[str], logits: Tensor
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
    weight, bias = _weight(layer), layer._parameters.get("bias")
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


def _modules_of(calls: _Calls, logits: Tensor) -> Tuple[str, ...]:
    """The modules whose output is the logits; inner ones end before outer ones."""
    return tuple(
        name
        for name, (_, output) in calls.of.items()
        if output.shape == logits.shape and torch.equal(output, logits)
    )


def _parts_of(
    calls: _Calls, layers: Sequence[ClassifierLayer], modules: Sequence[str]
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


def _refuse_probabilities(
    network: nn.Module,
    calls: _Calls,
    candidates: Sequence[str],
    logits: Tensor,
    who: str,
) -> None:
    """Refuse a network that ends in a softmax or sigmoid."""
    for name in candidates:
        output = calls.of[name][1].flatten(1)
        ends = dict(softmax=output.softmax(1), sigmoid=output.sigmoid())
        for kind, values in ends.items():
            if torch.allclose(values, logits, atol=1e-6):
                raise ValueError(
                    f"The {who} ({type(network).__name__}) gives probabilities, the "
                    f"{kind} of what {name} gives; expected logits, of which losses "
                    f"make probabilities themselves: leave the {kind} out of it."
                )
