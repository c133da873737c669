"""Runs that validate on a part of the training images, and leave the test set alone."""

from copy import deepcopy
from typing import Any, List, Sequence, Tuple

from mmengine.config import Config, ConfigDict

from pckd_mm.utils.class_name import class_name
from pckd_mm.utils.nested_datasets import HELD_OUT, is_held_out

# A change of the draw would change what all comparisons so far were made on.
SEED = 0
# Of boxes, which are held out by their files' content. One that is not 0: pckd init
# holds images out by 0, and of those that it kept none would be held out again.
CONTENT_SEED = 1
# Metrics of boxes, and those that read what is there from a file of their own.
_OF_BOXES = ("VOCMetric", "CocoMetric", "WholeCocoMetric")
_OF_COCO = _OF_BOXES[1:]
# What detectors and these need of an image: what mmdet keeps where nothing is said, and
# the boxes.
_META_KEYS = (
    *("img_id", "img_path", "ori_shape", "img_shape"),
    *("scale_factor", "flip", "flip_direction", "instances"),
)


def hold_out(cfg: Config, share: float, seed: int = SEED) -> None:
    """Train a config on a part of its training images, validate and test on the rest.

    The images that are held out go through the pipeline of the validation. The data
    set that the config tests on is in the config no more. Images with boxes are held
    out by their files' content.

    Args:
        cfg (Config): Config of a classifier or a detector; changed in place.
        share (float): Share of each category, or of the images with boxes, that is held
            out, between 0 and 1.
        seed (int): Seed of the draw. Defaults to 0.

    Raises:
        ValueError: For a share that is not between 0 and 1, and for data sets that are
            made of several.
    """
    if not 0 < share < 1:
        raise ValueError(
            f"The share of training images to hold out is {share}; expected one "
            "between 0 and 1, such as 0.1."
        )
    train, owner = _innermost(cfg, "train_dataloader")
    val, val_owner = _innermost(cfg, "val_dataloader")
    held = deepcopy(train)
    # Of a part that is held out already, the images are read inside of it.
    inner = held.dataset if is_held_out(held) else held
    inner.test_mode = True
    if "pipeline" in val:
        held.pipeline = val.pipeline
    shared = dict(type=HELD_OUT, share=share, seed=seed)
    evaluators = _evaluators(cfg)
    if any(class_name(each["type"]) in _OF_BOXES for each in evaluators):
        shared.update(by="content", seed=seed + CONTENT_SEED)
    if any(class_name(each["type"]) in _OF_COCO for each in evaluators):
        _compare_with_instances(evaluators, held.get("pipeline", []))
    owner.dataset = ConfigDict(dataset=train, part="train", **shared)
    val_owner.dataset = ConfigDict(dataset=held, part="val", **shared)
    cfg.test_dataloader = deepcopy(cfg.val_dataloader)
    cfg.test_evaluator = deepcopy(cfg.val_evaluator)


def _evaluators(cfg: Config) -> List[ConfigDict]:
    """The metrics of the validation."""
    found = cfg.val_evaluator
    return list(found) if isinstance(found, (list, tuple)) else [found]


def _compare_with_instances(
    evaluators: Sequence[ConfigDict], pipeline: Sequence[ConfigDict]
) -> None:
    """Let COCO's metric read the boxes of the images: its file is of other ones."""
    for evaluator in evaluators:
        if class_name(evaluator["type"]) in _OF_COCO:
            evaluator.ann_file = None
    for step in pipeline:
        if class_name(step["type"]) == "PackDetInputs":
            own = step.get("meta_keys") or ()
            step.meta_keys = tuple(dict.fromkeys([*own, *_META_KEYS]))


def _innermost(cfg: Config, loader: str) -> Tuple[ConfigDict, ConfigDict]:
    """The data set that reads the images, and what it is the ``dataset`` of."""
    owner: Any = cfg[loader]
    while "dataset" in owner.dataset and not is_held_out(owner.dataset):
        owner = owner.dataset
    if "datasets" in owner.dataset:
        raise ValueError(
            f"{loader} has a {owner.dataset.type} of several data sets; expected a "
            "single one, of which a share of each category can be held out: validate "
            "on images of your own instead."
        )
    return owner.dataset, owner
