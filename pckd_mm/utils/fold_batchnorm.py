"""A network in evaluation without the BatchNorms that follow convolutions."""

from collections import Counter
from typing import Any, Callable, Collection, Dict, List, Tuple, TypeGuard

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.fusion import fuse_conv_bn_weights
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten

__all__ = ["fold_batchnorm"]


class _Uses(TorchDispatchMode):
    """Count, for each tensor that is kept alive, the operations that take it."""

    def __init__(self) -> None:
        super().__init__()
        self.of: Counter = Counter()

    def __torch_dispatch__(
        self, func: Callable, types: Any, args: tuple = (), kwargs: Any = None
    ) -> Any:
        for value in tree_flatten((args, kwargs or {}))[0]:
            if isinstance(value, Tensor):
                self.of[id(value)] += 1
        return func(*args, **(kwargs or {}))


def _has_hooks(module: nn.Module) -> bool:
    return bool(module._forward_hooks or module._forward_pre_hooks)


# A subclass with a forward of its own does more, such as standardising its weight or
# an activation.
_NORMS = (_BatchNorm.forward, nn.SyncBatchNorm.forward)


def _is_convolution(module: nn.Module) -> TypeGuard[nn.Conv2d]:
    return type(module).forward is nn.Conv2d.forward and not _has_hooks(module)


def _is_norm(module: nn.Module) -> TypeGuard[_BatchNorm]:
    return (
        isinstance(module, _BatchNorm)
        and type(module).forward in _NORMS
        and module.running_mean is not None
        and not _has_hooks(module)
    )


def _pairs(
    model: nn.Module, run: Callable[[], Any]
) -> List[Tuple[nn.Conv2d, _BatchNorm]]:
    """Convolutions with the BatchNorm that alone takes what they give."""
    made: Dict[int, Tuple[nn.Conv2d, Tensor]] = {}
    calls: Counter = Counter()
    taken: List[Tuple[_BatchNorm, Tensor]] = []
    uses = _Uses()

    def after_convolution(module: nn.Conv2d, inputs: tuple, output: Tensor) -> None:
        calls[module] += 1
        made[id(output)] = module, output  # alive, hence with an id of its own
        uses.of[id(output)] = 0  # of a tensor before it that had this id

    def before_norm(module: _BatchNorm, inputs: tuple) -> None:
        calls[module] += 1
        taken.append((module, inputs[0]))

    handles = []
    for module in model.modules():
        if _is_convolution(module):
            handles.append(module.register_forward_hook(after_convolution))
        elif _is_norm(module):
            handles.append(module.register_forward_pre_hook(before_norm))
    try:
        with uses:
            run()
    finally:
        for handle in handles:
            handle.remove()
    return [
        (made[id(value)][0], norm)
        for norm, value in taken
        if id(value) in made
        and uses.of[id(value)] == 1
        and calls[norm] == calls[made[id(value)][0]] == 1
    ]


@torch.no_grad()
def _fold(conv: nn.Conv2d, norm: _BatchNorm) -> None:
    conv.weight, conv.bias = fuse_conv_bn_weights(
        conv.weight,
        conv.bias,
        norm.get_buffer("running_mean"),
        norm.get_buffer("running_var"),
        norm.eps,
        norm.weight,
        norm.bias,
    )
    conv.requires_grad_(False)


def fold_batchnorm(
    model: nn.Module, run: Callable[[], Any], keep: Collection[str] = ()
) -> int:
    """Fold each BatchNorm into the convolution that it follows, in place.

    Which these are is read off a run of the network, not off the order of its modules:
    a BatchNorm in front of a convolution (pre-activation) stays, and so does one whose
    input something else takes as well, one that is run more than once, and one with a
    hook on it or on its convolution.

    Args:
        model (nn.Module): A frozen network in evaluation. Its results stay the same
            but for rounding, its state dict does not.
        run (Callable): Runs the network once, on any input.
        keep (Collection[str]): Names of parameters that must stay. Defaults to none.

    Returns:
        int: How many were folded.

    Raises:
        ValueError: For a network in training, of which a BatchNorm depends on the
            batch.
    """
    training = [
        name
        for name, module in model.named_modules()
        if isinstance(module, _BatchNorm) and module.training
    ]
    if training:
        raise ValueError(
            f"fold_batchnorm found {training[0]} of the {type(model).__name__} in "
            "training; expected a frozen network in evaluation: call eval() first."
        )
    kept = {id(model.get_parameter(name)) for name in keep}
    folded = set()
    for conv, norm in _pairs(model, run):
        own = (*conv.parameters(recurse=False), *norm.parameters(recurse=False))
        if kept.isdisjoint(map(id, own)):
            _fold(conv, norm)
            folded.add(norm)
    for parent in list(model.modules()):
        # All names of a child, of which named_children gives the first only.
        for name, child in list(parent._modules.items()):
            if child in folded:
                setattr(parent, name, nn.Identity())
    return len(folded)
