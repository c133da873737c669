"""What a teacher was trained on, read off its configs and itself."""

import logging

import pytest
import torch
from mmengine.logging import MMLogger
from torch import nn

from pckd_mm.models.data_preprocessors.trained_inputs import (
    AS_STUDENT,
    trained_inputs,
)
from pckd_mm.registry import MODELS
from tests.builders import CONFIGS, classifier

RUN = """
data_preprocessor = dict(mean=[1.0, 2.0, 3.0], std=[4.0, 5.0, 6.0], to_rgb=False)
model = dict(type="ImageClassifier", backbone=dict(type="ResNet"))
test_dataloader = dict(dataset=dict(type="CIFAR10", pipeline=[]))
"""


@pytest.fixture
def config(tmp_path):
    """Write the config of a run, with lines added to it."""

    def write(*lines: str) -> str:
        path = tmp_path / "teacher.py"
        path.write_text(RUN + "\n".join(lines))
        return str(path)

    return write


@pytest.fixture
def warnings(caplog):
    logger = MMLogger.get_current_instance()
    logger.addHandler(caplog.handler)
    yield lambda: [
        record.getMessage()
        for record in caplog.records
        if record.levelno == logging.WARNING
    ]
    logger.removeHandler(caplog.handler)


def read(declared=None, network=None, config_path=None, size=None, **settings):
    network = nn.Identity() if network is None else network
    return trained_inputs(declared or {}, network, config_path, size, **settings)


# --- normalisation ----------------------------------------------------------------


def test_nothing_is_known(warnings):
    found = read()
    assert found.normalisation is None and found.size is None
    assert warnings() == []


def test_own_preprocessor_comes_first(config):
    own = dict(data_preprocessor=dict(mean=[7.0], std=[8.0], to_rgb=True))
    found = read(own, config_path=config())
    assert found.normalisation.mean == (7.0,) and found.normalisation.order == "rgb"
    assert found.normalised_by == "the teacher's own data_preprocessor"
    # Its to_rgb is about the images of the run that it stands in.
    assert found.order == AS_STUDENT


def test_preprocessor_of_a_run(config):
    path = config()
    found = read(config_path=path)
    assert found.normalisation.mean == (1.0, 2.0, 3.0)
    assert found.normalisation.std == (4.0, 5.0, 6.0)
    assert found.normalised_by == f"teacher_config {path}"
    assert found.order == "rgb" and found.size == (32, 32)


def test_preprocessor_of_the_model_of_a_run(config):
    path = config("model['data_preprocessor'] = dict(mean=[9.0], std=[9.0])")
    model = dict(data_preprocessor=dict(mean=[9.0], std=[9.0]))
    for declared in ({}, model):  # named beside it, or read from it
        found = read(declared, config_path=path)
        # As in a runner, where a model's own comes before the run's.
        assert found.normalisation.mean == (9.0,) and found.order == "rgb"
        assert found.normalised_by == f"teacher_config {path}"


def test_run_of_raw_pixels(config):
    found = read(config_path=config("data_preprocessor = dict(num_classes=10)"))
    assert found.normalisation.mean == (0.0,) and found.normalisation.std == (1.0,)


@pytest.mark.parametrize(
    "name, mean, flag, order, size",
    [
        ("resnet/resnet18_8xb16_cifar10.py", 125.307, None, "rgb", (32, 32)),
        ("resnet/resnet50_8xb32_in1k.py", 123.675, "rgb", "bgr", (224, 224)),
        ("regnet/regnetx-400mf_8xb128_in1k.py", 103.53, None, "bgr", (224, 224)),
        (
            "vision_transformer/vit-base-p16_64xb64_in1k-384px.py",
            127.5,
            "rgb",
            "bgr",
            (384, 384),
        ),
    ],
)
def test_configs_of_mmpretrain(name, mean, flag, order, size):
    found = read(config_path=f"mmpretrain::{name}")
    assert found.normalisation.mean[0] == mean
    assert found.normalisation.order == flag
    assert found.order == order and found.size == size


def test_configs_of_this_repository():
    found = read(config_path=str(CONFIGS / "vanilla" / "cifar100_resnet20.py"))
    assert found.normalisation.mean == pytest.approx((129.31, 124.08, 112.43), abs=0.01)
    assert found.order == "rgb" and found.size == (32, 32)


def test_config_that_is_not_there(warnings):
    found = read(config_path="missing.py")
    assert found.normalisation is None
    (line,) = warnings()
    assert "no teacher_config missing.py" in line and "teacher.data_prepro" in line


def test_run_without_a_preprocessor(config, warnings):
    found = read(config_path=config("del data_preprocessor"))
    assert found.normalisation is None
    (line,) = warnings()
    assert "has no data_preprocessor whose mean" in line
    # The advice.
    own = dict(data_preprocessor=dict(mean=[7.0], std=[8.0]))
    read(own, config_path=config("del data_preprocessor"))
    assert len(warnings()) == 1


def test_pipeline_that_normalises(config, warnings):
    path = config("test_dataloader['dataset']['pipeline'] = [dict(type='Normalize')]")
    read(config_path=path)
    (line,) = warnings()
    assert "has a Normalize" in line and "teacher.data_preprocessor" in line


# --- size -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "given, size", [(7, (7, 7)), ((7, 9), (7, 9)), ([7, 9], (7, 9)), ("same", None)]
)
def test_size_that_is_given(config, given, size):
    assert read(config_path=config(), size=given).size == size


@pytest.mark.parametrize("given", [0, -1, (1, 2, 3), "other", 1.5, True, (0, 3)])
def test_size_that_is_none(given):
    with pytest.raises(ValueError, match="teacher_input_size=.*; expected the pixels"):
        read(size=given)


def vit(**backbone) -> dict:
    settings = dict(type="mmpretrain.VisionTransformer", arch="deit-tiny", patch_size=8)
    return dict(
        type="mmpretrain.ImageClassifier",
        backbone={**settings, **backbone},
        head=dict(
            type="mmpretrain.VisionTransformerClsHead", num_classes=4, in_channels=192
        ),
    )


def test_size_of_a_transformer(warnings):
    network = MODELS.build(vit(img_size=16))
    found = read(vit(img_size=16), network)
    assert found.size == (16, 16)
    assert found.sized_by == "img_size of VisionTransformer"
    assert warnings() == []
    assert read({}, network).size == (16, 16)  # built already: nobody says it
    assert len(warnings()) == 1


def test_default_size_of_position_embeddings(warnings):
    # It takes others in silence, but its embeddings are for this one.
    found = read(vit(), MODELS.build(vit()), input_shape=(3, 32, 32))
    assert found.size == (224, 224)
    assert found.sized_by == "img_size of VisionTransformer"
    (line,) = warnings()
    assert "gets 224 x 224 pixels" in line and "(backbone.pos_embed)" in line
    assert "teacher_input_size" in line and "teacher_config" in line
    # The advice, and a student of that size.
    read(vit(), MODELS.build(vit()), size=224)
    read(vit(), MODELS.build(vit()), size="same")
    read(vit(), MODELS.build(vit()), input_shape=(3, 224, 224))
    assert len(warnings()) == 1


def test_default_size_of_a_network_that_takes_any(warnings):
    swin = dict(type="mmpretrain.SwinTransformer", arch="tiny")
    declared = dict(type="mmpretrain.ImageClassifier", backbone=swin)
    network = MODELS.build(declared)
    assert read(declared, network).size is None
    (line,) = warnings()
    assert "default img_size of SwinTransformer says 224 x 224" in line
    assert "gets the student's. Set teacher_input_size" in line
    # The advice, and what the user says of it, which the network does not keep.
    assert read(declared, network, size=224).size == (224, 224)
    declared["backbone"] = dict(swin, img_size=64)
    assert read(declared, network).size == (64, 64)
    assert len(warnings()) == 1


def test_size_of_xcit(warnings):
    xcit = dict(
        type="mmpretrain.XCiT",
        patch_size=16,
        embed_dims=16,
        depth=1,
        num_heads=2,
        mlp_ratio=1,
        qkv_bias=True,
        layer_scale_init_value=1.0,
    )
    declared = dict(type="mmpretrain.ImageClassifier", backbone=xcit)
    assert read(declared, MODELS.build(declared)).size is None
    (line,) = warnings()
    assert "the teacher XCiT was trained on is not known" in line


class Flat(nn.Module):
    """Takes one size, and says nothing of it."""

    def __init__(self, size):
        super().__init__()
        self.fc = nn.Linear(3 * size**2, 4)

    def forward(self, images):
        return self.fc(images.flatten(1))


def test_network_that_takes_one_size(warnings):
    found = read(network=Flat(64), input_shape=(3, 32, 32))
    assert found.size == (64, 64) and read(network=Flat(64)).size == (64, 64)
    assert "gets 64 x 64 pixels, since it does not run on others" in warnings()[0]
    assert len(warnings()) == 2
    assert read(network=Flat(32), input_shape=(3, 32, 32)).size is None
    assert read(network=Flat(64), size="same").size is None
    assert len(warnings()) == 2


def test_networks_of_any_size():
    declared = classifier(8)
    found = read(declared, MODELS.build(declared))
    assert found.size is None


def test_position_embeddings_of_an_unknown_size(warnings):
    network = nn.Module()
    network.pos_embed = nn.Parameter(torch.zeros(1, 5, 4))
    assert read(network=network).size is None
    (line,) = warnings()
    assert "pos_embed" in line and "Set teacher_input_size" in line
    # The advice, both ways.
    read(network=network, size=16)
    read(network=network, size="same")
    assert len(warnings()) == 1


class OfTimm(nn.Module):
    pretrained_cfg = dict(
        architecture="tiny",
        input_size=(3, 24, 16),
        mean=(0.5, 0.4, 0.3),
        std=(0.2, 0.1, 0.3),
    )


PRETRAINED = dict(pretrained=True)


def test_card_comes_last(config, warnings):
    network = nn.Sequential(OfTimm())
    for declared in (PRETRAINED, dict(checkpoint_path="tiny.pth")):
        found = read(declared, network)
        assert found.normalisation.mean == pytest.approx((127.5, 102, 76.5))
        assert found.normalisation.order == "rgb"  # whatever the images were read as
        assert found.normalised_by == found.sized_by == "timm's card of tiny"
        assert found.size == (24, 16)
    assert warnings() == []
    # It was trained by another config, of any size.
    path = config("test_dataloader['dataset'] = dict(type='CustomDataset')")
    found = read(PRETRAINED, network, config_path=path)
    assert found.normalisation.mean == (1.0, 2.0, 3.0) and found.size is None
    own = dict(data_preprocessor=dict(mean=[7.0], std=[8.0]), **PRETRAINED)
    assert read(own, network).normalisation.mean == (7.0,)


@pytest.mark.parametrize(
    "declared, checkpoint",
    [
        ({}, None),
        (dict(pretrained=False), "own.pth"),
        (PRETRAINED, "own.pth"),
        (dict(init_cfg=dict(type="Pretrained", checkpoint="a"), **PRETRAINED), None),
        (nn.Sequential(OfTimm()), None),
    ],
)
def test_card_of_other_weights(warnings, declared, checkpoint):
    network = nn.Sequential(OfTimm())
    found = read(declared, network, checkpoint=checkpoint)
    assert found.normalisation is None and found.size is None
    size, normalisation = warnings()
    assert "timm's card of tiny says 24 x 16" in size
    assert "Set teacher_input_size" in size and "teacher_config" in size
    assert "mean [127.5, 102.0, 76.5]" in normalisation
    assert "Set teacher.data_preprocessor" in normalisation
    assert "teacher_config" in normalisation
    # The advice.
    own = dict(data_preprocessor=dict(mean=[7.0], std=[8.0]))
    read(own, network, size=32)
    assert len(warnings()) == 2


def test_resnet_of_timm_with_own_weights(warnings):
    pytest.importorskip("timm")
    declared = dict(
        type="mmpretrain.TimmClassifier", model_name="resnet10t", num_classes=4
    )
    network = MODELS.build(dict(declared))
    found = read(declared, network, checkpoint="own.pth")
    assert found.normalisation is None and found.size is None
    assert len(warnings()) == 2
    # With timm's weights its card is true.
    found = read(dict(declared, **PRETRAINED), network)
    assert found.size == (176, 176) and found.normalised_by == found.sized_by
    assert found.normalisation.mean == pytest.approx((123.675, 116.28, 103.53))
    assert len(warnings()) == 2


def test_img_size_comes_before_the_card():
    timm = pytest.importorskip("timm")
    vit = timm.create_model("vit_tiny_patch16_224", num_classes=4, img_size=48)
    found = read(PRETRAINED, nn.Sequential(vit))
    assert found.size == (48, 48) and found.normalisation.mean[0] == 127.5


def test_card_without_a_normalisation(warnings):
    class Settings:
        model_type, _name_or_path, image_size = "vit", "", 40

    network = nn.Module()
    network.config = Settings()
    found = read(PRETRAINED, network)
    assert found.size == (40, 40) and found.normalisation is None
    (line,) = warnings()
    assert "Hugging Face's config of vit does not say it" in line
    # The advice.
    own = dict(data_preprocessor=dict(mean=[7.0], std=[8.0]), **PRETRAINED)
    assert read(own, network).normalisation.mean == (7.0,)
    assert len(warnings()) == 1
