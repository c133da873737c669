"""Run a network on images of a size that it takes, and read logits from its output."""

from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

import torch
from torch import Tensor, nn

from pckd_mm.utils.example_inputs import example_inputs
from pckd_mm.utils.printable import first_line

from .classifier import read_logits

IMAGES = 3


class Calls:
    """What the layers and modules of a network took and gave in a run."""

    def __init__(self, network: nn.Module) -> None:
        self.network = network
        self.of: Dict[str, Tuple[Any, Tensor]] = {}

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

    def _keeper(self, name: str) -> Callable[[nn.Module, tuple, Any], None]:
        def keep(module: nn.Module, inputs: tuple, output: Any) -> None:
            if isinstance(output, Tensor):
                first = inputs[0] if inputs else None
                self.of[name] = first, output

        return keep


def first_run(
    calls: Calls, who: str, input_shape: Optional[Sequence[int]]
) -> Tuple[Tensor, Any]:
    tried = []
    for inputs in example_inputs(calls.network, IMAGES, input_shape):
        try:
            return inputs, calls.run(inputs)
        except Exception as error:  # whatever a network says to a size it cannot take
            size = " x ".join(map(str, inputs.shape[1:]))
            tried.append(f"{size} ({first_line(error, 120)})")
    remedy = "set the model's input_shape=(channels, height, width)"
    if who == "teacher":
        remedy += ", and teacher_input_size where the teacher's have another size"
    raise ValueError(
        f"The {who} ({type(calls.network).__name__}) runs on no image of "
        f"{'; '.join(tried)}; expected the shape of its images: {remedy}."
    )


def which_task(output: Any, who: str, task: Optional[str]) -> Optional[str]:
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


def find_reading(
    network: nn.Module, inputs: Tensor, output: Any, who: str, task: Optional[str]
) -> str:
    """How the output is to be read, so that it gives what the network predicts."""
    scores = _scores(network, inputs, task)
    # Which of several outputs count, only predictions tell.
    readings = ("tensor", "sum", "mean") if scores else ("tensor",)
    for reading in readings:
        try:
            logits = read_logits(output, reading, task)
            fits = isinstance(logits, Tensor) and logits.shape[:-1] == (IMAGES,)
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
        f"The {who} ({type(network).__name__}) gives {found} for {IMAGES} images, "
        "which are no logits that it predicts by; expected one row of logits for each "
        "image: take a network with a classifier, and of several outputs give the one "
        "that counts."
    )


def _is_of_kind(score: Tensor, probability: Tensor, logits: Tensor) -> bool:
    """Whether a score is to be compared with softmax or with sigmoid."""
    of_softmax = torch.allclose(score.sum(1), torch.ones(len(score)).to(score))
    sums_to_one = torch.equal(probability, logits.softmax(1))
    return of_softmax == sums_to_one


def refuse_probabilities(
    network: nn.Module,
    calls: Calls,
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
