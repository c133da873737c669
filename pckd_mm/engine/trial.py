"""Passes of a run's networks that leave no trace, and the time that they take."""

import contextlib
import time
from typing import Callable, ContextManager, Dict, Iterator, List, Tuple

import torch
from mmengine.model import BaseModel
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten
from torch.utils.data import DataLoader

from pckd_mm.engine.dry_run import dry_run
from pckd_mm.utils.randomness import isolated_randomness

__all__ = ["Trial", "seconds_of_each", "training_inputs"]

# Passes of each form that are timed, after one that is not.
ROUNDS = 3
clock = time.perf_counter


def training_inputs(
    model: BaseModel, networks: Dict[str, nn.Module], loader: DataLoader
) -> Dict[str, Tensor]:
    """What networks get in a step: two training images, repeated to a whole batch.

    Args:
        model (BaseModel): What is trained.
        networks (dict[str, nn.Module]): The networks in it that are run.
        loader (DataLoader): Training images.

    Returns:
        dict[str, Tensor]: By network the inputs, shape (N, C, H, W), with N as in a
        batch of the run; none for a network that is not run on such tensors.
    """
    found: Dict[str, Tensor] = {}

    def keeping(name: str) -> Callable:
        def keep(module: nn.Module, inputs: tuple) -> None:
            if inputs and isinstance(inputs[0], Tensor) and inputs[0].ndim == 4:
                found.setdefault(name, inputs[0])

        return keep

    handles = [
        module.register_forward_pre_hook(keeping(name))
        for name, network in networks.items()
        for module in (network, *network.children())
    ]
    try:
        dry_run(model, loader)
    finally:
        for handle in handles:
            handle.remove()
    images = min(loader.batch_size or 2, len(loader.dataset))
    return {name: _repeated(inputs, images) for name, inputs in found.items()}


def _repeated(inputs: Tensor, images: int) -> Tensor:
    """The inputs of two images as those of more, in the layout that they have."""
    rows = len(inputs) * images // 2
    repeated = inputs.repeat(-(-images // 2), 1, 1, 1)[:rows]
    if inputs.is_contiguous():
        return repeated
    return repeated.contiguous(memory_format=torch.channels_last)


class Trial:
    """A network's part of a training step: a forward pass, and the backward pass.

    Statistics, modes, random numbers and gradients are afterwards as they were.

    Args:
        network (nn.Module): The network, a classifier of mmpretrain.
        learns (bool): Whether it is trained; else it runs as a frozen teacher does.
        context (Callable): Gives what a step runs in, such as autocast.
    """

    def __init__(
        self, network: nn.Module, learns: bool, context: Callable[[], ContextManager]
    ) -> None:
        self.network = network
        self.learns = learns
        self.context = context

    def seconds(self, inputs: Tensor) -> float:
        """Run the passes once.

        Args:
            inputs (Tensor): Inputs of the network, shape (N, C, H, W).

        Returns:
            float: Seconds that the host took.
        """
        with isolated_randomness(), _unchanged(self.network):
            start = clock()
            if self.learns:
                self._learn(inputs)
            else:
                with torch.inference_mode(), self.context():
                    self.network(inputs, mode="tensor")
            return clock() - start

    def _learn(self, inputs: Tensor) -> None:
        self.network.train()
        with self.context():
            outputs = self.network(inputs, mode="tensor")
        total = sum(
            output.float().square().mean()
            for output in tree_flatten(outputs)[0]
            if isinstance(output, Tensor) and output.requires_grad
        )
        weights = [p for p in self.network.parameters() if p.requires_grad]
        if weights and isinstance(total, Tensor):
            # Not backward(), which leaves gradients and tells DDP of them.
            torch.autograd.grad(total, weights, allow_unused=True)


@contextlib.contextmanager
def _unchanged(network: nn.Module) -> Iterator[None]:
    """Afterwards buffers and modes of a network are as they were."""
    buffers: List[Tuple[nn.Module, str, Tensor, Tensor]] = [
        (module, name, buffer, buffer.detach().clone())
        for module in network.modules()
        for name, buffer in module._buffers.items()
        if buffer is not None
    ]
    modes = [(module, module.training) for module in network.modules()]
    try:
        yield
    finally:
        with torch.no_grad():
            for module, name, buffer, before in buffers:
                buffer.copy_(before)
                module._buffers[name] = buffer
        for module, mode in modes:
            module.training = mode


def seconds_of_each(forms: Dict[str, Callable[[], float]]) -> Dict[str, float]:
    """The least time of each form of the same work, taken in turns.

    Args:
        forms (dict[str, Callable]): By name what does the work and gives its seconds.

    Returns:
        dict[str, float]: Seconds of each.
    """
    times: Dict[str, List[float]] = {name: [] for name in forms}
    for _ in range(1 + ROUNDS):
        for name, form in forms.items():
            times[name].append(form())
    return {name: min(values[1:]) for name, values in times.items()}
