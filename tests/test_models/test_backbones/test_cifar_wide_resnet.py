"""Wide ResNets of the CRD benchmark: sizes, published tensors, outputs, errors."""

import json
import math
from pathlib import Path

import pytest
import torch
from mmpretrain.registry import MODELS as MMPRETRAIN_MODELS
from torch import nn

from pckd_mm.models.backbones import CIFARWideResNet
from pckd_mm.registry import MODELS
from tests.reference import assert_golden_outputs

GOLDEN = Path(__file__).resolve().parents[4] / "shared/golden/crd_networks.json"

# Name: depth, width, parameters with a classifier of 100 classes, feature width.
NETWORKS = {
    "wrn_16_1": (16, 1, 180_916, 64),
    "wrn_16_2": (16, 2, 703_284, 128),
    "wrn_40_1": (40, 1, 569_780, 64),
    "wrn_40_2": (40, 2, 2_255_156, 128),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_parameters_and_feature_width(name):
    depth, width, parameters, features = NETWORKS[name]
    # Shapes alone matter here.
    with torch.device("meta"):
        backbone = CIFARWideResNet(depth, width=width)
        (feature_map,) = backbone(torch.empty(2, 3, 32, 32))
    count = sum(parameter.numel() for parameter in backbone.parameters())
    assert count + 100 * features + 100 == parameters
    assert backbone.feat_dim == features
    assert feature_map.shape == (2, features, 8, 8)


@pytest.mark.skipif(not GOLDEN.is_file(), reason=f"no golden values at {GOLDEN}")
@pytest.mark.parametrize("name", NETWORKS)
def test_golden_outputs(name):
    golden = json.loads(GOLDEN.read_text())[name]
    depth, width, parameters, features = NETWORKS[name]
    assert (golden["parameters"], golden["feature_width"]) == (parameters, features)
    classifier = MMPRETRAIN_MODELS.build(
        dict(
            type="ImageClassifier",
            backbone=dict(type="pckd_mm.CIFARWideResNet", depth=depth, width=width),
            neck=dict(type="GlobalAveragePooling"),
            head=dict(type="LinearClsHead", num_classes=100, in_channels=features),
        )
    )
    assert_golden_outputs(classifier, golden)


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


def test_initialization():
    torch.manual_seed(0)
    backbone = CIFARWideResNet(16, width=2)
    for parameter in backbone.parameters():
        parameter.data.fill_(math.nan)
    backbone.init_weights()
    for module in backbone.modules():
        if isinstance(module, nn.Conv2d):
            fan_out = module.out_channels * math.prod(module.kernel_size)
            weight = module.weight.detach()
            expected = math.sqrt(2 / fan_out)
            # A sample of n numbers is off by 1 / sqrt(2 n) or so.
            allowed = 5 / math.sqrt(2 * weight.numel())
            assert float(weight.std()) == pytest.approx(expected, rel=allowed)
            assert abs(float(weight.mean())) < allowed * expected * 2
        elif isinstance(module, nn.BatchNorm2d):
            assert torch.equal(module.weight, torch.ones_like(module.weight))
            assert not module.bias.any()


def test_built_from_registry():
    backbone = MODELS.build(dict(type="pckd_mm.CIFARWideResNet", depth=16, width=2))
    assert isinstance(backbone, CIFARWideResNet)
    assert backbone.feat_dim == 128
