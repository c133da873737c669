"""A batch that several processes share: rows of all of them, and means over all."""

import contextlib
import weakref
from typing import Any, Iterator, List, Optional, Tuple

import torch
import torch.distributed as dist
from torch import Tensor

__all__ = [
    "gather_rows",
    "in_group",
    "mean_over_processes",
    "process_count",
    "process_scope",
    "share_of_rows",
]

# Whether a batch is that of all processes; see process_scope.
_across = True


@contextlib.contextmanager
def process_scope(across: bool) -> Iterator[None]:
    """Within it a batch is that of all processes, or each process's own.

    Args:
        across (bool): Whether of all processes, as it is without this.
    """
    global _across
    before, _across = _across, across
    try:
        yield
    finally:
        _across = before


def in_group() -> bool:
    """Whether this process trains together with others, or could."""
    return dist.is_available() and dist.is_initialized()


def process_count() -> int:
    """Processes that share a batch: 1 within ``process_scope(False)``."""
    shares = _across and in_group()
    return dist.get_world_size() if shares else 1


# What exchanges numbers of the host, by the id of the default group. Weak, since
# gloo's threads must end with the groups, or a process is aborted when it ends.
_host_groups: "weakref.WeakValueDictionary" = weakref.WeakValueDictionary()


def _host_group() -> Optional[dist.ProcessGroup]:
    """A group for numbers of the host, whose exchange waits for no GPU."""
    if dist.get_backend() == "gloo":
        return None  # the default one
    key = id(dist.group.WORLD)
    if key not in _host_groups:
        group = dist.new_group(backend="gloo")
        _host_groups[key] = group
    return _host_groups[key]


def _sizes(rows: int) -> List[int]:
    """How many rows each process has."""
    own = torch.tensor([rows])
    sizes = [torch.empty_like(own) for _ in range(dist.get_world_size())]
    dist.all_gather(sizes, own, group=_host_group())
    return [int(size) for size in sizes]


class _Gather(torch.autograd.Function):
    """Rows of all processes; a row has the sum of the gradients that all have of it."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, sizes: List[int]) -> Tensor:
        ctx.own = _own_rows(sizes)
        most = max(sizes)
        padded = rows
        if len(rows) < most:  # all send as many
            padded = rows.new_zeros((most, *rows.shape[1:]))
            padded[: len(rows)] = rows
        parts = [torch.empty_like(padded) for _ in sizes]
        dist.all_gather(parts, padded.contiguous())
        return torch.cat([part[:size] for part, size in zip(parts, sizes, strict=True)])

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tuple[Tensor, None]:
        grad = grad.contiguous().clone()
        dist.all_reduce(grad)
        return grad[ctx.own], None


def _own_rows(sizes: List[int]) -> slice:
    first = sum(sizes[: dist.get_rank()])
    return slice(first, first + sizes[dist.get_rank()])


def gather_rows(*tensors: Tensor) -> Tuple[List[Tensor], slice]:
    """Rows of all processes, in the order of their ranks.

    Every process must call it, with tensors of the same shapes but for the number of
    rows, which may be none. It is differentiable: where each process computes its part
    of a sum over all rows, and gradients of parameters are averaged over the processes
    as DDP does, they are those of the whole sum over the number of processes.

    Args:
        *tensors (Tensor): Rows of this process, shape (N, ...), of one N.

    Returns:
        tuple[list[Tensor], slice]: The rows of all, shapes (N_all, ...), and which of
        them are this process's.
    """
    if process_count() == 1:
        return list(tensors), slice(0, len(tensors[0]))
    sizes = _sizes(len(tensors[0]))
    return [_Gather.apply(tensor, sizes) for tensor in tensors], _own_rows(sizes)


def mean_over_processes(values: Tensor) -> Tensor:
    """The mean of the values of all processes, in the share of this one.

    The average over the processes, which DDP takes of the gradients, is the mean. Of no
    values it is zero, with a gradient that is zero too: a batch may have no instance
    for a loss, such as a detector's without foreground, and the layers in front of it
    must get a gradient all the same, or DDP waits for it.

    Args:
        values (Tensor): Losses of this process's instances, of any shape.

    Returns:
        Tensor: Scalar; in a single process the mean.
    """
    return values.sum() / max(values.numel(), 1) * share_of_rows(values.numel())


def share_of_rows(rows: int) -> float:
    """What this process's rows are to those of an average process.

    Args:
        rows (int): Rows of this process, which may be none.

    Returns:
        float: By which a mean of this process's rows is multiplied, so that the average
        over the processes is the mean of all rows; 1 in a single process.
    """
    processes = process_count()
    if processes == 1:
        return 1.0
    return rows * processes / max(sum(_sizes(rows)), 1)
