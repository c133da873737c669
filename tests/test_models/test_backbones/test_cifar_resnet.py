"""ResNets of the CRD benchmark: explicit widths and errors."""

import re

import pytest
import torch

from pckd_mm.models.backbones import CIFARResNet
from pckd_mm.registry import MODELS


@pytest.mark.parametrize("depth", [2, 1, 0, -4, 18, 10, 21])
def test_impossible_depth(depth):
    with pytest.raises(ValueError, match=rf"depth={depth} .*6n \+ 2"):
        CIFARResNet(depth)


@pytest.mark.parametrize("width", [0, 2, 3, (16, 32, 64), (16, 16, 32, 64, 128)])
def test_impossible_width(width):
    with pytest.raises(ValueError, match=re.escape(f"width={width} does not")):
        CIFARResNet(8, width=width)


@pytest.mark.parametrize("width", [(3, 5, 6, 7), [3, 5, 6, 7]])
def test_explicit_widths(width):
    backbone = CIFARResNet(14, width=width, in_channels=1)
    assert backbone.conv1.weight.shape == (3, 1, 3, 3)
    stages = [backbone.layer1, backbone.layer2, backbone.layer3]
    assert [len(stage) for stage in stages] == [2, 2, 2]
    assert [stage[0].conv1.in_channels for stage in stages] == [3, 5, 6]
    assert [stage[1].conv2.out_channels for stage in stages] == [5, 6, 7]
    assert backbone.feat_dim == 7
    (feature_map,) = backbone(torch.randn(2, 1, 16, 12))
    assert feature_map.shape == (2, 7, 4, 3)


def test_features_are_not_negative():
    torch.manual_seed(0)
    (feature_map,) = CIFARResNet(8)(torch.randn(2, 3, 32, 32))
    assert float(feature_map.detach().min()) == 0


def test_built_from_registry():
    backbone = MODELS.build(dict(type="pckd_mm.CIFARResNet", depth=8))
    assert isinstance(backbone, CIFARResNet)
    assert backbone.feat_dim == 64
