"""Wide ResNets of the CRD benchmark: stages and errors."""

import pytest
import torch

from pckd_mm.models.backbones import CIFARWideResNet
from pckd_mm.registry import MODELS


@pytest.mark.parametrize("depth", [4, 0, -2, 17, 20, 28 + 1])
def test_impossible_depth(depth):
    with pytest.raises(ValueError, match=rf"depth={depth} .*6n \+ 4"):
        CIFARWideResNet(depth)


def test_stages():
    backbone = CIFARWideResNet(16, width=3, in_channels=1)
    stages = [backbone.block1.layer, backbone.block2.layer, backbone.block3.layer]
    assert [len(stage) for stage in stages] == [2, 2, 2]
    assert [stage[0].conv1.in_channels for stage in stages] == [16, 48, 96]
    assert [stage[1].conv2.out_channels for stage in stages] == [48, 96, 192]
    assert backbone.feat_dim == 192
    (feature_map,) = backbone(torch.randn(2, 1, 16, 12))
    assert feature_map.shape == (2, 192, 4, 3)


def test_features_are_not_negative():
    torch.manual_seed(0)
    (feature_map,) = CIFARWideResNet(10)(torch.randn(2, 3, 32, 32))
    assert float(feature_map.detach().min()) == 0


def test_built_from_registry():
    backbone = MODELS.build(dict(type="pckd_mm.CIFARWideResNet", depth=16, width=2))
    assert isinstance(backbone, CIFARWideResNet)
    assert backbone.feat_dim == 128
