"""ShuffleNets of the CRD benchmark: other widths, units, errors."""

import pytest
import torch

from pckd_mm.models.backbones import CIFARShuffleNetV1, CIFARShuffleNetV2
from pckd_mm.registry import MODELS


def test_v1_with_other_widths():
    backbone = MODELS.build(
        dict(
            type="pckd_mm.CIFARShuffleNetV1",
            groups=2,
            widths=(32, 48, 80),
            blocks=(1, 2, 1),
            in_channels=1,
        )
    )
    assert backbone.feat_dim == 80
    (feature_map,) = backbone(torch.randn(2, 1, 16, 24))
    assert feature_map.shape == (2, 80, 2, 3)


@pytest.mark.parametrize(
    "settings",
    [
        dict(widths=(200, 400, 800)),  # for 2 groups
        dict(widths=(240, 240, 960)),
        dict(widths=(24, 48, 96)),
        dict(widths=(240, 480)),
        dict(widths=()),
        dict(groups=7),
    ],
)
def test_v1_impossible_widths(settings):
    with pytest.raises(ValueError, match=r"widths=.* expected three widths that rise"):
        CIFARShuffleNetV1(**settings)


def test_v1_a_unit_of_stride_two_appends_the_pooled_input():
    unit = CIFARShuffleNetV1().eval().layer1[0]
    inputs = torch.rand(1, 24, 4, 4)
    with torch.no_grad():
        out = unit(inputs)
    # Around the corner five of nine entries are zeros of the padding.
    assert out[0, 216:, 0, 0] == pytest.approx(inputs[0, :, :2, :2].sum((1, 2)) / 9)


def test_v2_with_other_widths():
    backbone = MODELS.build(
        dict(
            type="pckd_mm.CIFARShuffleNetV2",
            widths=(8, 12, 16, 20),
            blocks=(2, 1, 2),
            in_channels=1,
        )
    )
    assert backbone.feat_dim == 20
    (feature_map,) = backbone(torch.randn(2, 1, 16, 24))
    assert feature_map.shape == (2, 20, 2, 3)


@pytest.mark.parametrize("widths", [(8, 12, 16), (9, 12, 16, 20), (8, 8, 8, 8, 8)])
def test_v2_impossible_widths(widths):
    with pytest.raises(ValueError, match="expected the even channel counts"):
        CIFARShuffleNetV2(widths=widths)


def test_v2_a_unit_keeps_one_half_and_shuffles():
    unit = CIFARShuffleNetV2(widths=(8, 12, 16, 20)).eval().layer1[1]
    inputs = torch.randn(1, 8, 4, 4)
    with torch.no_grad():
        out = unit(inputs)
    assert torch.equal(out[:, 0::2], inputs[:, :4])
