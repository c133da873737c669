"""A step of training that leaves no trace."""

from typing import Any, List

import torch
from mmengine.dataset import BaseDataset
from mmengine.model import BaseModel
from torch.utils.data import DataLoader, Dataset

from pckd_mm.utils.randomness import isolated_randomness

__all__ = ["dry_run"]


def dry_run(model: BaseModel, loader: DataLoader) -> None:
    """Run the first and the last training image through a model and its losses.

    In evaluation mode, without gradient and without touching the random numbers of the
    run.

    Args:
        model (BaseModel): The model, such as a distillation of a student.
        loader (DataLoader): Training images.
    """
    dataset: BaseDataset = loader.dataset
    mode = model.training
    model.eval()
    try:
        with isolated_randomness(), torch.no_grad():
            batch = loader.collate_fn(_items(dataset, [0, len(dataset) - 1]))
            model(**model.data_preprocessor(batch, True), mode="loss")
    finally:
        model.train(mode)


def _items(dataset: Dataset, indices: List[int]) -> Any:
    """What the data loader would collate, of a data set with whole batches too."""
    if hasattr(dataset, "__getitems__"):
        return dataset.__getitems__(indices)
    return [dataset[index] for index in indices]
