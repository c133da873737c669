"""Networks through torch.compile, module by module."""

from typing import Any, Iterator, List

import torch
import torch._dynamo
from torch import nn

__all__ = ["begin_step", "compile_network"]

# What holds nearly all of a network's work; heads are run in parts, and recorded.
_PARTS = ("backbone", "neck")


def _is_hooked(module: nn.Module) -> bool:
    return any(
        part._forward_hooks or part._forward_pre_hooks for part in module.modules()
    )


def _largest_without_hooks(name: str, module: nn.Module) -> Iterator[tuple]:
    children = list(module.named_children())
    if not children or not any(True for _ in module.parameters()):
        return  # a single layer, or nothing to speak of
    if not _is_hooked(module):
        yield name, module
        return
    for child_name, child in children:
        yield from _largest_without_hooks(f"{name}.{child_name}", child)


def compile_network(network: nn.Module, **settings: Any) -> List[str]:
    """Compile backbone and neck of a network, in place.

    Parameters, names and state dict stay as they are; a copy of the network is not
    compiled. Where a recorder listens inside of the backbone the largest parts without
    one are compiled, since what is recorded must be computed as it is. Recorders and
    deliveries of functions and methods, which are no hooks, are not noticed.

    Args:
        network (nn.Module): A classifier or detector of OpenMMLab.
        **settings: Arguments of :func:`torch.compile`. Shapes are taken as fixed
            (``dynamic=False``) unless they say otherwise.

    Returns:
        list[str]: Names of the modules that are compiled at their next call.
    """
    settings = {"dynamic": False, **settings}
    compiled = []
    for part in _PARTS:
        module = getattr(network, part, None)
        if isinstance(module, nn.Module):
            for name, found in _largest_without_hooks(part, module):
                found.compile(**settings)
                compiled.append(name)
    _allow_recompiling(len(compiled))
    return compiled


def _allow_recompiling(parts: int) -> None:
    """Raise torch's limit of compiled forms, which all modules share, by these parts.

    Each part has a form for the usual batch, the last one of an epoch and that of the
    validation, and some more for other dtypes and modes.
    """
    config = torch._dynamo.config
    name = "recompile_limit"
    if not hasattr(config, name):  # torch < 2.6
        name = "cache_size_limit"
    setattr(config, name, getattr(config, name) + 4 * parts)


def begin_step() -> None:
    """Tell CUDA graphs, if there are any, that the last step's outputs are done with.

    torch < 2.2 has no such call, and sees the end of a step in its backward pass.
    """
    mark = getattr(torch.compiler, "cudagraph_mark_step_begin", None)
    if torch.cuda.is_available() and mark is not None:
        mark()
