"""What timm and Hugging Face say of their networks' images."""

import json

import pytest
import torch
from torch import nn

from pckd_mm.models.data_preprocessors.network_cards import network_card
from tests.builders import classifier

IMAGENET = dict(mean=(123.675, 116.28, 103.53), std=(58.395, 57.12, 57.375))


def assert_normalises(card, mean, std) -> None:
    assert card.normalisation.mean == pytest.approx(mean)
    assert card.normalisation.std == pytest.approx(std)
    assert card.normalisation.order == "rgb"


def test_none():
    from pckd_mm.registry import MODELS

    assert network_card(nn.Linear(1, 1)) is None
    assert network_card(MODELS.build(classifier(8))) is None


def test_timm():
    timm = pytest.importorskip("timm")
    network = nn.Sequential(timm.create_model("resnet18", num_classes=4))
    card = network_card(network)
    assert_normalises(card, **IMAGENET)
    assert card.source == "timm's card of resnet18"


def test_timm_transforms_images_so():
    timm = pytest.importorskip("timm")
    network = timm.create_model("resnet18", num_classes=4)
    settings = timm.data.resolve_model_data_config(network)
    normalise = timm.data.create_transform(**settings).transforms[-1]
    image = torch.rand(3, 4, 4)
    mean, std = (
        torch.tensor(values).view(3, 1, 1)
        for values in (
            network_card(network).normalisation.mean,
            network_card(network).normalisation.std,
        )
    )
    torch.testing.assert_close(normalise(image), (255 * image - mean) / std)


@pytest.fixture
def hugging_face(tmp_path):
    transformers = pytest.importorskip("transformers")

    def build(**settings) -> nn.Module:
        config = transformers.ViTConfig(
            hidden_size=8,
            num_hidden_layers=1,
            num_attention_heads=1,
            intermediate_size=8,
            image_size=16,
            patch_size=8,
        )
        config.save_pretrained(tmp_path)
        if settings:
            path = tmp_path / "preprocessor_config.json"
            path.write_text(json.dumps(settings))
        config = transformers.AutoConfig.from_pretrained(tmp_path)
        network = nn.Module()
        network.model = transformers.AutoModelForImageClassification.from_config(config)
        return network

    return build


def test_hugging_face_without_a_processor(hugging_face):
    card = network_card(hugging_face())
    assert card.normalisation is None and card.size is None
    assert card.source == "Hugging Face's config of vit"


@pytest.mark.parametrize(
    "settings, mean, std",
    [
        (dict(image_mean=[0.5] * 3, image_std=[0.25] * 3), [127.5] * 3, [63.75] * 3),
        (
            dict(image_mean=[5] * 3, image_std=[2] * 3, do_rescale=False),
            [5] * 3,
            [2] * 3,
        ),
        (
            dict(image_mean=[5] * 3, image_std=[2] * 3, rescale_factor=0.5),
            [10] * 3,
            [4] * 3,
        ),
        (dict(do_normalize=False), [0] * 3, [255] * 3),
    ],
)
def test_hugging_face_processor(hugging_face, tmp_path, settings, mean, std):
    card = network_card(hugging_face(**settings))
    assert_normalises(card, mean, std)
    assert card.size is None
    assert card.source == str(tmp_path / "preprocessor_config.json")


@pytest.mark.parametrize(
    "settings, size",
    [
        (dict(crop_size=dict(height=9, width=7), size=dict(shortest_edge=12)), (9, 7)),
        (dict(size=9), (9, 9)),
        (dict(size=dict(shortest_edge=12)), None),
    ],
)
def test_size_of_a_processor(hugging_face, settings, size):
    card = network_card(hugging_face(**settings))
    assert card.size == size and card.normalisation is None
