"""VGGs of the CRD benchmark: blocks, image sizes, errors."""

import pytest
import torch
from torch import nn

from pckd_mm.models.backbones import CIFARVGG
from pckd_mm.registry import MODELS


@pytest.mark.parametrize("depth", [0, 7, 10, 18, 8.5])
def test_impossible_depth(depth):
    with pytest.raises(ValueError, match=f"depth={depth} .*8, 11, 13, 16, 19"):
        CIFARVGG(depth)


def test_channels_of_the_images():
    backbone = MODELS.build(dict(type="pckd_mm.CIFARVGG", depth=11, in_channels=1))
    assert backbone.block0[0].weight.shape == (64, 1, 3, 3)
    assert backbone.feat_dim == 512


@pytest.mark.parametrize("size, left", [(32, 4), (48, 6), (64, 4), (128, 8)])
def test_large_images_are_pooled_once_more(size, left):
    with torch.device("meta"):
        (feature_map,) = CIFARVGG(8)(torch.empty(1, 3, size, size))
    assert feature_map.shape == (1, 512, left, left)


def test_blocks_pool_the_largest_values():
    """Blocks that do nothing leave the maximum of 8x8 squares."""
    backbone = CIFARVGG(8)
    for index in range(5):
        setattr(backbone, f"block{index}", nn.Identity())
    image = torch.randn(1, 3, 32, 32)
    (feature_map,) = backbone(image)
    expected = image.unflatten(2, (4, 8)).unflatten(4, (4, 8)).amax(dim=(3, 5))
    assert torch.equal(feature_map, expected)
