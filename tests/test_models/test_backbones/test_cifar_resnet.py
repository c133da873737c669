"""ResNets of the CRD benchmark: sizes, published tensors, outputs, errors."""

import json
import math
import re
from pathlib import Path

import pytest
import torch
from mmpretrain.registry import MODELS as MMPRETRAIN_MODELS
from torch import nn

from pckd_mm.models.backbones import CIFARResNet
from pckd_mm.registry import MODELS
from tests.reference import assert_golden_outputs

GOLDEN = Path(__file__).resolve().parents[4] / "shared/golden/crd_networks.json"

# Name: depth, width, parameters with a classifier of 100 classes, feature width.
NETWORKS = {
    "resnet8": (8, 1, 83_892, 64),
    "resnet14": (14, 1, 181_108, 64),
    "resnet20": (20, 1, 278_324, 64),
    "resnet32": (32, 1, 472_756, 64),
    "resnet44": (44, 1, 667_188, 64),
    "resnet56": (56, 1, 861_620, 64),
    "resnet110": (110, 1, 1_736_564, 64),
    "resnet8x4": (8, 4, 1_233_540, 256),
    "resnet32x4": (32, 4, 7_433_860, 256),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_parameters_and_feature_width(name):
    depth, width, parameters, features = NETWORKS[name]
    # Shapes alone matter here.
    with torch.device("meta"):
        backbone = CIFARResNet(depth, width=width)
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
            backbone=dict(type="pckd_mm.CIFARResNet", depth=depth, width=width),
            neck=dict(type="GlobalAveragePooling"),
            head=dict(type="LinearClsHead", num_classes=100, in_channels=features),
        )
    )
    assert_golden_outputs(classifier, golden)


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


def test_initialization():
    torch.manual_seed(0)
    backbone = CIFARResNet(14, width=4)
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
    backbone = MODELS.build(dict(type="pckd_mm.CIFARResNet", depth=8))
    assert isinstance(backbone, CIFARResNet)
    assert backbone.feat_dim == 64
