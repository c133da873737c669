"""State dicts of torchvision and timm: logits, old names, refusals."""

import re

import pytest
import torch
import torchvision.models as tv
from mmengine.config import ConfigDict

from pckd_mm.utils.conversion import build_classifier
from pckd_mm.utils.zoo_names import convert_state_dict, require_same_logits, run_both
from pckd_mm.utils.zoo_names.convert import FAMILIES
from tests import zoo
from tests.zoo import CLASSES, TIMM, TORCHVISION

SOURCE = "The checkpoint a.pth"


def assert_logits(case):
    # A VGG's first linear layer alone has 800 MB in float64.
    single = case.backbone["type"] == "VGG"
    dtype, tolerance = (torch.float32, 1e-4) if single else (torch.float64, 1e-9)
    expected, found = zoo.logits_of_both(case, convert_state_dict, dtype)
    # What counts is by how much two images differ.
    spread = (expected[0] - expected[1]).abs().max()
    assert spread > 1e-4 * expected.abs().max()
    assert (found - expected).abs().max() <= tolerance * spread


@pytest.mark.parametrize("name", TORCHVISION)
def test_logits_of_torchvision(name):
    assert_logits(TORCHVISION[name])


@pytest.mark.parametrize("name", TIMM)
def test_logits_of_timm(name):
    pytest.importorskip("timm")
    assert_logits(TIMM[name])


def convert(case, state=None, **backbone):
    """Convert tensors, of the case's network by default."""
    cfg = case.config()
    cfg.backbone.update(backbone)
    torch.manual_seed(0)
    state = case.build().state_dict() if state is None else state
    return convert_state_dict(state, build_classifier(cfg), SOURCE)


def test_every_tensor_is_used_once():
    # In one network of each of torchvision's families.
    for name in ("resnet18", "mobilenet_v3_small", "densenet", "convnext", "vit"):
        state = TORCHVISION[name].build().state_dict()
        converted = convert(TORCHVISION[name], state)
        assert len(converted) == len(state)
        assert sum(value.numel() for value in converted.values()) == sum(
            value.numel() for value in state.values()
        )


@pytest.mark.parametrize("build", [tv.vgg11_bn, tv.vgg16, tv.vgg19_bn])
def test_names_of_other_vggs(build):
    # Without memory, so names and shapes only.
    with torch.device("meta"):
        state = build(init_weights=False).state_dict()
        norm = "_bn" in build.__name__
        depth = int(build.__name__[3:5])
        backbone = dict(type="VGG", depth=depth, num_classes=1000)
        backbone["norm_cfg"] = dict(type="BN") if norm else None
        cfg = dict(type="ImageClassifier", backbone=backbone, head=zoo.CLS_HEAD)
        classifier = build_classifier(ConfigDict(cfg))
        converted = convert_state_dict(state, classifier, SOURCE)
    assert len(converted) == len(state)


class TestNamesOfOtherVersions:
    """Files that were saved years ago give the same tensors."""

    def assert_same(self, case, rename):
        state = case.build().state_dict()
        old = rename(state)
        assert old.keys() != state.keys()
        expected, found = convert(case, state), convert(case, old)
        assert list(found) == list(expected)
        assert all(torch.equal(found[name], expected[name]) for name in expected)

    def test_densenet(self):
        # torchvision's own files, whose names it changes when it reads them.
        self.assert_same(
            TORCHVISION["densenet"],
            lambda state: {
                re.sub(r"(denselayer\d+\.(?:norm|conv))([12])", r"\1.\2", name): value
                for name, value in state.items()
            },
        )

    def test_vit(self):
        self.assert_same(
            TORCHVISION["vit"],
            lambda state: {
                name.replace("mlp.0", "mlp.linear_1").replace(
                    "mlp.3", "mlp.linear_2"
                ): v
                for name, v in state.items()
            },
        )

    def test_counters(self):
        self.assert_same(
            TORCHVISION["resnet18"],
            lambda state: {k: v for k, v in state.items() if "num_batches" not in k},
        )

    def test_swin(self):
        pytest.importorskip("timm")

        # As the authors of Swin have it, and timm before 0.9.
        def rename(state):
            old = {}
            for name, value in state.items():
                found = re.match(r"layers\.(\d)\.(downsample.*)", name)
                if found:
                    name = f"layers.{int(found[1]) - 1}.{found[2]}"
                old[name.replace("head.fc.", "head.")] = value
            old["layers.0.blocks.1.attn_mask"] = torch.zeros(64, 4, 4)
            return old

        self.assert_same(TIMM["swin_tiny_patch4_window7_224"], rename)


def test_index_of_positions_is_the_same():
    # timm does not save it, torchvision does.
    state = TORCHVISION["swin"].build().state_dict()
    name = "backbone.stages.0.blocks.0.attn.w_msa.relative_position_index"
    classifier = build_classifier(TORCHVISION["swin"].config())
    made = classifier.state_dict()[name]
    assert torch.equal(convert(TORCHVISION["swin"], state)[name], made)


class TestRefusals:
    @pytest.mark.parametrize(
        ("name", "key"),
        [
            ("resnet18", "model.head.num_classes"),
            ("mobilenet_v3_small", "model.head.num_classes"),
            ("vit", "model.head.num_classes"),
        ],
    )
    def test_other_number_of_classes(self, name, key):
        case = TORCHVISION[name]
        state = case.build().state_dict()
        weight, bias = list(state)[-2:]
        state[weight], state[bias] = state[weight][:3], state[bias][:3]
        words = (
            f"{SOURCE} has a classifier of 3 classes, the config's network one of "
            f"{CLASSES}; expected the same: give --cfg-options {key}=3, and set"
        )
        with pytest.raises(ValueError, match=re.escape(words)):
            convert(case, state)
        with pytest.raises(ValueError, match="num_classes=3"):
            convert(case, state)
        case.head["num_classes"], before = 3, case.head["num_classes"]
        try:
            convert(case, state)
        finally:
            case.head["num_classes"] = before

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
    def test_network_that_computes_otherwise(self, name, backbone, has, advice):
        with pytest.raises(ValueError) as refusal:
            convert(TORCHVISION[name], **backbone)
        kind = TORCHVISION[name].backbone["type"]
        assert (
            f"which computes otherwise than the config's {kind} with {has}; expected "
            f"the same: give --cfg-options {advice}, and set the same in the config"
        ) in str(refusal.value)

    def test_either_of_two_kinds_of_one_name(self):
        pytest.importorskip("timm")
        with pytest.raises(ValueError) as refusal:
            convert(TIMM["efficientnet_b0"], conv_cfg=zoo.SAME)
        assert (
            "give --cfg-options model.backbone.conv_cfg=None or --cfg-options "
            "model.backbone.norm_cfg.type=BN model.backbone.norm_cfg.eps=0.001, and"
        ) in str(refusal.value)

    @pytest.mark.parametrize(
        ("rename", "words"),
        [
            (lambda s: s.pop("fc.bias"), "in 1 tensors: head.fc.bias is missing."),
            (
                lambda s: s.update(extra=torch.ones(2)),
                "in 1 tensors: extra is unknown.",
            ),
            (
                lambda s: s.update(auxiliary=s.pop("bn1.weight")),
                "in 2 tensors: auxiliary is unknown; backbone.bn1.weight is missing.",
            ),
            (
                lambda s: s.update({"bn1.bias": torch.ones(3)}),
                r"in 1 tensors: backbone.bn1.bias is (3,) instead of (64,).",
            ),
            (
                lambda s: s.update({"fc.bias": [0.0] * CLASSES}),
                "in 1 tensors: head.fc.bias is list instead of (7,).",
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
    def test_tensors_that_do_not_fit(self, rename, words):
        state = TORCHVISION["resnet18"].build().state_dict()
        rename(state)
        with pytest.raises(ValueError, match=re.escape(words)):
            convert(TORCHVISION["resnet18"], state)

    def test_other_number_of_classes_of_a_vgg(self):
        with torch.device("meta"):
            state = tv.vgg11(num_classes=3, init_weights=False).state_dict()
            classifier = build_classifier(TORCHVISION["vgg11"].config())
            with pytest.raises(ValueError, match="model.backbone.num_classes=3, and"):
                convert_state_dict(state, classifier, SOURCE)

    def test_other_size_of_images(self):
        case = TORCHVISION["vit"]
        words = (
            r"pos_embed is \(1, 17, 16\) instead of \(1, 26, 16\)\. .*: give --cfg-o"
        )
        with pytest.raises(ValueError, match=words + r".*\.img_size=32, and set"):
            convert(case, img_size=40)
        convert(case, img_size=32)

    def test_merging_of_other_widths(self):
        state = TORCHVISION["swin"].build().state_dict()
        state["features.2.norm.weight"] = torch.ones(63)
        with pytest.raises(
            ValueError, match=r"norm.weight is \(63,\) instead of \(64,"
        ):
            convert(TORCHVISION["swin"], state)

    def test_another_depth(self):
        words = "does not fit the ImageClassifier in .* checkpoint's network, torchvis"
        with pytest.raises(ValueError, match=words):
            convert(TORCHVISION["resnet18"], depth=34)

    def test_another_family(self):
        state = TORCHVISION["mobilenet_v2"].build().state_dict()
        words = (
            "has tensors of torchvision's MobileNetV2, and the config's backbone is a "
            "ResNet; expected those of torchvision's or timm's ResNet: give the --co"
        )
        with pytest.raises(ValueError, match=re.escape(words)):
            convert(TORCHVISION["resnet18"], state)
        words = "has tensors named a, b, and the config's backbone is a ResNet; exp"
        with pytest.raises(ValueError, match=words):
            convert(TORCHVISION["resnet18"], dict(a=torch.ones(1), b=torch.ones(1)))

    def test_backbone_that_is_not_known(self):
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


@pytest.mark.parametrize("library", ["torchvision", "timm"])
def test_marks_tell_families_apart(library):
    cases = dict(torchvision=TORCHVISION, timm=TIMM)[library]
    if library == "timm":
        pytest.importorskip("timm")
    for name, case in cases.items():
        if case.backbone["type"] == "VGG":
            continue  # built above
        state = case.build().state_dict()
        found = [family for family in FAMILIES if set(family.marks) <= state.keys()]
        found = [each for each in found if case.backbone["type"] in each.backbones]
        assert len(found) == 1 and library in found[0].title, name
