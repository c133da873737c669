"""What the preview did in each epoch."""

import json
import os.path as osp
from typing import Any, Union

import torch
from mmengine.dist import all_reduce, is_main_process
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.runner import Runner
from torch import Tensor

from pckd_mm.engine.image_previews import ImagePreviews
from pckd_mm.engine.loops import place_in_pass, steps_of_pass
from pckd_mm.registry import HOOKS
from pckd_mm.utils.files import write_whole
from pckd_mm.utils.wrappers import unwrap


def _lines_before(path: str, epoch: int) -> str:
    """Those of a record, unless writing it was cut off."""
    kept = ""
    if osp.isfile(path):
        with open(path, encoding="utf-8", errors="replace") as file:
            for line in file:
                try:
                    if json.loads(line)["epoch"] >= epoch:
                        break
                except (KeyError, TypeError, ValueError):
                    break
                kept += line if line.endswith("\n") else f"{line}\n"
    return kept


def weight_counts(weight: Tensor, bins: int) -> Tensor:
    """Count weights in equal bins over [0, 1], without waiting for a device.

    The same as ``torch.histc``, which has no deterministic form on CUDA.

    Args:
        weight (Tensor): Weights, shape (N,).
        bins (int): Number of bins.

    Returns:
        Tensor: Counts, shape (bins,); 1 is in the last bin, and what is out of the
        range in none.
    """
    places = (weight * bins).floor().clamp_max(bins - 1).masked_fill(weight > 1, bins)
    return (places[:, None] == torch.arange(bins, device=weight.device)).sum(dim=0)


@HOOKS.register_module()
class PreviewRecordHook(Hook):
    """Record threshold, share of previewed images and weights of every epoch.

    Adds a line of JSON to ``preview.jsonl`` in the work dir after each pass over the
    training set, with ``epoch`` (from 1), ``threshold``, ``share`` (of images with a
    weight below 1) and ``histogram`` (counts of weights in equal bins over [0, 1]),
    and shows threshold and share in the log. Counts stay on the device meanwhile, so
    that no step waits for them. Lines from that epoch on, which a run that was cut off
    or an earlier one in the folder left, are removed. Of each training image
    ``preview_images.npz`` has how often it was previewed (:class:`ImagePreviews`),
    where the instances of the distiller are images.

    A strategy without a threshold, such as :class:`pckd_mm.models.FocalStrategy`,
    previews no images: nothing is recorded, and a line in the log says so.

    Args:
        bins (int): Bins of the histogram. Defaults to 20.
    """

    def __init__(self, bins: int = 20) -> None:
        self.bins = bins
        self._counts: Union[Tensor, int] = 0
        self._steps = 0
        self._images = ImagePreviews()
        self._is_off = False

    def before_train(self, runner: Runner) -> None:
        self._counts = self._steps = 0
        self._images = ImagePreviews()
        model = unwrap(runner.model)
        self._images.is_off = not model.instances_are_images
        preview = model.distiller.preview
        self._is_off = not hasattr(preview, "threshold")
        if self._is_off and preview is not None:
            print_log(
                f"PreviewRecordHook records nothing: {type(preview).__name__} has no "
                "threshold, and so previews no images.",
                logger="current",
            )

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Any = None,
        outputs: Any = None,
    ) -> None:
        model = unwrap(runner.model)
        weight = model.distiller.preview_weight
        if weight is None or self._is_off:
            return
        counts = weight_counts(weight.float(), self.bins)
        # As float64, since float32 counts to 16.8 million only.
        counts = torch.cat([counts, (weight < 1).sum()[None]]).double()
        self._counts = self._counts + counts
        self._steps += 1
        self._images.take((data_batch or {}).get("data_samples"), weight)
        steps = steps_of_pass(runner)
        number, step = place_in_pass(runner, batch_idx)
        if step + 1 < steps:
            return
        counts, recorded = self._counts, self._steps
        self._counts = self._steps = 0
        if recorded < steps:
            self._images.begin()
            return  # resumed in the middle of this pass
        self._images.end(runner, number + 1)
        all_reduce(counts)
        *histogram, previewed = counts.tolist()
        record = dict(
            epoch=number + 1,
            threshold=model.distiller.preview.threshold(model.progress),
            share=previewed / sum(histogram),
            histogram=histogram,
        )
        for name in ("threshold", "share"):
            runner.message_hub.update_scalar(f"train/preview_{name}", record[name])
        if is_main_process():
            path = osp.join(runner.work_dir, "preview.jsonl")
            lines = _lines_before(path, record["epoch"]) + json.dumps(record) + "\n"
            write_whole(path, lines.encode())
