"""Images in memory that lie on the device of the networks."""

from typing import cast

import torch
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from pckd_mm.datasets import InMemoryDataset
from pckd_mm.engine.endless_batches import EndlessBatches
from pckd_mm.utils.devices import free_memory

__all__ = ["put_data_on_device"]

# Of the memory that is free before the first step, which networks need too.
_SHARE = 0.25
# Students of one teacher's process, which look at that memory at the same time.
_STUDENTS = 8


def put_data_on_device(
    runner: Runner, device: torch.device, gets_batches: bool = False
) -> str:
    """Let the images of a run lie on a device, where they fit.

    Args:
        runner (Runner): The runner, before the first step.
        device (torch.device): The device of its networks.
        gets_batches (bool): Whether another process gives the batches to train on.
            Defaults to False.

    Returns:
        str: In words for training and validation whether they do, and if not, why.
    """
    loaders = {"training": runner.train_dataloader}
    loaders["validation"] = getattr(runner, "val_dataloader", None)
    share = _SHARE / _STUDENTS if gets_batches else _SHARE
    words = []
    for name, loader in loaders.items():
        if not isinstance(loader, DataLoader):
            continue
        # A loop of iterations has begun to go through its loader before.
        batches = getattr(
            getattr(runner, "train_loop", None), "dataloader_iterator", None
        )
        has_begun = name == "training" and not isinstance(
            batches, (type(None), EndlessBatches)
        )
        if name == "training" and gets_batches:
            why = "its batches come from another process"
        else:
            why = _why_not(loader, device, has_begun, share)
        if why:
            words.append(f"off in {name}, {why}")
            continue
        dataset = cast(InMemoryDataset, loader.dataset)  # else there is a reason
        dataset.to(device)
        loader.pin_memory = False  # which is for tensors on the host
        megabytes = dataset.nbytes / 1e6
        words.append(f"on in {name}, {megabytes:.1f} MB on {device}")
    return ", ".join(words)


def _why_not(
    loader: DataLoader, device: torch.device, has_begun: bool, share: float
) -> str:
    """Why the images of a data loader stay where they are; nothing if they move."""
    dataset = loader.dataset
    if not isinstance(dataset, InMemoryDataset):
        return f"the images of {type(dataset).__name__} are not in memory"
    if device.type != "cpu" and loader.num_workers:
        return "its workers have no access to a GPU (num_workers=0 lets it be)"
    if device.type != "cpu" and has_begun and loader.pin_memory:
        return "its loop of iterations pins batches (pin_memory=False lets it be)"
    needed, free = dataset.nbytes, free_memory(device)
    if dataset.device != device and free is not None and needed > share * free:
        return (
            f"it has {needed / 1e9:.3g} GB of images for {free / 1e9:.3g} GB that are "
            f"free on {device}, of which it may take {100 * share:.0f} %"
        )
    return ""
