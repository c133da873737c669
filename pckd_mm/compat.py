"""Workarounds for library versions: the only module that holds any.

Importing it (``import pckd_mm`` does) makes MMRazor 1.0.0 importable on torch >= 2.0
and beside mmcv > 2.1.0, and lets weights-only loading read the checkpoints that
MMEngine writes.
"""

import contextlib
import functools
import gc
import importlib
import os
import pickle
import sys
import types
from typing import Any, Callable, Iterator

import mmcv
import numpy as np
import torch
from mmengine.config import Config
from mmengine.logging import HistoryBuffer
from mmengine.runner import CheckpointLoader
from mmengine.utils import digit_version

__all__ = ["end_cpu_processes", "prepare_cpu_processes", "weights_only_loading"]

_QUANTIZATION = "mmrazor.structures.quantization"


def _disable_mmrazor_quantization() -> None:
    """Let ``mmrazor.models`` import where torch lacks the names its quantizers use.

    MMRazor 1.0.0 imports private quantization names that torch 2.0 removed. An empty
    stand-in for the one module that needs them switches quantization off and leaves
    the rest of MMRazor as it is.
    """
    if _QUANTIZATION in sys.modules:
        return
    stub = types.ModuleType(_QUANTIZATION, "Switched off by pckd_mm.compat.")
    for name in ("BackendConfigs", "QConfigHandler", "QSchemeHandler"):
        setattr(stub, name, type(name, (), {"__module__": _QUANTIZATION}))
    sys.modules[_QUANTIZATION] = stub


def _import_mmrazor() -> None:
    """Import ``mmrazor`` beside an mmcv that is newer than 2.1.0.

    MMRazor 1.0.0 asserts mmcv <= 2.1.0 when it is imported and works with the newer
    ones of the maintained line (the ``onedl-*`` distributions), so the version is
    another one just for this moment.
    """
    newest = "2.1.0"
    version = mmcv.__version__
    if digit_version(version) > digit_version(newest):
        mmcv.__version__ = newest
    try:
        importlib.import_module("mmrazor")
    finally:
        mmcv.__version__ = version


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


def _harmless_globals() -> list:
    """What a checkpoint of MMEngine's runner holds besides tensors.

    Each of them only rebuilds plain values: log histories, and the numpy scalars and
    arrays in them.
    """
    multiarray = (getattr(np, "_core", None) or np.core).multiarray
    allowed = [
        HistoryBuffer,
        _history_buffer_method,
        multiarray._reconstruct,
        multiarray.scalar,
        np.ndarray,
        np.dtype,
    ]
    # numpy >= 1.25 pickles a dtype as an object of its own class.
    for name in ("Float64DType", "Float32DType", "Int64DType", "Int32DType"):
        dtype_class = getattr(getattr(np, "dtypes", None), name, None)
        if dtype_class is not None:
            allowed.append(dtype_class)
    return allowed


def _allow_mmengine_checkpoints() -> None:
    """Extend the allow-list of ``torch.load(..., weights_only=True)``."""
    allowed = _harmless_globals()
    if hasattr(torch.serialization, "add_safe_globals"):
        torch.serialization.add_safe_globals(allowed)
        return
    # torch < 2.4 has the restricted unpickler, but no way to extend it, and compares
    # names as python 2 spelled them.
    from torch import _weights_only_unpickler as unpickler

    table = unpickler._get_allowed_globals()
    for item in allowed:
        table[f"{item.__module__}.{item.__qualname__}"] = item
    table["__builtin__.getattr"] = _history_buffer_method


@contextlib.contextmanager
def weights_only_loading() -> Iterator[None]:
    """Within it no ``torch.load`` runs code from a file, whoever calls it.

    ``torch.load`` itself is safe by default only since torch 2.6, and the download
    helpers of torch still ask for the unsafe form.
    """
    name = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"
    before = os.environ.get(name)
    os.environ[name] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


def _load_checkpoints_without_code() -> None:
    """Make MMEngine's one entrance for checkpoints, whatever their address, safe.

    Resuming also runs ``meta['config']`` of a checkpoint as Python (a form that old
    versions wrote), so that entry is left out.
    """
    load = CheckpointLoader.load_checkpoint.__func__

    @functools.wraps(load)
    def load_checkpoint(cls, *args, **kwargs):
        with weights_only_loading():
            checkpoint = load(cls, *args, **kwargs)
        if isinstance(checkpoint, dict) and isinstance(checkpoint.get("meta"), dict):
            checkpoint["meta"].pop("config", None)
        return checkpoint

    CheckpointLoader.load_checkpoint = classmethod(load_checkpoint)


def prepare_cpu_processes(cfg: Config) -> None:
    """Let torchrun's processes work together where there is no GPU, over gloo.

    MMEngine's start-up selects a CUDA device first, whatever the backend, which it
    skips for a process group that exists; and it names a device to DDP, which refuses
    that for a model on the CPU.

    Args:
        cfg (Config): Config of the run, changed in place: its ``model_wrapper_cfg``.
    """
    if cfg.launcher == "none" or torch.cuda.is_available():
        return
    if cfg.launcher == "pytorch" and not torch.distributed.is_initialized():
        torch.distributed.init_process_group("gloo")
    wrapper = dict(
        type="MMDistributedDataParallel",
        broadcast_buffers=False,
        find_unused_parameters=cfg.get("find_unused_parameters", False),
    )
    wrapper.update(cfg.get("model_wrapper_cfg") or {})
    cfg.model_wrapper_cfg = dict(wrapper, device_ids=None)


def end_cpu_processes() -> None:
    """End what :func:`prepare_cpu_processes` began, once all processes are done.

    The runner must be out of use. A process that ends with gloo's threads alive is
    aborted now and then: they free tensors, for which they need the interpreter.
    """
    if torch.distributed.is_initialized() and not torch.cuda.is_available():
        torch.distributed.barrier()
        # DDP keeps the group, and the runner's hooks and loops, which refer to each
        # other, keep DDP.
        gc.collect()
        torch.distributed.destroy_process_group()


_disable_mmrazor_quantization()
_import_mmrazor()
_allow_mmengine_checkpoints()
_load_checkpoints_without_code()
