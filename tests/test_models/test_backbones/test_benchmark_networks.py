"""All networks of the CRD benchmark as the configs have them.

Their outputs are compared with golden values where checkpoints are converted, in
``test_commands/test_repdistiller_to_pckd.py``.
"""

import math

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from torch import nn

from pckd_mm.registry import MODELS
from tests.builders import CONFIGS

# Channels and size of the stage features for images of 32x32.
THIN = ((16, 32), (32, 16), (64, 8))
WIDE = ((32, 32), (64, 16), (128, 8))
WIDER = ((64, 32), (128, 16), (256, 8))
VGG = ((128, 16), (256, 8), (512, 4), (512, 4))

# Name: parameters with a classifier of 100 classes, feature width, stage features.
NETWORKS = {
    "resnet8": (83_892, 64, THIN),
    "resnet14": (181_108, 64, THIN),
    "resnet20": (278_324, 64, THIN),
    "resnet32": (472_756, 64, THIN),
    "resnet44": (667_188, 64, THIN),
    "resnet56": (861_620, 64, THIN),
    "resnet110": (1_736_564, 64, THIN),
    "resnet8x4": (1_233_540, 256, WIDER),
    "resnet32x4": (7_433_860, 256, WIDER),
    "resnet50": (23_705_252, 2048, ((256, 32), (512, 16), (1024, 8), (2048, 4))),
    "wrn_16_1": (180_916, 64, THIN),
    "wrn_16_2": (703_284, 128, WIDE),
    "wrn_40_1": (569_780, 64, THIN),
    "wrn_40_2": (2_255_156, 128, WIDE),
    "vgg8": (3_965_028, 512, VGG),
    "vgg11": (9_277_284, 512, VGG),
    "vgg13": (9_462_180, 512, VGG),
    "vgg16": (14_774_436, 512, VGG),
    "vgg19": (20_086_692, 512, VGG),
    "mobilenetv2": (812_836, 1280, ((12, 16), (16, 8), (48, 4), (160, 2))),
    "shufflev1": (949_258, 960, ((240, 16), (480, 8), (960, 4))),
    "shufflev2": (1_355_528, 1024, ((116, 16), (232, 8), (464, 4))),
}
# Those whose last stage is the feature map itself.
ENDS_WITH_STAGE = ("resnet", "vgg", "shufflev1")


@pytest.fixture(scope="module")
def configs():
    return Config.fromfile(CONFIGS / "_base_/networks/cifar100.py")


def build(config):
    with DefaultScope.overwrite_default_scope("mmpretrain"):
        return MODELS.build(config)


def stage_names(backbone):
    """MMPretrain's ResNet has them under a name of its own."""
    return getattr(backbone, "stages", None) or tuple(backbone.res_layers)


def outputs_of_stages(backbone, inputs):
    """The stage features and the feature map."""
    stages, handles = [], []
    for name in stage_names(backbone):
        hook = lambda module, _, output: stages.append(output)  # noqa: E731
        handles.append(backbone.get_submodule(name).register_forward_hook(hook))
    (feature_map,) = backbone(inputs)
    for handle in handles:
        handle.remove()
    return stages, feature_map


def test_every_network_has_a_config(configs):
    assert sorted(configs) == sorted(NETWORKS)


@pytest.mark.parametrize("name", NETWORKS)
def test_parameters_and_features(name, configs):
    parameters, features, stage_shapes = NETWORKS[name]
    # Shapes alone matter here.
    network = build(configs[name]).to("meta").eval()
    inputs = torch.empty(2, 3, 32, 32, device="meta")
    stages, feature_map = outputs_of_stages(network.backbone, inputs)
    (feature,) = network.neck((feature_map,))
    logits = network.head((feature,))
    assert sum(parameter.numel() for parameter in network.parameters()) == parameters
    assert feature.shape == (2, features)
    assert logits.shape == (2, 100)
    expected = [(2, channels, size, size) for channels, size in stage_shapes]
    assert [tuple(stage.shape) for stage in stages] == expected
    if name != "resnet50":
        assert network.backbone.feat_dim == features
    assert (stages[-1] is feature_map) == name.startswith(ENDS_WITH_STAGE)


@pytest.mark.parametrize(
    "name, is_activated",
    [
        ("resnet8", True),
        ("vgg8", True),
        ("shufflev1", True),
        ("shufflev2", True),
        ("wrn_16_1", False),
        ("mobilenetv2", False),
    ],
)
def test_activation_of_stage_features(name, is_activated, configs):
    torch.manual_seed(0)
    backbone = build(configs[name]).backbone
    with torch.no_grad():
        stages, feature_map = outputs_of_stages(backbone, torch.randn(2, 3, 32, 32))
    assert float(feature_map.min()) == 0
    for stage in stages:
        assert (float(stage.min()) == 0) == is_activated


@pytest.mark.parametrize(
    "name", ["resnet8x4", "wrn_16_2", "vgg8", "mobilenetv2", "shufflev1", "shufflev2"]
)
def test_initialization(name, configs):
    torch.manual_seed(0)
    backbone = build(configs[name]).backbone
    if not name.startswith("shuffle"):
        for parameter in backbone.parameters():
            parameter.data.fill_(math.nan)
    backbone.init_weights()
    for module in backbone.modules():
        if isinstance(module, nn.Conv2d):
            area = math.prod(module.kernel_size)
            if name.startswith("shuffle"):  # torch's own: uniform by the fan in
                fan_in = module.in_channels // module.groups * area
                expected = math.sqrt(1 / (3 * fan_in))
            else:
                expected = math.sqrt(2 / (module.out_channels * area))
            weight = module.weight.detach()
            # A sample of n numbers is off by 1 / sqrt(2 n) or so.
            allowed = 5 / math.sqrt(2 * weight.numel())
            assert float(weight.std()) == pytest.approx(expected, rel=allowed)
            assert abs(float(weight.mean())) < allowed * expected * 2
            assert module.bias is None or not module.bias.any()
        elif isinstance(module, nn.BatchNorm2d):
            assert torch.equal(module.weight, torch.ones_like(module.weight))
            assert not module.bias.any()


def test_resnet50_starts_without_idle_blocks(configs):
    """MMPretrain's default would start the last norm of each block at zero."""
    assert configs.resnet50.backbone.zero_init_residual is False
