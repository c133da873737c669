"""Processes that train together on a CPU."""

import gc
import time

import torch
from mmengine.config import Config

__all__ = ["end_cpu_processes", "end_process_group", "prepare_cpu_processes"]

# Seconds that gloo's threads get for the tensors of the last operation.
_SETTLING = 0.2


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

    The runner must be out of use.
    """
    if torch.distributed.is_initialized() and not torch.cuda.is_available():
        end_process_group()


def end_process_group() -> None:
    """End gloo's process group in all processes, whose DDP must be out of use.

    Its threads free tensors, for which they need the interpreter: a process that ends
    with them alive is aborted now and then, and one that waits for their end with the
    interpreter in its hands, as torch does, hangs if one of them needs it then. They
    get a moment before, after which that is very unlikely.
    """
    torch.distributed.barrier()
    # DDP keeps the group, and the runner's hooks and loops, which refer to each other,
    # keep DDP.
    gc.collect()
    time.sleep(_SETTLING)
    torch.distributed.destroy_process_group()
