"""What each loss is of the sum of all, and of the student's gradient."""

import math
from functools import reduce
from typing import Any, Dict, List, Optional, Union

import torch
from mmengine.dist import get_world_size
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.runner import Runner
from torch import Tensor

from pckd_mm.registry import HOOKS
from pckd_mm.utils.gradients import compare_gradients
from pckd_mm.utils.loss_terms import GRADIENT_COSINE, GRADIENT_SHARE, STUDENT, term_of
from pckd_mm.utils.printable import first_line
from pckd_mm.utils.wrappers import unwrap

__all__ = ["LossShareHook", "terms_of"]

# What torch says, in all processes, where a graph cannot be walked twice: of compiled
# networks, of checkpointed ones (today, and before torch 2.1), and of others.
_WALKED_ONCE = (
    *("donated buffers", "checkpoint is incompatible with .grad()"),
    *("Checkpointing is not compatible with .grad()", "a second time", "an extra time"),
)


def terms_of(losses: Dict[str, Union[Tensor, List[Tensor]]]) -> Dict[str, Tensor]:
    """The student's own losses together, and each of the distiller's.

    Args:
        losses (dict[str, Tensor | list[Tensor]]): What an algorithm computes.

    Returns:
        dict[str, Tensor]: Scalars by name: 'student', 'loss_kd', ...
    """
    terms: Dict[str, Tensor] = {}
    for key, value in losses.items():
        name = term_of(key)
        if name is None:
            continue
        parts = [value] if isinstance(value, Tensor) else value
        loss = reduce(torch.add, (part.mean() for part in parts))
        terms[name] = terms[name] + loss if name in terms else loss
    return terms


@HOOKS.register_module()
class LossShareHook(Hook):
    """Measure what share each loss has of their sum, and of the student's gradient.

    A loss may be large and hardly move the student, or move it elsewhere than the
    labels do. So at some steps, the first one among them, the gradient of each loss is
    computed alone, with respect to the student's parameters. Its share is its norm over
    the sum of all norms; its direction is told by the cosine with the gradient of the
    student's own loss. It is one more backward pass for each loss; the step itself is
    the same to the last bit. A line of the log has both, and ``scalars.json`` has those
    of the gradient as ``gradient_share/*`` and ``gradient_cosine/*``.

    Where the graph cannot be walked twice, as in networks that ``--fast`` compiles, the
    log says so, and nothing is measured.

    Args:
        times (int): How often in a training. Defaults to 50.
        least_interval (int): Steps that are between two of them at least. Defaults to
            100.
    """

    def __init__(self, times: int = 50, least_interval: int = 100) -> None:
        self.times = times
        self.least_interval = least_interval
        self._is_off = False
        self._found: Optional[Dict[str, Dict[str, Tensor]]] = None

    def before_train(self, runner: Runner) -> None:
        self._is_off = False

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None
    ) -> None:
        interval = max(runner.max_iters // self.times, self.least_interval)
        if self._is_off or runner.iter % interval:
            return
        algorithm = unwrap(runner.model)
        student = [w for w in algorithm.student.parameters() if w.requires_grad]
        scaler = getattr(runner.optim_wrapper, "loss_scaler", None)
        scale = 1.0 if scaler is None else scaler.get_scale()

        def measure(losses: Dict[str, Union[Tensor, List[Tensor]]]) -> None:
            terms = terms_of(losses)
            self._found = None
            try:
                pulls = compare_gradients(terms, student, STUDENT, scale)
            except RuntimeError as error:
                # Others go on where only this process has no memory left, say, and
                # what they exchange meets what this one sends in the next step.
                alone = get_world_size() == 1
                if not alone and not any(why in str(error) for why in _WALKED_ONCE):
                    raise
                self._is_off = True
                print_log(
                    "The losses' shares in the gradient are not measured: "
                    f"{first_line(error, kind=False)}",
                    logger="current",
                )
                return
            values = {name: loss.detach() for name, loss in terms.items()}
            norms = {name: pull.norm for name, pull in pulls.items()}
            cosines = {name: pull.cosine for name, pull in pulls.items()}
            self._found = dict(loss=values, gradient=norms, cosine=cosines)

        algorithm.on_losses = measure

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Any = None,
        outputs: Any = None,
    ) -> None:
        unwrap(runner.model).on_losses = None
        found, self._found = self._found, None
        if found is None:
            return
        cosines = {name: float(value) for name, value in found.pop("cosine").items()}
        loss, gradient = _shares(found["loss"]), _shares(found["gradient"])
        if loss is None or gradient is None:
            return
        step = runner.iter + 1
        said = ", ".join(
            f"{name} {100 * share:.0f} % / {100 * gradient[name]:.0f} %"
            + (f" ({cosines[name]:+.2f})" if name != STUDENT else "")
            for name, share in loss.items()
        )
        runner.logger.info(
            "Shares of the losses in their sum / in the gradient (and its cosine with "
            f"that of the student's own loss), step {step}: {said}"
        )
        scalars = {f"{GRADIENT_SHARE}{k}": v for k, v in gradient.items()}
        scalars.update({f"{GRADIENT_COSINE}{k}": v for k, v in cosines.items()})
        runner.visualizer.add_scalars(scalars, step=step)


def _shares(values: Dict[str, Tensor]) -> Optional[Dict[str, float]]:
    """Each value over the sum of all; None where that is no share."""
    numbers = {name: float(value) for name, value in values.items()}
    total = sum(numbers.values())
    if not (math.isfinite(total) and total > 0):
        return None
    return {name: number / total for name, number in numbers.items()}
