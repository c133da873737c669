"""The size of images that a network is made for, and who says so."""

from types import SimpleNamespace

import pytest
from torch import nn

from pckd_mm.utils.input_size import as_size, known_input_size


@pytest.mark.parametrize(
    "value, size",
    [(7, (7, 7)), ((7, 9), (7, 9)), ([7, 9], (7, 9))]
    + [(value, None) for value in (None, 0, True, 1.5, "7", (3, 7, 9), (0, 7), {})],
)
def test_sizes(value, size):
    assert as_size(value) == size


def network(**attributes) -> nn.Module:
    inner = nn.Module()
    for name, value in attributes.items():
        setattr(inner, name, value)
    return nn.Sequential(inner)


HUGGING_FACE = SimpleNamespace(model_type="vit", image_size=40)
CARD = dict(architecture="tiny", input_size=(3, 24, 16))


@pytest.mark.parametrize(
    "attributes, size, source",
    [
        (dict(img_size=8), (8, 8), "img_size of Module"),
        (dict(image_size=[8, 6]), (8, 6), "image_size of Module"),
        (dict(pretrained_cfg=CARD), (24, 16), "timm's card of tiny"),
        (dict(default_cfg=CARD), (24, 16), "timm's card of tiny"),
        (dict(pretrained_cfg=CARD, img_size=8), (8, 8), "img_size of Module"),
        (dict(config=HUGGING_FACE), (40, 40), "Hugging Face's config of vit"),
        # Those are no sizes, or not of images.
        (dict(img_size="large"), None, None),
        (dict(config=dict(image_size=8)), None, None),
        (dict(pretrained_cfg=dict(mean=0)), None, None),
    ],
)
def test_what_networks_say(attributes, size, source):
    known = known_input_size(network(**attributes))
    if size is None:
        assert known is None
        return
    assert (known.size, known.source, known.is_chosen) == (size, source, False)


def test_config_comes_first():
    module = network(img_size=8)
    for declared in (dict(img_size=5), dict(backbone=dict(image_size=(5, 5)))):
        known = known_input_size(module, declared)
        assert known.size == (5, 5) and known.is_chosen
    assert known_input_size(module, dict(backbone=None)).size == (8, 8)


def test_default_of_a_backbone():
    class Backbone(nn.Module):
        def __init__(self, img_size=24):
            super().__init__()

    module = nn.Module()
    module.backbone = Backbone()
    known = known_input_size(module, dict(backbone=dict(type="Backbone")))
    assert known.size == (24, 24) and not known.is_chosen
    assert known.source == "the default img_size of Backbone"
    assert known_input_size(module) is None  # built with whatever size
