"""Checkpoints are read without running code of theirs."""

import contextlib
import functools
import os
import pickle
import tarfile
import types
from collections import Counter, OrderedDict
from importlib import import_module
from typing import Any, Callable, Dict, Iterator

import numpy as np
import torch
from mmengine.logging import HistoryBuffer
from mmengine.runner import CheckpointLoader
from mmengine.runner import checkpoint as mmengine_checkpoint
from mmengine.utils import digit_version
from torch import nn

from pckd_mm.utils.checkpoint import explaining_unreadable

__all__ = [
    "allow_mmengine_checkpoints",
    "load_checkpoints_without_code",
    "weights_only_loading",
]

# Of the numbers that checkpoints hold beside tensors.
_DTYPES = ("float64", "float32", "int64", "int32")


def _history_buffer_method(owner: Any, name: str) -> Callable:
    """The one use of ``getattr`` in MMEngine's checkpoints: statistics by name."""
    if owner is not HistoryBuffer or name not in ("min", "max", "current", "mean"):
        raise pickle.UnpicklingError(
            f"Unsupported global: GLOBAL builtins.getattr of {owner} and {name}"
        )
    return getattr(HistoryBuffer, name)


# Pickles refer to it by this name.
_history_buffer_method.__module__ = "builtins"
_history_buffer_method.__name__ = _history_buffer_method.__qualname__ = "getattr"


def _under_other_name(function: Callable, module: str) -> Callable:
    """A function that pickles may name by another module."""

    @functools.wraps(function)
    def call(*args: Any) -> Any:
        return function(*args)

    call.__module__ = module
    return call


def _harmless_globals() -> list:
    """What a checkpoint of MMEngine's runner holds besides tensors.

    Each of them only rebuilds plain values: log histories, and the numpy scalars and
    arrays in them, whether numpy 1 or numpy 2 wrote them.
    """
    is_new = digit_version(np.__version__) >= digit_version("2")
    rebuilding = import_module(f"numpy.{'_core' if is_new else 'core'}.multiarray")
    allowed = [HistoryBuffer, _history_buffer_method, np.ndarray, np.dtype, Counter]
    for name in ("_reconstruct", "scalar"):
        function = getattr(rebuilding, name)
        for module in ("numpy.core.multiarray", "numpy._core.multiarray"):
            allowed.append(_under_other_name(function, module))
    # numpy >= 1.25 pickles a dtype as an object of its own class.
    for name in _DTYPES:
        dtype_class = getattr(getattr(np, "dtypes", None), f"{name.title()}DType", None)
        if dtype_class is not None:
            allowed.append(dtype_class)
    return allowed


# In Python, not in C; its types leave out what it is built of.
_PlainUnpickler: Any = pickle._Unpickler


class _RestrictedUnpickler(_PlainUnpickler):
    """What reads a file's pickle where torch's own unpickler cannot be extended.

    torch < 2.4 makes no other objects than tensors, whatever is on its list. This one
    finds, calls and fills what is on the list, and nothing else.
    """

    table: Dict[str, Any] = {}
    # What a pickle may fill with values; filling a function or class would change it.
    # Other dtypes could be given fields that lie about memory.
    filled = {torch.Tensor, nn.Parameter, OrderedDict, HistoryBuffer, np.ndarray}
    filled |= {type(np.dtype(name)) for name in _DTYPES}
    dispatch = dict(_PlainUnpickler.dispatch)

    def find_class(self, module: str, name: str) -> Any:
        found = f"{module}.{name}".replace("__builtin__.", "builtins.")
        if found not in self.table:
            raise pickle.UnpicklingError(f"Unsupported global: GLOBAL {found}")
        return self.table[found]

    def _check_callable(self, place: int) -> None:
        function = self.stack[place]
        if not any(function is item for item in self.table.values()):
            raise pickle.UnpicklingError(f"It would call {function!r}")

    def _load_reduce(self) -> None:
        self._check_callable(-2)
        self.load_reduce()

    def _load_newobj(self) -> None:
        self._check_callable(-2)
        self.load_newobj()

    def _load_build(self) -> None:
        if type(self.stack[-2]) not in self.filled:
            raise pickle.UnpicklingError(f"It would fill {type(self.stack[-2])}")
        self.load_build()

    def _refuse(self) -> None:
        raise pickle.UnpicklingError("It makes objects in a way that no tensors need")

    dispatch[pickle.REDUCE[0]] = _load_reduce
    dispatch[pickle.NEWOBJ[0]] = _load_newobj
    dispatch[pickle.BUILD[0]] = _load_build
    for code in (pickle.INST, pickle.OBJ, pickle.NEWOBJ_EX):
        dispatch[code[0]] = _refuse
    del code


def _encode_latin1(text: str, encoding: str) -> bytes:
    """Bytes, as pickles of protocol 2 hold them."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"It holds bytes as {encoding!r}")
    return text.encode(encoding)


def _restricted_load(file: Any, **kwargs: Any) -> Any:
    return _RestrictedUnpickler(file, **kwargs).load()


def allow_mmengine_checkpoints() -> None:
    """Extend the allow-list of ``torch.load(..., weights_only=True)``."""
    allowed = _harmless_globals()
    if hasattr(torch.serialization, "add_safe_globals"):
        torch.serialization.add_safe_globals(allowed)
        return
    serialization: Any = torch.serialization
    table = dict(serialization._weights_only_unpickler._get_allowed_globals())
    for item in (*allowed, torch.device, set, bytearray):
        table[f"{item.__module__}.{item.__qualname__}"] = item
    table["_codecs.encode"] = _encode_latin1
    _RestrictedUnpickler.table = table
    serialization._weights_only_unpickler = types.SimpleNamespace(
        Unpickler=_RestrictedUnpickler, load=_restricted_load
    )


def _refusing(check: Callable, what: str, inner: Callable) -> Callable:
    """``inner``, but for files of a kind that ``check`` recognises."""

    @functools.wraps(inner)
    def refusing(file: Any, *args: Any, **kwargs: Any) -> Any:
        if check(file):
            raise pickle.UnpicklingError(f"{what}, which may run code when it is read")
        return inner(file, *args, **kwargs)

    return refusing


def _is_tar(file: Any) -> bool:
    place = file.tell()
    try:
        return tarfile.is_tarfile(file)
    finally:
        file.seek(place)


@contextlib.contextmanager
def _without_formats_that_hold_code() -> Iterator[None]:
    """Refuse TorchScript archives and tar files, whatever the version of torch.

    Before torch 2.6 ``torch.load`` hands the first to ``torch.jit.load`` and unpacks
    the second, in the weights-only form too.
    """
    module, before = torch.serialization, {}
    is_script = getattr(module, "_is_torchscript_zip", None)
    if is_script is not None:
        before["_is_torchscript_zip"] = is_script
        module._is_torchscript_zip = _refusing(
            is_script, "It is a TorchScript archive", is_script
        )
    load = getattr(module, "_legacy_load", None)
    if load is not None:
        before["_legacy_load"] = load
        module._legacy_load = _refusing(_is_tar, "It is a tar file", load)
    try:
        yield
    finally:
        for name, function in before.items():
            setattr(module, name, function)


@contextlib.contextmanager
def weights_only_loading() -> Iterator[None]:
    """Within it no ``torch.load`` runs code from a file, whoever calls it.

    ``torch.load`` itself is safe by default only since torch 2.6, and the download
    helpers of torch still ask for the unsafe form.
    """
    # torch refuses both at a time.
    names = ("TORCH_FORCE_WEIGHTS_ONLY_LOAD", "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD")
    before = {name: os.environ.pop(name, None) for name in names}
    os.environ[names[0]] = "1"
    try:
        with _without_formats_that_hold_code():
            yield
    finally:
        del os.environ[names[0]]
        os.environ.update(
            {name: old for name, old in before.items() if old is not None}
        )


def load_checkpoints_without_code() -> None:
    """Make MMEngine's one entrance for checkpoints, whatever their address, safe.

    The maintained line's loader allows more for the moment, ``getattr`` of anything
    among it, and forbids afterwards what :func:`allow_mmengine_checkpoints` allows;
    where a file is refused it says that it runs its code then. Torch's own takes its
    place.

    Resuming also runs ``meta['config']`` of a checkpoint as Python (a form that old
    versions wrote), so that entry is left out.
    """
    if hasattr(mmengine_checkpoint, "_safe_torch_load"):
        mmengine_checkpoint._safe_torch_load = lambda *args, **kwargs: torch.load(
            *args, **kwargs
        )
    load = CheckpointLoader.load_checkpoint.__func__

    @functools.wraps(load)
    def load_checkpoint(cls: type, filename: str, *args: Any, **kwargs: Any) -> Any:
        with explaining_unreadable(filename), weights_only_loading():
            checkpoint = load(cls, filename, *args, **kwargs)
        if isinstance(checkpoint, dict) and isinstance(checkpoint.get("meta"), dict):
            checkpoint["meta"].pop("config", None)
        return checkpoint

    CheckpointLoader.load_checkpoint = classmethod(load_checkpoint)
