"""MobileNetV2 of the CRD benchmark: other widths, shortcuts."""

import torch

from pckd_mm.models.backbones import CIFARMobileNetV2
from pckd_mm.registry import MODELS


def test_width_and_expansion():
    backbone = MODELS.build(
        dict(type="pckd_mm.CIFARMobileNetV2", width=0.25, expansion=3, in_channels=1)
    )
    assert backbone.conv1[0].weight.shape == (8, 1, 3, 3)
    # 24 and 32 channels of the full network.
    block = backbone.blocks[2][0].conv
    assert block[0].weight.shape == (18, 6, 1, 1)
    assert block[6].weight.shape == (8, 18, 1, 1)
    # The last layer never is narrower than 1280.
    assert backbone.feat_dim == 1280
    (feature_map,) = backbone(torch.randn(2, 1, 32, 32))
    assert feature_map.shape == (2, 1280, 2, 2)
    assert CIFARMobileNetV2(width=1.5).feat_dim == 1920


def test_shortcuts_where_the_shapes_agree():
    rows = CIFARMobileNetV2().blocks
    found = [[block.has_shortcut for block in row] for row in rows]
    assert [len(row) for row in found] == [1, 2, 3, 4, 3, 3, 1]
    for row in found:
        assert row == [False] + [True] * (len(row) - 1)


def test_the_shortcut_is_added():
    block = CIFARMobileNetV2().blocks[1][1].eval()
    inputs = torch.randn(2, 12, 4, 4)
    assert torch.equal(block(inputs), inputs + block.conv(inputs))
