"""How often each image of the training set was previewed."""

import io
import os.path as osp
from typing import List, Optional, Sequence

import numpy as np
import torch
from mmengine.dist import all_reduce, is_main_process
from mmengine.logging import print_log
from mmengine.runner import Runner
from torch import Tensor

from pckd_mm.datasets.whole_batch import places_of
from pckd_mm.utils.files import write_whole
from pckd_mm.utils.nested_datasets import inner_datasets

__all__ = ["PREVIEW_IMAGES", "ImagePreviews"]

# The file in the work dir.
PREVIEW_IMAGES = "preview_images.npz"
# Where MMEngine's message hub, whose state is in checkpoints, has the counts: those of
# the epochs before a checkpoint, whatever was recorded after it.
_KEY = "preview_images"


class ImagePreviews:
    """Count for each training image in how many epochs it was previewed.

    ``preview_images.npz`` in the work dir has, for all images by their ``sample_idx``,
    ``previewed``, the epochs in which a weight of the image was below 1, ``seen``, how
    often the image was in a batch, and ``weight_sum``, the sum of its weights; and
    ``epochs``, the number of passes that were counted. A pass may repeat an image or
    leave it out. Weights stay on the device until its end, so that no step waits.

    Where images have no place of their own in the training set nothing is counted, and
    the log says why.
    """

    def __init__(self) -> None:
        self.is_off = False
        self.begin()

    def begin(self) -> None:
        """Begin a pass; forget one that is not whole."""
        self._places: List[Tensor] = []
        self._weights: List[Tensor] = []
        self._reason = ""

    def take(self, data_samples: Optional[Sequence], weights: Tensor) -> None:
        """Take the weights of a batch.

        Args:
            data_samples (Sequence[DataSample], optional): Its data samples.
            weights (Tensor): Its preview weights, shape (B,).
        """
        if self.is_off or self._reason:
            return
        places = places_of(data_samples or [])
        if places is None or len(places) != len(weights):
            self._reason = (
                "the data samples have no sample_idx, the place of each image in the "
                "training set: leave it among the meta_keys of PackInputs"
            )
            return
        self._places.append(places)
        # A copy, since a captured graph writes the next batch's into the same memory.
        self._weights.append(weights.detach().clone())

    def end(self, runner: Runner, epoch: int) -> None:
        """Add a whole pass, of all processes, and write the file.

        Args:
            runner (Runner): The runner.
            epoch (int): Number of the pass, from 1.
        """
        if self.is_off:
            return
        reason = self._reason or self._why_not(runner)
        # All processes go on, or none: they exchange counts.
        stops = torch.tensor([int(bool(reason))])
        all_reduce(stops)
        if stops.item():
            self.is_off = True
            reason = reason or "another process cannot count its images"
            print_log(f"{PREVIEW_IMAGES} is not written: {reason}.", logger="current")
            self.begin()
            return
        weights, places = torch.cat(self._weights), torch.cat(self._places).cpu()
        self.begin()
        (images,) = inner_datasets(runner.train_dataloader.dataset)
        counts = _pass_counts(places, weights.double().cpu(), len(images))
        state = _add(runner.message_hub.runtime_info.get(_KEY), counts, epoch)
        runner.message_hub.update_info(_KEY, state)
        if is_main_process():
            file = io.BytesIO()
            arrays = {k: v for k, v in state.items() if k != "epoch"}
            np.savez_compressed(file, **arrays)
            path = osp.join(runner.work_dir, PREVIEW_IMAGES)
            write_whole(path, file.getvalue())

    def _why_not(self, runner: Runner) -> str:
        """Why the images of a pass cannot be counted; empty where they can."""
        sets = list(inner_datasets(runner.train_dataloader.dataset))
        if len(sets) != 1:
            return (
                f"the training set is made of {len(sets)} data sets, and sample_idx is "
                "the place in one of them"
            )
        last = max(int(places.max()) for places in self._places)
        if last >= len(sets[0]):
            return f"there is a sample_idx {last} among {len(sets[0])} images"
        return ""


def _pass_counts(places: Tensor, weights: Tensor, total: int) -> dict:
    """What all processes saw of each image in a pass."""
    seen = torch.bincount(places, minlength=total)
    weight_sum = torch.zeros(total, dtype=torch.float64)
    weight_sum.index_add_(0, places, weights)
    previewed = torch.bincount(places[weights < 1], minlength=total)
    for count in (seen, weight_sum, previewed):
        all_reduce(count)
    # An image that is there twice was previewed in one epoch, not in two.
    return dict(
        previewed=(previewed > 0).int(), seen=seen.int(), weight_sum=weight_sum.float()
    )


def _add(state: Optional[dict], counts: dict, epoch: int) -> dict:
    """The counts of earlier epochs and this one's."""
    if (
        state is None
        or state["epoch"] >= epoch  # an earlier run's in this process
        or len(state["seen"]) != len(counts["seen"])
    ):
        return dict(counts, epochs=1, epoch=epoch)
    added = {name: state[name] + count for name, count in counts.items()}
    return dict(added, epochs=state["epochs"] + 1, epoch=epoch)
