"""State dicts of torchvision and timm that are refused, and why."""

import re

import pytest
import torch
import torchvision.models as tv
from mmengine.config import ConfigDict

from pckd_mm.utils.conversion import build_classifier
from pckd_mm.utils.zoo_names import convert_state_dict, require_same_logits, run_both
from tests import conversions, zoo
from tests.conversions import SOURCE
from tests.zoo import CLASSES, TIMM, TORCHVISION


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_small", "vit"])
def test_other_number_of_classes(name):
    case = TORCHVISION[name]
    state = case.build().state_dict()
    weight, bias = list(state)[-2:]
    state[weight], state[bias] = state[weight][:3], state[bias][:3]
    words = (
        f"{SOURCE} has a classifier of 3 classes, the config's network one of "
        f"{CLASSES}; expected the same: give --cfg-options model.head.num_classes=3, "
    )
    with pytest.raises(ValueError, match=re.escape(words)):
        conversions.converted(case, state)
    of_three = case._replace(head={**case.head, "num_classes": 3})
    conversions.converted(of_three, state)


@pytest.mark.parametrize(
    ("name", "backbone", "has", "advice"),
    [
        (
            "resnet50",
            dict(style="caffe"),
            "style of caffe",
            "model.backbone.style=pytorch",
        ),
        (
            "mobilenet_v2",
            dict(norm_cfg=dict(type="BN", eps=1e-3)),
            "norm_cfg of eps 0.001",
            "model.backbone.norm_cfg.type=BN model.backbone.norm_cfg.eps=1e-05",
        ),
        (
            "efficientnet_b0",
            dict(
                conv_cfg=zoo.SAME,
                act_cfg=dict(type="ReLU"),
                norm_cfg=dict(type="BN", eps=1e-3),
            ),
            "conv_cfg of Conv2dAdaptivePadding and norm_cfg of eps 0.001 and "
            "act_cfg of ReLU",
            "model.backbone.conv_cfg=None model.backbone.norm_cfg.type=BN "
            "model.backbone.norm_cfg.eps=1e-05 model.backbone.act_cfg.type=Swish",
        ),
        (
            "convnext",
            dict(gap_before_final_norm=False),
            "gap_before_final_norm of False",
            "model.backbone.gap_before_final_norm=True",
        ),
        (
            "vit",
            dict(out_type="featmap", norm_cfg=dict(type="LN")),
            "norm_cfg of eps 1e-05 and out_type of featmap",
            "model.backbone.norm_cfg.type=LN model.backbone.norm_cfg.eps=1e-06 "
            "model.backbone.out_type=cls_token",
        ),
    ],
)
def test_network_that_computes_otherwise(name, backbone, has, advice):
    with pytest.raises(ValueError) as refusal:
        conversions.converted(TORCHVISION[name], **backbone)
    kind = TORCHVISION[name].backbone["type"]
    assert (
        f"which computes otherwise than the config's {kind} with {has}; expected "
        f"the same: give --cfg-options {advice}, and set the same in the config"
    ) in str(refusal.value)


def test_either_of_two_kinds_of_one_name():
    pytest.importorskip("timm")
    with pytest.raises(ValueError) as refusal:
        conversions.converted(TIMM["efficientnet_b0"], conv_cfg=zoo.SAME)
    assert (
        "give --cfg-options model.backbone.conv_cfg=None or --cfg-options "
        "model.backbone.norm_cfg.type=BN model.backbone.norm_cfg.eps=0.001, and"
    ) in str(refusal.value)


@pytest.mark.parametrize(
    ("rename", "words"),
    [
        (lambda s: s.pop("fc.bias"), "in 1 tensors: head.fc.bias is missing; expected"),
        (
            lambda s: s.update(extra=torch.ones(2)),
            "in 1 tensors: extra is unknown; expected",
        ),
        (
            lambda s: s.update(auxiliary=s.pop("bn1.weight")),
            "in 2 tensors: auxiliary is unknown; backbone.bn1.weight is missing;",
        ),
        (
            lambda s: s.update({"bn1.bias": torch.ones(3)}),
            r"in 1 tensors: backbone.bn1.bias is (3,) instead of (64,); expected",
        ),
        (
            lambda s: s.update({"fc.bias": [0.0] * CLASSES}),
            "in 1 tensors: head.fc.bias is list instead of (7,); expected",
        ),
        (
            lambda s: s.update({"head.fc.bias": s.pop("fc.bias")}),
            "in 2 tensors: head.fc.bias as published is unknown; head.fc.bias is",
        ),
        (
            lambda s: s.update({"head.0.bias": torch.ones(CLASSES)}),
            "two tensors that become head.fc.bias, one of them head.0.bias;",
        ),
    ],
    ids=["missing", "unknown", "renamed", "shape", "list", "ours", "twice"],
)
def test_tensors_that_do_not_fit(rename, words):
    state = TORCHVISION["resnet18"].build().state_dict()
    rename(state)
    with pytest.raises(ValueError, match=re.escape(words)):
        conversions.converted(TORCHVISION["resnet18"], state)


def test_other_number_of_classes_of_a_vgg():
    with torch.device("meta"):
        state = tv.vgg11(num_classes=3, init_weights=False).state_dict()
        classifier = build_classifier(TORCHVISION["vgg11"].config())
        with pytest.raises(ValueError, match="model.backbone.num_classes=3, and"):
            convert_state_dict(state, classifier, SOURCE)


def test_other_size_of_images():
    case = TORCHVISION["vit"]
    words = r"pos_embed is \(1, 17, 16\) instead of \(1, 26, 16\); .*: give --cfg-o"
    with pytest.raises(ValueError, match=words + r".*\.img_size=32, and set"):
        conversions.converted(case, img_size=40)
    conversions.converted(case, img_size=32)


def test_merging_of_other_widths():
    state = TORCHVISION["swin"].build().state_dict()
    state["features.2.norm.weight"] = torch.ones(63)
    with pytest.raises(ValueError, match=r"norm.weight is \(63,\) instead of \(64,"):
        conversions.converted(TORCHVISION["swin"], state)


def test_another_depth():
    words = "does not fit the ImageClassifier in .* checkpoint's network, torchvis"
    with pytest.raises(ValueError, match=words):
        conversions.converted(TORCHVISION["resnet18"], depth=34)


def test_another_family():
    state = TORCHVISION["mobilenet_v2"].build().state_dict()
    words = (
        "has tensors of torchvision's MobileNetV2, and the config's backbone is a "
        "ResNet; expected those of torchvision's or timm's ResNet: give the --co"
    )
    with pytest.raises(ValueError, match=re.escape(words)):
        conversions.converted(TORCHVISION["resnet18"], state)
    words = "has tensors named a, b, and the config's backbone is a ResNet; exp"
    with pytest.raises(ValueError, match=words):
        conversions.converted(
            TORCHVISION["resnet18"], dict(a=torch.ones(1), b=torch.ones(1))
        )


def test_backbone_that_is_not_known():
    cfg = ConfigDict(
        type="ImageClassifier",
        backbone=dict(type="LeNet5", num_classes=3),
        head=zoo.CLS_HEAD,
    )
    words = "backbone is a LeNet5, whose names .* not known here; .*, ResNet, .*Sw"
    with pytest.raises(ValueError, match=words):
        convert_state_dict({}, build_classifier(cfg), SOURCE)


def test_published_network_for_images_of_another_size(monkeypatch):
    pytest.importorskip("timm")
    case = TIMM["swin_tiny_patch4_window7_224"]
    cfg = case.config()
    cfg.backbone.img_size = 96
    classifier, published = build_classifier(cfg), case.build()
    state = published.state_dict()
    monkeypatch.setattr(run_both, "_build", lambda network, classes: published)
    words = (
        r"timm/swin does not run on the config's images of 96 x 96 \(.*; expected the"
    )
    with pytest.raises(ValueError, match=words):
        require_same_logits(state, classifier, "timm/swin", SOURCE)
