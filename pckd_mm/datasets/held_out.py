"""A part of the training images that is held out, to choose settings on."""

import hashlib
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Collection, Dict, List, Optional, Sequence, Tuple, Union

import numpy as np
from mmengine.dataset import BaseDataset

from pckd_mm.registry import DATASETS

PARTS = ("train", "val")


def stratified_split(
    labels: Sequence[int], share: float, seed: int = 0
) -> Tuple[np.ndarray, np.ndarray]:
    """Hold out a share of each category at random.

    The same labels, share and seed give the same parts, in every process.

    Args:
        labels (Sequence[int]): Label of each image.
        share (float): Share to hold out, between 0 and 1. Of each category that many
            images, rounded, and at least one; a category of one image keeps it.
        seed (int): Seed of the draw. Defaults to 0.

    Returns:
        tuple[ndarray, ndarray]: Places of the images that are kept and of those that
        are held out, each in ascending order.

    Raises:
        ValueError: For a share that is not between 0 and 1.
    """
    _check_share(share)
    classes = np.asarray(labels)
    rng = np.random.default_rng(seed)
    held_out = np.zeros(len(classes), dtype=bool)
    for label in np.unique(classes):
        places = rng.permutation(np.flatnonzero(classes == label))
        count = max(1, round(share * len(places)))
        held_out[places[: min(count, len(places) - 1)]] = True
    return np.flatnonzero(~held_out), np.flatnonzero(held_out)


def content_split(
    paths: Sequence[str],
    labels: Sequence[Union[int, Collection[int]]],
    share: float,
    seed: int = 0,
) -> Tuple[np.ndarray, np.ndarray]:
    """Hold out images by a hash of their files' content.

    An image stays in its part whatever it is renamed to, and whatever images are added
    or removed.

    Args:
        paths (Sequence[str]): File of each image. One that cannot be read is taken by
            its name.
        labels (Sequence[int | Collection[int]]): Label of each image, or all those of
            what is in it. A category whose images would all be held out keeps them.
        share (float): Share to hold out, between 0 and 1, which is met by chance.
        seed (int): Seed of the hash, 0 or above. Of what one seed kept, another one
            holds a share out. Defaults to 0.

    Returns:
        tuple[ndarray, ndarray]: Places of the images that are kept and of those that
        are held out, each in ascending order.

    Raises:
        ValueError: For a share that is not between 0 and 1.
    """
    _check_share(share)
    with ThreadPoolExecutor() as pool:
        found = list(pool.map(partial(_place_of_content, seed=seed), paths))
    held_out = np.array(found) < share
    places: Dict[int, List[int]] = {}
    for place, label in enumerate(labels):
        for each in label if isinstance(label, Collection) else [label]:
            places.setdefault(each, []).append(place)
    for of_label in places.values():
        if held_out[of_label].all():
            held_out[of_label] = False
    return np.flatnonzero(~held_out), np.flatnonzero(held_out)


def _place_of_content(path: str, seed: int) -> float:
    """A number between 0 and 1 that is drawn by what a file holds."""
    try:
        content = Path(path).read_bytes()
    except OSError:  # whoever loads it says what is wrong
        content = Path(path).name.encode(errors="surrogateescape")
    salt = seed.to_bytes(8, "big")  # eight zeros are no salt
    digest = hashlib.blake2b(content, digest_size=8, salt=salt).digest()
    return int.from_bytes(digest, "big") / 2**64


def _check_share(share: float) -> None:
    if not 0 < share < 1:
        raise ValueError(f"Found a share of {share}; expected one between 0 and 1.")


@DATASETS.register_module()
def held_out_part(
    dataset: Union[dict, BaseDataset],
    part: str,
    share: float = 0.1,
    seed: int = 0,
    by: str = "draw",
    pipeline: Optional[Sequence[dict]] = None,
    lazy_init: bool = False,
) -> BaseDataset:
    """A data set with one part of its images.

    Settings are compared on images that are held out of the training, and the test set
    is left alone::

        train_dataset = dict(type="pckd_mm.held_out_part", dataset=train, part="train")
        val_dataset = dict(type="pckd_mm.held_out_part", dataset=train, part="val")

    Args:
        dataset (dict | BaseDataset): The config of the data set, or the data set, which
            keeps its images: the part is a copy.
        part (str): ``'train'``, what is kept, or ``'val'``, what is held out.
        share (float): Share of each category that is held out. Defaults to 0.1.
        seed (int): Seed of the draw, or of the hash. Defaults to 0.
        by (str): ``'draw'`` for :func:`stratified_split`, or ``'content'`` for
            :func:`content_split`, of data sets that read files; those of boxes are held
            out by content alone. Defaults to 'draw'.
        pipeline (Sequence[dict], optional): Steps in place of those of the data set's
            config; here tools that predict files look for them. Defaults to None.
        lazy_init (bool): Whether to read nothing, and leave out no image: mmdet asks
            for the meta information alone. Defaults to False.

    Returns:
        BaseDataset: The data set, of its own class, with that part of its images.

    Raises:
        ValueError: For another part or share, for images without a label or boxes,
            for a draw of images with boxes, for the pipeline of a data set that is
            built, and where no image can be held out.
    """
    if part not in PARTS:
        raise ValueError(
            f"held_out_part found part={part!r}; expected 'train' or 'val'."
        )
    if by not in ("draw", "content"):
        raise ValueError(
            f"held_out_part found by={by!r}; expected 'draw' or 'content'."
        )
    is_built = not isinstance(dataset, dict)
    if is_built and pipeline is not None:
        raise ValueError(
            "held_out_part found a pipeline for a data set that is built; expected one "
            "beside a config: give the data set its pipeline when you build it."
        )
    if isinstance(dataset, dict):
        steps = {} if pipeline is None else {"pipeline": pipeline}
        lazily = {"lazy_init": True} if lazy_init else {}
        dataset = DATASETS.build({**dataset, **steps, **lazily})
    if lazy_init:
        return dataset
    dataset.full_init()
    paths: List[str] = []
    labels: List[Any] = []  # that of each image, or those in it
    for index in range(len(dataset)):
        info = dataset.get_data_info(index)
        paths.append(info.get("img_path", ""))
        labels.append(_labels_of(info, by, index))
    if by == "content":
        parts = content_split(paths, labels, share, seed)
    else:
        parts = stratified_split(labels, share, seed)
    if not len(parts[1]):
        raise ValueError(
            f"held_out_part found {len(labels)} images, of which none can be held out "
            f"as a share of {share}; expected two or more of a category, or a larger "
            "share."
        )
    places = parts[PARTS.index(part)].tolist()
    if is_built:  # whose owner may ask for the other part
        return dataset.get_subset(places)
    dataset.get_subset_(places)
    return dataset


def _labels_of(info: dict, by: str, index: int) -> Union[int, Collection[int]]:
    """Label of an image, or those of the objects in it."""
    label = info.get("gt_label")
    if by == "content" and label is None and "instances" in info:
        return {instance["bbox_label"] for instance in info["instances"]}
    if not isinstance(label, (int, np.integer)):
        raise ValueError(
            f"held_out_part found gt_label={label!r} of image {index}; expected one "
            "label, since each category gives its share: name the images that are held "
            "out in an annotation file of their own, or hold images with boxes out by "
            "their content, by='content'."
        )
    return int(label)
