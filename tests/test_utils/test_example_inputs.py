"""Images that a network takes."""

import torch
from torch import nn

from pckd_mm.utils.example_inputs import (
    example_inputs,
    input_channels,
    only_input_size,
    takes,
)


class OnlyThisSize(nn.Module):
    def __init__(self, size, channels=1):
        super().__init__()
        self.conv = nn.Conv2d(channels, 2, 3)
        self.norm = nn.BatchNorm2d(2)
        self.fc = nn.Linear(2 * (size - 2) ** 2, 3)

    def forward(self, images):
        return self.fc(self.norm(self.conv(images)).flatten(1))


def convolutions(halvings: int) -> nn.Module:
    """Any size, but none that is too small."""
    return nn.Sequential(*(nn.Conv2d(1, 1, 2, 2) for _ in range(halvings)))


def test_sizes_that_are_tried():
    network = OnlyThisSize(9)
    shapes = [tuple(images.shape) for images in example_inputs(network, 2)]
    assert shapes == [(2, 1, size, size) for size in (32, 64, 224, 299)]
    network.image_size = 64
    sizes = [images.shape[-1] for images in example_inputs(network, 2)]
    assert sizes == [64, 32, 224, 299]
    (images,) = example_inputs(network, 2, (3, 5, 6))
    assert images.shape == (2, 3, 5, 6)


def test_channels():
    assert input_channels(OnlyThisSize(9, channels=4)) == 4
    assert input_channels(nn.Linear(2, 2)) == 3


def test_networks_of_one_size():
    network = OnlyThisSize(64).train()
    torch.manual_seed(3)
    drawn = torch.rand(1)
    torch.manual_seed(3)
    assert only_input_size(network) == (64, 64)
    assert torch.equal(torch.rand(1), drawn)
    assert network.training and network.norm.num_batches_tracked == 0
    assert only_input_size(network, (1, 32, 32)) == (64, 64)
    assert only_input_size(network, (1, 64, 64)) is None
    assert only_input_size(OnlyThisSize(9)) is None  # not found


def test_networks_of_several_sizes():
    assert only_input_size(nn.Identity()) is None
    # 64 is the first of the usual sizes that is large enough, half of it is not.
    assert only_input_size(convolutions(6)) is None
    assert only_input_size(convolutions(6), (1, 128, 128)) is None
    assert only_input_size(convolutions(6), (1, 32, 32)) == (64, 64)


def test_shapes_that_are_taken():
    network = convolutions(6)
    assert takes(network, (1, 64, 128)) and not takes(network, (1, 32, 32))
    assert not takes(network, (3, 64, 64))
