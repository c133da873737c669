"""Passes of a run's networks that leave no trace, and the time that they take."""

import contextlib
import time
from typing import (
    Callable,
    ContextManager,
    Dict,
    Iterator,
    List,
    Optional,
    Tuple,
    TypeVar,
)

import torch
from mmengine.dataset import BaseDataset
from mmengine.dist import all_gather_object, get_world_size
from mmengine.model import BaseModel
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils._pytree import tree_flatten
from torch.utils.data import DataLoader

from pckd_mm.engine.dry_run import dry_run
from pckd_mm.utils.compilation import begin_step
from pckd_mm.utils.printable import first_line
from pckd_mm.utils.randomness import isolated_randomness

__all__ = [
    "FASTER",
    "Trial",
    "compared",
    "is_slower",
    "seconds_of_each",
    "training_inputs",
    "try_out",
    "update",
]

# Passes of each form that are timed, after one that is not.
ROUNDS = 3
# Shares of a time by which another one must differ, to be more than noise, and seconds,
# to be more than nothing.
FASTER, SLOWER, NOTHING = 0.95, 1.05, 5e-4
clock = time.perf_counter
# What one process may meet and others not.
_OF_ONE_PROCESS = (torch.cuda.OutOfMemoryError, MemoryError)

T = TypeVar("T")


def _now(device: torch.device) -> float:
    """Seconds, when a device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return clock()


def try_out(passes: Callable[[], T], exchanges: bool = True) -> Tuple[Optional[T], str]:
    """Run what may fail, in all processes at once.

    Args:
        passes (Callable): What is tried.
        exchanges (bool): Whether processes exchange anything within, and wait for each
            other. Defaults to True.

    Returns:
        tuple: What it gives, and an empty text; or None, and why it fails in this
        process, or else in another one, in one line.

    Raises:
        torch.cuda.OutOfMemoryError: Where there are several processes that exchange
            something. The others may have memory left, and would wait for this one.
    """
    result, reason = None, ""
    try:
        result = passes()
    except Exception as error:  # of whatever a network is made of
        waited_for = exchanges and get_world_size() > 1
        if waited_for and isinstance(error, _OF_ONE_PROCESS):
            raise
        reason = first_line(error)
    reasons = [each for each in (reason, *all_gather_object(reason)) if each]
    return (None, reasons[0]) if reasons else (result, "")


def is_slower(with_it: float, without: float) -> bool:
    """Whether one of two times is longer, by more than noise."""
    return with_it > SLOWER * without and with_it - without > NOTHING


def compared(with_it: float, without: float, what: str = "a pass") -> str:
    """Two times in words, in milliseconds."""
    numbers = [
        f"{1000 * seconds:.{0 if seconds >= 0.1 else 1}f}"
        for seconds in (with_it, without)
    ]
    return f"{what} takes {numbers[0]} ms with it, {numbers[1]} without"


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
    dataset: BaseDataset = loader.dataset
    images = min(loader.batch_size or 2, len(dataset))
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
        of_ddp (bool): Whether DDP watches its gradients. Defaults to False.
    """

    def __init__(
        self,
        network: nn.Module,
        learns: bool,
        context: Callable[[], ContextManager],
        of_ddp: bool = False,
    ) -> None:
        self.network = network
        self.learns = learns
        self.context = context
        self.of_ddp = of_ddp

    @property
    def exchanges(self) -> bool:
        """bool: Whether processes exchange anything in the passes."""
        kinds = (type(module).__name__ for module in self.network.modules())
        return any("SyncBatchNorm" in kind for kind in kinds)  # torch's, mmcv's

    def within(self, context: Callable[[], ContextManager]) -> "Trial":
        """The same passes in another context."""
        return Trial(self.network, self.learns, context, self.of_ddp)

    def seconds(self, inputs: Tensor) -> float:
        """Run the passes once.

        Args:
            inputs (Tensor): Inputs of the network, shape (N, C, H, W).

        Returns:
            float: Seconds that they took, on a GPU too.
        """
        with isolated_randomness(), _unchanged(self.network):
            begin_step()
            start = _now(inputs.device)
            if self.learns:
                self._learn(inputs)
            else:
                with torch.inference_mode(), self.context():
                    self.network(inputs, mode="tensor")
            return _now(inputs.device) - start

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
        if not weights or not isinstance(total, Tensor):
            return
        if self.of_ddp:  # which would take these gradients for those of a step
            torch.autograd.grad(total, weights, allow_unused=True)
        else:  # activation checkpointing (with_cp) bears nothing else
            total.backward()


@contextlib.contextmanager
def _unchanged(network: nn.Module) -> Iterator[None]:
    """Afterwards buffers, gradients and modes of a network are as they were."""
    buffers: List[Tuple[nn.Module, str, Tensor, Tensor]] = [
        (module, name, buffer, buffer.detach().clone())
        for module in network.modules()
        for name, buffer in module._buffers.items()
        if buffer is not None
    ]
    modes = [(module, module.training) for module in network.modules()]
    gradients = [(parameter, parameter.grad) for parameter in network.parameters()]
    for parameter, _ in gradients:
        parameter.grad = None
    try:
        yield
    finally:
        for parameter, gradient in gradients:
            parameter.grad = gradient
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


def update(optimizer: Optimizer) -> float:
    """Let an optimizer update its parameters once, by gradients of zeros.

    Args:
        optimizer (Optimizer): A copy of that of the run. Its parameters and its state
            change.

    Returns:
        float: Seconds that it took, on a GPU too.
    """
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    for weight in weights:
        if weight.grad is None:
            weight.grad = torch.zeros_like(weight)
    start = _now(weights[0].device)
    optimizer.step()
    return _now(weights[0].device) - start
