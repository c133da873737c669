"""What the examples share: letters as tensors, small networks, the share of hits."""

from typing import Tuple

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import pckd_mm  # noqa: F401, registers the data set
from pckd_mm.datasets import LettersDataset

CLASSES = len(LettersDataset.METAINFO["classes"])
SHAPE = (1, 16, 16)


def letters(split: str, per_class: int) -> TensorDataset:
    """Grey images of -1 to 1, shape (N, 1, 16, 16), and their labels, shape (N,)."""
    dataset = LettersDataset(split=split, per_class=per_class)
    items = [dataset.get_data_info(index) for index in range(len(dataset))]
    pixels = torch.stack([torch.from_numpy(item["img"][..., 0]) for item in items])
    labels = torch.tensor([item["gt_label"] for item in items])
    return TensorDataset(pixels[:, None] / 127.5 - 1, labels)


def network(width: int) -> nn.Module:
    """A small convolutional network that ends in one linear classifier."""

    def block(inputs: int, outputs: int) -> nn.Module:
        convolution = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        return nn.Sequential(
            convolution, nn.BatchNorm2d(outputs), nn.ReLU(), nn.MaxPool2d(2)
        )

    return nn.Sequential(
        block(SHAPE[0], width),
        block(width, 2 * width),
        block(2 * width, 4 * width),
        nn.Flatten(),
        nn.Linear(4 * width * 4, CLASSES),
    )


def train_alone(model: nn.Module, loader: DataLoader, epochs: int) -> nn.Module:
    """Train a network on labels alone."""
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    for _ in range(epochs):
        for images, labels in loader:
            loss = nn.functional.cross_entropy(model(images), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return model.eval()


def hits(model: nn.Module, data: TensorDataset) -> float:
    """Share of the images that a network names right, in percent."""
    images, labels = data.tensors
    with torch.no_grad():
        return 100 * (model.eval()(images).argmax(1) == labels).float().mean().item()


def loaders(per_class: int) -> Tuple[DataLoader, TensorDataset]:
    """Batches of the training part, and the validation part."""
    data = letters("train", per_class)
    return DataLoader(data, batch_size=64, shuffle=True), letters("val", per_class)
