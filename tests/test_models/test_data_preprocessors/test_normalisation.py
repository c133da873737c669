"""Reading a data preprocessor's normalisation, and getting from one to another."""

import pytest
import torch
from mmengine.model import BaseDataPreprocessor, ImgDataPreprocessor
from mmpretrain.models.utils import ClsDataPreprocessor
from torch import nn

from pckd_mm.models.data_preprocessors.normalisation import (
    Normalisation,
    conversion,
    declared_normalisation,
    is_identity,
    normalisation_of,
)

MEAN, STD = (120.0, 110.0, 100.0), (60.0, 50.0, 40.0)


def test_conversion_by_hand():
    # A pixel of 200: (200 - 120) / 60 = 4/3 for one, (200 - 100) / 50 = 2 for the other
    before, after = Normalisation((120.0,), (60.0,)), Normalisation((100.0,), (50.0,))
    scale, shift = conversion(before, after)
    torch.testing.assert_close(4 / 3 * scale + shift, torch.full_like(shift, 2.0))


@pytest.mark.parametrize("swap", [False, True])
def test_conversion_of_pixels(swap):
    pixels = torch.rand(2, 3, 4, 4, dtype=torch.float64) * 255
    before, after = Normalisation(MEAN, STD), Normalisation((1, 2, 3), (4, 5, 6))

    def normalised(images, how):
        mean, std = (
            torch.tensor(v).double().view(3, 1, 1) for v in (how.mean, how.std)
        )
        return (images - mean) / std

    scale, shift = conversion(before, after, swap)
    images = normalised(pixels, before)
    theirs = pixels
    if swap:
        images, theirs = images.flip(1), pixels.flip(1)
    torch.testing.assert_close(images * scale + shift, normalised(theirs, after))


def test_identity_but_for_rounding():
    card = Normalisation(tuple(255 * v for v in (0.485, 0.456, 0.406)), STD)
    config = Normalisation((123.675, 116.28, 103.53), STD)
    assert is_identity(*conversion(card, config)) and card.is_like(config)
    other = Normalisation((123.0, 116.28, 103.53), STD)
    assert not is_identity(*conversion(card, other)) and not card.is_like(other)
    assert not config.is_like(Normalisation(config.mean, STD, "rgb"))
    assert not config.is_like(Normalisation(config.mean, STD, pad_value=1.0))


@pytest.mark.parametrize(
    "build, settings, order",
    [
        (ClsDataPreprocessor, dict(mean=MEAN, std=STD), None),
        (ClsDataPreprocessor, dict(mean=MEAN, std=STD, to_rgb=True), "rgb"),
        (ClsDataPreprocessor, dict(to_rgb=True), "rgb"),
        (ClsDataPreprocessor, dict(mean=MEAN, std=STD, pad_value=3), None),
        (ClsDataPreprocessor, dict(), None),
        (ImgDataPreprocessor, dict(mean=MEAN, std=STD, bgr_to_rgb=True), "rgb"),
        (ImgDataPreprocessor, dict(), None),
        (BaseDataPreprocessor, dict(), None),
    ],
)
def test_config_and_module_say_the_same(build, settings, order):
    found = normalisation_of(build(**settings))
    assert found == normalisation_of(dict(settings, type=build.__name__))
    assert found == normalisation_of(dict(settings, type=build))
    assert found.order == order
    assert found.mean == settings.get("mean", (0.0,))
    assert found.std == settings.get("std", (1.0,))
    assert found.pad_value == settings.get("pad_value", 0)


def test_rgb_to_bgr():
    assert normalisation_of(dict(rgb_to_bgr=True)).order == "bgr"


def test_unknown_preprocessors():
    assert normalisation_of(None) is None
    assert normalisation_of(nn.Identity()) is None
    assert normalisation_of(dict(type="Mine")) is None
    assert normalisation_of(dict(type="Mine", mean=[1], std=[2])).mean == (1.0,)


def test_mean_without_std():
    with pytest.raises(ValueError, match="mean=.1. and std=None; expected both"):
        normalisation_of(dict(mean=[1]))
    # The advice.
    assert normalisation_of(dict(mean=[1], std=[2])).std == (2.0,)
    assert normalisation_of(dict(mean=None, std=None)) == Normalisation()


def test_what_a_model_declares():
    class Network(nn.Module):
        def __init__(self, **settings):
            super().__init__()
            self.data_preprocessor = ClsDataPreprocessor(**settings)

    assert declared_normalisation(dict(type="A")) is None
    assert declared_normalisation(dict(data_preprocessor=None)) is None
    labels = dict(data_preprocessor=dict(num_classes=3))
    assert declared_normalisation(labels) is None
    raw = dict(data_preprocessor=dict(type="ClsDataPreprocessor"))
    assert declared_normalisation(raw) == Normalisation()
    # The default one of a built network says nothing.
    assert declared_normalisation(Network()) is None
    assert declared_normalisation(Network(mean=MEAN, std=STD)).mean == MEAN


def test_in_words():
    assert str(Normalisation()) == "nothing"
    assert str(Normalisation(order="rgb")) == ("mean [0.0], std [1.0], channels RGB")
    assert str(Normalisation((1.23456,), (2.0,))) == (
        "mean [1.235], std [2.0], channels as read"
    )
