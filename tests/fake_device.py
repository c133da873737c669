"""A device that need not be there: what mixes with the host, and what waits for it.

Tensors have a device, a shape and a dtype, and no numbers. So an operator that gets
some on the device and some on the host raises, and so does the host where it asks for a
number. Networks and batches are made as ever and then put there: a copy of such a
tensor (``copy.deepcopy``) has the address of no memory, and the process dies of it.
"""

import contextlib
from typing import Any, Iterator, List
from unittest import mock

import pytest
import torch
from mmengine.model import BaseModel
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten

# cuda runs what a GPU runs, up to autograd's engine, which asks for a real one. On meta
# the engine works, and so do the optimizers.
KINDS = ("cuda", "meta")
_COPIES = ("_to_copy", "copy_", "copy")
_INDEXES = ("index", "index_put", "index_put_", "_index_put_impl_")


def _is_there(value: Any) -> bool:
    return isinstance(value, Tensor) and value.device.type in KINDS


class FakeDevice(TorchDispatchMode):
    """Collect the copies between host and device that the host waits for.

    Attributes:
        waits (list[str]): What was waited for.
    """

    def __init__(self) -> None:
        super().__init__()
        self.waits: List[str] = []

    def put(self, model: BaseModel, kind: str) -> BaseModel:
        """Move a model to the device, as a runner does, and forget the waits.

        Args:
            model (BaseModel): The model.
            kind (str): One of ``KINDS``.

        Returns:
            BaseModel: The model, in training mode.
        """
        model.to(kind)
        if hasattr(model, "distiller"):
            # Parameters are other objects there, for once, and recorders keep some.
            model.distiller.prepare_from_teacher(model.teacher)
        self.waits.clear()
        return model.train()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        name = func.overloadpacket.__name__
        given = [x for x in tree_flatten((args, kwargs))[0] if isinstance(x, Tensor)]
        if name in _COPIES:
            source = given[-1]
            if _is_there(source) and not _is_there(result):
                self.waits.append("a copy to the host")
            elif _is_there(result) and not _is_there(source):
                asks = not kwargs.get("non_blocking", len(args) > 2 and args[2])
                # Of memory that is not pinned a copy may wait whatever it is told.
                is_pinned = result.device.type == "meta" or hasattr(source, "pinned")
                if asks or not is_pinned:
                    self.waits.append("a copy to the device")
        elif name in _INDEXES and _is_there(given[0]):
            # torch copies what it indexes by, and waits for that.
            if any(index is not None and not _is_there(index) for index in args[1]):
                self.waits.append("an index on the host")
        return result


def pin(tensor: Tensor, device: Any = None) -> Tensor:
    """Note that a tensor is in pinned memory, as a data loader would have it."""
    tensor.pinned = True
    return tensor


_torch_autocast = torch.autocast


def _autocast(device_type: str, *args: Any, **kwargs: Any) -> Any:
    if device_type == "meta":  # which torch's own does not know
        return contextlib.nullcontext()
    return _torch_autocast(device_type, *args, **kwargs)


def skip_without_fakes() -> None:
    """Skip a test where torch's tensors without numbers ask for a real device."""
    if torch.__version__ < (2, 2):
        pytest.skip(f"fake tensors of torch {torch.__version__} need a driver")


@contextlib.contextmanager
def fake_device() -> Iterator[FakeDevice]:
    """Let devices be there, without numbers.

    What is made within has none either, be it on the host.

    Yields:
        FakeDevice: The devices.
    """
    skip_without_fakes()
    with contextlib.ExitStack() as stack:
        # Pinned memory and mixed precision ask the driver.
        for change in (
            mock.patch.object(Tensor, "pin_memory", pin),
            mock.patch.object(torch, "autocast", _autocast),
            mock.patch("torch.cuda.amp.common.amp_definitely_not_available", bool),
            mock.patch("torch.cuda.is_bf16_supported", lambda *_: True),
            FakeTensorMode(allow_non_fake_inputs=True),
        ):
            stack.enter_context(change)
        yield stack.enter_context(FakeDevice())
