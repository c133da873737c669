"""State dicts of torchvision and timm: logits, other names."""

import re

import pytest
import torch
import torchvision.models as tv
from mmengine.config import ConfigDict

from pckd_mm.utils.conversion import build_classifier
from pckd_mm.utils.zoo_names import convert_state_dict
from pckd_mm.utils.zoo_names.convert import FAMILIES
from tests import conversions, zoo
from tests.conversions import SOURCE
from tests.zoo import TIMM, TORCHVISION


def assert_logits(case):
    # A VGG's first linear layer alone has 800 MB in float64.
    single = case.backbone["type"] == "VGG"
    dtype, tolerance = (torch.float32, 1e-4) if single else (torch.float64, 1e-9)
    expected, found = conversions.logits_of_both(case, dtype)
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


def test_every_tensor_is_used_once():
    # In one network of each of torchvision's families.
    for name in ("resnet18", "mobilenet_v3_small", "densenet", "convnext", "vit"):
        state = TORCHVISION[name].build().state_dict()
        converted = conversions.converted(TORCHVISION[name], state)
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
        expected, found = (
            conversions.converted(case, state),
            conversions.converted(case, old),
        )
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
    assert torch.equal(conversions.converted(TORCHVISION["swin"], state)[name], made)


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
