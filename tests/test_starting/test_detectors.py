"""Detectors by the names that people say."""

import pytest

pytest.importorskip("mmdet.models", exc_type=ImportError)

import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from torch import nn

from pckd_mm.registry import MODELS
from pckd_mm.starting import networks
from pckd_mm.starting.detectors import check_detectors, find_detector
from tests.builders import scenes
from tests.test_analysis.tiny_detector import network


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    monkeypatch.setattr(networks, "_answers", lambda address: False)


@pytest.fixture
def own(tmp_path):
    path = tmp_path / "mine.py"
    Config(dict(model=network().to_dict())).dump(path)
    return str(path)


@pytest.mark.parametrize(
    "name, full",
    [
        ("faster-rcnn_r50_fpn_1x_coco", "faster-rcnn_r50_fpn_1x_coco"),
        ("Faster-RCNN_R50_FPN", "faster-rcnn_r50_fpn_1x_coco"),
        ("faster-rcnn_r101_fpn", "faster-rcnn_r101_fpn_1x_coco"),
    ],
)
def test_full_names_and_their_beginnings(name, full):
    found = find_detector(name, classes=3)
    assert found.name == full and found.weights is None
    assert found.model["roi_head"]["bbox_head"]["num_classes"] == 3
    # With random weights nothing is fetched.
    assert "init_cfg" not in found.model["backbone"] and "init_cfg" not in found.model
    built = build(found)
    assert built.roi_head.bbox_head.fc_cls.out_features == 4
    assert built.rpn_head.num_classes == 1


def build(found):
    with DefaultScope.overwrite_default_scope("mmdet"):
        return MODELS.build(Config(dict(model=found.model)).model)


@pytest.mark.parametrize(
    "name",
    [
        "faster-rcnn_r50_fpn",  # whose first stage mmdet freezes
        "faster-rcnn_r50-caffe-c4",  # and normalisations of backbone and box head
        "yolof_r50_c5",
    ],
)
def test_with_random_weights_nothing_is_frozen(name):
    network = build(find_detector(name, 3)).train()
    assert [n for n, p in network.named_parameters() if not p.requires_grad] == []
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    assert norms and all(norm.training for norm in norms)


def test_a_caffe_network_learns_from_random_weights():
    torch.manual_seed(0)
    found = find_detector(
        "fcos_r50-caffe_fpn_gn-head-center-normbbox-centeronreg-giou", classes=3
    )
    network = build(found)
    network.init_weights()
    network.train()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01)
    boxes = [[[2, 2, 30, 45]], [[10, 10, 50, 55]]]
    for _ in range(2):  # residual branches begin with normalisations of weight zero
        optimizer.step()
        network.zero_grad()
        batch = network.data_preprocessor(scenes(boxes, 3, size=64), True)
        network.parse_losses(network(**batch, mode="loss"))[0].backward()
    still = [
        name
        for name, module in network.backbone.named_modules()
        if isinstance(module, nn.Conv2d) and not module.weight.grad.any()
    ]
    assert still == []


@pytest.mark.parametrize(
    "name, full, kind, divisor",
    [
        ("retinanet_r18_fpn", "retinanet_r18_fpn_1x_coco", "RetinaNet", 32),
        ("gfl_r50_fpn", "gfl_r50_fpn_1x_coco", "GFL", 32),
        ("rtmdet_s", "rtmdet_s_8xb32-300e_coco", "RTMDet", 32),
        ("yolox_tiny", "yolox_tiny_8x8_300e_coco", "YOLOX", 32),
        # A config without weights, which the list of the zoo does not have.
        ("yolox_m", "yolox_m_8xb8-300e_coco", "YOLOX", 32),
    ],
)
def test_detectors_of_one_stage(name, full, kind, divisor):
    found = find_detector(name, classes=3)
    assert (found.name, found.model["type"]) == (full, f"mmdet.{kind}")
    assert found.model["bbox_head"]["num_classes"] == 3
    preprocessor = found.model["data_preprocessor"]
    # The data set the size of images; a batch fits every level.
    assert preprocessor["pad_size_divisor"] == divisor
    assert "batch_augments" not in preprocessor


def test_a_pair_is_of_one_kind():
    places = [find_detector(name, 3) for name in ("rtmdet_m", "rtmdet_s", "gfl_r50")]
    check_detectors(places[1], places[0])
    words = "levels of stride 8, stride 16, stride 32 and the teacher"
    with pytest.raises(ValueError, match=words):
        check_detectors(places[1], places[2])
    regions = find_detector("faster-rcnn_r50_fpn", 3)
    check_detectors(regions, regions)
    with pytest.raises(ValueError, match="one of the two-stage .* take a teacher of"):
        check_detectors(places[1], regions)


def test_weights_where_they_can_be_had(monkeypatch):
    monkeypatch.setattr(networks, "_answers", lambda address: True)
    found = find_detector("faster-rcnn_r50_fpn_1x_coco", classes=3)
    assert found.weights.endswith(".pth") and "faster_rcnn_r50_fpn_1x" in found.weights
    assert found.model["init_cfg"] == dict(type="Pretrained", checkpoint=found.weights)
    assert found.model["backbone"]["frozen_stages"] == 1
    assert "init_cfg" not in found.model["backbone"]
    assert find_detector("faster-rcnn_r50_fpn", 3, pretrained=False).weights is None


def test_a_config_of_ones_own_begins_as_it_says(own):
    cfg = Config.fromfile(own)
    cfg.model.backbone.init_cfg = dict(type="Pretrained", checkpoint="mine.pth")
    cfg.dump(own)
    found = find_detector(own, classes=5)
    assert found.name == "mine" and found.model["type"] == "mmdet.FasterRCNN"
    assert found.model["roi_head"]["bbox_head"]["num_classes"] == 5
    assert found.model["backbone"]["init_cfg"]["checkpoint"] == "mine.pth"
    scratch = find_detector(own, 5, pretrained=False)
    assert "init_cfg" not in scratch.model["backbone"]


def changed(own, **changes):
    cfg = Config.fromfile(own)
    cfg.merge_from_dict(changes)
    cfg.dump(own)
    return own


@pytest.mark.parametrize(
    "name, reason",
    [
        (
            "faster-rcnn_r50_fpm",
            "no network faster-rcnn_r50_fpm; .* mean faster-rcnn_r50_fpn_1x_coco",
        ),
        ("fcos_r50", "no network fcos_r50; .* mean fcos_r50-caffe_fpn_gn-head_1x_coco"),
        ("yolox_q", "no network yolox_q; .* mean .*yolox_s_8x8_300e_coco"),
        (
            "ssd300_coco",
            "cannot be distilled here. .* with a SSDHead, whose levels have features",
        ),
        (
            "rtmdet-ins_tiny",
            "finds masks, which the data here are not read w",
        ),
        (
            "sparse-rcnn_r50_fpn_1x_coco",
            "has a SparseRoIHead, whose regions are queries that the network learns",
        ),
        (
            "mask-rcnn_r50_fpn_1x_coco",
            "finds masks, which the data here are not read w",
        ),
        (
            "centernet_r18_8xb16-crop512-140e_coco",
            "is tested on images with a border, which its own pipelines add",
        ),
        (
            "lad_r50-paa-r101_fpn_2xb8_coco_1x",
            "learns its labels from a teacher",
        ),
        ("vanilla/cifar100_resnet20.py", "cifar100_resnet20 cannot be distilled here"),
        ("nowhere.py", "There is no config nowhere.py"),
    ],
)
def test_what_is_refused(name, reason):
    with pytest.raises((ValueError, FileNotFoundError), match=reason):
        find_detector(name, 3)


def test_a_sampler_that_needs_a_head_of_its_own_is_refused(own):
    name = changed(own, **{"model.train_cfg.rcnn.sampler.type": "ScoreHLRSampler"})
    with pytest.raises(ValueError, match="samples its regions by ScoreHLRSampler, wh"):
        find_detector(name, 3)
