"""Read all images of a data set once, to keep them."""

import random
import sys
from typing import List, Tuple

import numpy as np
import torch
from mmengine.dataset import BaseDataset
from mmengine.dist import is_main_process
from mmengine.utils import ProgressBar
from mmpretrain.structures import DataSample
from torch import Tensor

from pckd_mm.utils.devices import free_memory
from pckd_mm.utils.printable import printable

# Fewer images are read within seconds, without a progress bar.
_MANY = 4000
# Images between two steps of the bar, so that a log file does not fill with it.
_STEP = 1000


def read_once(
    dataset: BaseDataset, device: torch.device
) -> Tuple[Tensor, List[DataSample]]:
    """Read all images of a data set.

    Args:
        dataset (BaseDataset): Gives an image the same way each time.
        device (torch.device): Where there must be room for them.

    Returns:
        tuple[Tensor, list[DataSample]]: The images, of torch.uint8 and the shape
        (N, C, H, W), and their labels.

    Raises:
        ValueError: For images of several shapes or other numbers, for more of them
            than there is memory, and for a pipeline that draws random numbers.
    """
    total, states = len(dataset), _random_states()
    first, again = (_image(dataset, 0, dataset[0]) for _ in range(2))
    if not torch.equal(first, again):
        raise _is_random(dataset)
    _check_random(dataset, states)
    needed, available = total * first.numel(), free_memory(device)
    if available is not None and needed > available:
        raise ValueError(
            f"InMemoryDataset found {total} images of {shape_of(first)}, "
            f"{needed / 1e9:.3g} GB, for {available / 1e9:.3g} GB of memory that "
            f"are available; expected images that fit: put {name_of(dataset)} into the "
            "data loader itself, with worker processes."
        )
    images = torch.empty((total, *first.shape), dtype=torch.uint8)
    samples = []
    shows = total > _MANY and is_main_process()
    bar = ProgressBar(total, file=sys.stderr) if shows else None
    for index in range(total):
        item = dataset[index]
        image, sample = _image(dataset, index, item), item["data_samples"]
        if image.shape != first.shape:
            path = sample.get("img_path")
            raise ValueError(
                f"InMemoryDataset found image {index} of {name_of(dataset)} "
                f"{f'({printable(path)}) ' if path else ''}to be {shape_of(image)} "
                f"and image 0 {shape_of(first)}; expected one shape: resize or crop "
                "them in its pipeline."
            )
        images[index] = image
        samples.append(sample)
        done = index + 1
        if bar is not None and (done % _STEP == 0 or done == total):
            bar.update(done - bar.completed)
    if bar is not None:
        bar.file.write("\n")
    _check_random(dataset, states)  # a pipeline may draw for some images only
    return images, samples


def _image(dataset: BaseDataset, index: int, item: dict) -> Tensor:
    image = item.get("inputs")
    if not isinstance(image, Tensor) or image.dtype != torch.uint8 or image.ndim != 3:
        found = "no inputs"
        if isinstance(image, Tensor):
            found = f"inputs of {image.dtype} and the shape {tuple(image.shape)}"
        raise ValueError(
            f"InMemoryDataset found {found} in image {index} of {name_of(dataset)}; "
            "expected torch.uint8 of the shape (C, H, W): end its pipeline with "
            "PackInputs and leave normalisation to the data preprocessor."
        )
    return image


def _random_states() -> tuple:
    of_numpy = np.random.get_state(legacy=False)
    keys = of_numpy["state"]["key"].tobytes()
    place = of_numpy["state"]["pos"], of_numpy["has_gauss"], of_numpy["gauss"]
    of_torch = torch.get_rng_state().numpy().tobytes()
    return random.getstate(), keys, place, of_torch


def shape_of(image: Tensor) -> str:
    """The shape of an image in words, such as ``'3x32x32'``."""
    return "x".join(map(str, image.shape))


def name_of(dataset: BaseDataset) -> str:
    """What a data set is called in messages."""
    return type(dataset).__name__


def _check_random(dataset: BaseDataset, states: tuple) -> None:
    if _random_states() != states:
        raise _is_random(dataset)


def _is_random(dataset: BaseDataset) -> ValueError:
    pipeline = getattr(dataset, "pipeline", None)
    steps = getattr(pipeline, "transforms", None) or ["unknown"]
    names = ", ".join(
        step if isinstance(step, str) else type(step).__name__ for step in steps
    )
    return ValueError(
        f"InMemoryDataset found a pipeline of {name_of(dataset)} that draws random "
        f"numbers ({names}); expected one that gives an image the same way each "
        "time, since it runs once: leave augmentation to the data preprocessor, "
        "or put the data set into the data loader itself."
    )
