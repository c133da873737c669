"""The networks of a run, and whether what is done to them makes them slower."""

import contextlib
import copy
from functools import partial
from typing import Callable, Collection, Dict, Iterator, Set, Tuple

from mmengine.model import BaseModel, is_model_wrapper
from mmengine.runner import Runner
from mmpretrain.models import BaseClassifier
from mmrazor.models import SingleTeacherDistill
from torch import Tensor, nn
from torch.optim import Optimizer

from pckd_mm.engine.dry_run import dry_run
from pckd_mm.engine.optim_wrappers import optim_wrappers
from pckd_mm.engine.trial import (
    Trial,
    compared,
    is_slower,
    seconds_of_each,
    training_inputs,
    try_out,
    update,
)
from pckd_mm.utils.fused_optimizer import restore_kernel
from pckd_mm.utils.wrappers import unwrap

__all__ = ["RunNetworks", "slower_fused"]

Passes = Tuple[Trial, Tensor]


class RunNetworks:
    """What a runner trains, and its parts.

    Args:
        runner (Runner): The runner, before the first step.
    """

    def __init__(self, runner: Runner) -> None:
        self.runner = runner
        self.model: BaseModel = unwrap(runner.model)
        self.is_distributed = is_model_wrapper(runner.model)
        self.networks: Dict[str, nn.Module]
        if isinstance(self.model, SingleTeacherDistill):
            self.networks = {
                "the student": self.model.student,
                "the teacher": self.model.teacher,
            }
        else:
            self.networks = {f"the {type(self.model).__name__}": self.model}
        # Those that another process runs, where students share a teacher.
        self.idle: Set[str] = set()
        for part in (runner.train_loop, *runner.hooks):
            self.idle.update(getattr(part, "idle_networks", ()))
        self.device = next(self.model.parameters()).device
        self.on_cpu = self.device.type == "cpu"
        self.wrappers = optim_wrappers(runner)

    @property
    def teacher_is_elsewhere(self) -> bool:
        """bool: Whether another process runs the teacher, and gives the batches."""
        return "the teacher" in self.idle

    def step(self) -> None:
        """A step of training without trace."""
        dry_run(self.model, self.runner.train_dataloader)

    def trials(self) -> Dict[str, Trial]:
        """Passes of the classifiers that run here."""

        def context(network: nn.Module) -> contextlib.AbstractContextManager:
            if len(self.wrappers) > 1:
                return contextlib.nullcontext()
            return self.wrappers[0].optim_context(network)

        return {
            name: Trial(
                network,
                learns=name == next(iter(self.networks)),
                context=partial(context, network),
                of_ddp=self.is_distributed and name == next(iter(self.networks)),
            )
            for name, network in self.networks.items()
            if isinstance(network, BaseClassifier) and name not in self.idle
        }

    def inputs(self, trials: Dict[str, Trial]) -> Dict[str, Tensor]:
        """What the networks of trials get in a step."""
        networks = {name: trial.network for name, trial in trials.items()}
        return training_inputs(self.model, networks, self.runner.train_dataloader)

    @contextlib.contextmanager
    def timed(self, names: Collection[str]) -> Iterator[Dict[str, str]]:
        """Time passes of networks, before and after what is done to them within.

        Args:
            names (Collection[str]): The networks. Detectors are not timed.

        Yields:
            dict[str, str]: Afterwards by network whether it has become slower, or why
            that is not known, in words to put behind others; empty if neither.
        """
        passes, told = self._passes(names)
        before = seconds_of_each(_forms(passes))
        yield told
        exchanges = any(trial.exchanges for trial, _ in passes.values())
        timing = partial(seconds_of_each, _forms(passes))
        after, failure = try_out(timing, exchanges)
        for name in passes:
            told[name] = (
                _not_timed(failure)
                if after is None
                else _slower(after[name], before[name])
            )

    def slower_than_float32(self) -> str:
        """Which networks are slower in the precision of a step than in float32.

        Returns:
            str: As of :meth:`timed`, for all of them. Networks of several optimizers
            are not timed.
        """
        if len(self.wrappers) > 1:
            return ""
        passes, told = self._passes(self.networks)
        for name, (trial, inputs) in passes.items():
            plain = trial.within(contextlib.nullcontext)
            forms = _forms({"with": (trial, inputs), "without": (plain, inputs)})
            # In float32 a batch takes more memory than the step will.
            timing = partial(seconds_of_each, forms)
            times, failure = try_out(timing, trial.exchanges)
            told[name] = (
                _not_timed(failure)
                if times is None
                else _slower(times["with"], times["without"])
            )
        words = [f"{text} in {name}" for name, text in told.items() if text]
        return "".join(words)

    def _passes(
        self, names: Collection[str]
    ) -> Tuple[Dict[str, Passes], Dict[str, str]]:
        """What runs networks as in a step, and why others cannot be run."""
        told = dict.fromkeys(names, "")
        trials = {name: t for name, t in self.trials().items() if name in names}
        if not trials:
            return {}, told
        inputs, failure = try_out(partial(self.inputs, trials))
        if inputs is None:  # of a network that trains, but not two images
            return {}, {**told, **dict.fromkeys(trials, _not_timed(failure))}
        passes = {}
        for name in inputs:
            trial = trials[name]
            once = partial(trial.seconds, inputs[name])
            if failure := try_out(once, trial.exchanges)[1]:
                told[name] = _not_timed(failure)
            else:
                passes[name] = trial, inputs[name]
        return passes, told


def _forms(passes: Dict[str, Passes]) -> Dict[str, Callable[[], float]]:
    return {
        name: partial(trial.seconds, inputs) for name, (trial, inputs) in passes.items()
    }


def _not_timed(failure: str, what: str = "its passes fail") -> str:
    """A step of training will tell more of it."""
    return f" (not timed: {what}, {failure})"


def _slower(with_it: float, without: float, what: str = "a pass") -> str:
    if not is_slower(with_it, without):
        return ""
    return f" (slower: {compared(with_it, without, what)})"


def slower_fused(optimizer: Optimizer) -> str:
    """Whether an optimizer is slower with its fused kernel than as it was built.

    Args:
        optimizer (Optimizer): One with a fused kernel. Copies of it are run.

    Returns:
        str: In words as of :meth:`RunNetworks.timed`.
    """

    def updates() -> Dict[str, float]:
        fused, plain = copy.deepcopy(optimizer), copy.deepcopy(optimizer)
        restore_kernel(plain)
        return seconds_of_each(
            {"with": lambda: update(fused), "without": lambda: update(plain)}
        )

    times, failure = try_out(updates, exchanges=False)
    if times is None:  # as for lack of memory
        return _not_timed(failure, "an update fails")
    return _slower(times["with"], times["without"], "an update")
