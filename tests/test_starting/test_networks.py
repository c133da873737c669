"""Networks by the names that people say."""

import pytest
import torch
from mmengine.config import Config
from mmpretrain.structures import DataSample

from pckd_mm.registry import MODELS
from pckd_mm.starting import networks as module
from pckd_mm.starting.networks import find_classifier


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    monkeypatch.setattr(module, "_answers", lambda address: False)


@pytest.mark.parametrize(
    "name, full",
    [
        ("resnet34", "resnet34_8xb32_in1k"),
        ("mobilenet_v2", "mobilenet-v2_8xb32_in1k"),
        ("MobileNet-V2", "mobilenet-v2_8xb32_in1k"),
        ("resnet18_8xb16_cifar10", "resnet18_8xb16_cifar10"),
    ],
)
def test_short_and_full_names(name, full):
    found = find_classifier(name, classes=5)
    assert found.name == full and found.weights is None
    network = MODELS.build(found.model)
    assert network.head.num_classes == 5


def in_words(loss: dict) -> str:
    return " ".join(f"{name}={value}" for name, value in sorted(loss.items()))


@pytest.mark.parametrize(
    "name, loss",
    [
        ("repvgg-b3_8xb32_in1k", "num_classes=3 type=LabelSmoothLoss"),
        ("resnet50_8xb256-rsb-a3-100e_in1k", "type=mmpretrain.CrossEntropyLoss"),
        ("resnet50_8xb256-rsb-a1-600e_in1k", "type=LabelSmoothLoss use_sigmoid=True"),
        ("mobilenet-v2_8xb32_in1k", "type=CrossEntropyLoss"),
        ("vit-base-p16_mae-1600e-pre_8xb2048-linear-coslr-90e_in1k", "type=CrossEnt"),
    ],
)
def test_a_head_learns_labels_of_its_classes(name, loss):
    model = find_classifier(name, classes=3).model
    assert loss in in_words(model["head"]["loss"])
    head = MODELS.build(model["head"])
    width = model["head"]["in_channels"]
    features = torch.randn(4, width, requires_grad=True)
    samples = [DataSample().set_gt_label(label) for label in (0, 1, 2, 0)]
    losses = head._get_loss(features[:, :3], samples)
    losses["loss"].backward()
    assert torch.isfinite(losses["loss"]) and features.grad[:, :3].abs().sum() > 0


@pytest.mark.parametrize(
    "loss",
    [
        dict(type="CrossEntropyLoss", loss_weight=0.5, class_weight=[0.1] * 1000),
        dict(type="CrossEntropyLoss", loss_weight=0.5, use_soft=True),
    ],
)
@pytest.mark.parametrize("classes", [2, 3, 5])
def test_losses_of_other_labels_or_classes_become_the_cross_entropy(
    tmp_path, loss, classes, capsys
):
    head = dict(type="LinearClsHead", num_classes=1000, in_channels=8, loss=loss)
    backbone = dict(type="mmpretrain.ResNet", depth=18)
    model = dict(type="ImageClassifier", backbone=backbone, head=head)
    Config(dict(model=model)).dump(tmp_path / "mine.py")
    found = find_classifier(str(tmp_path / "mine.py"), classes).model["head"]["loss"]
    assert found == dict(type="mmpretrain.CrossEntropyLoss", loss_weight=0.5)
    assert "CrossEntropyLoss is taken" in capsys.readouterr().out


def test_a_loss_that_heads_can_call_stays(tmp_path):
    @MODELS.register_module(force=True)
    class AveragedLoss(torch.nn.Module):
        def forward(self, scores, labels, avg_factor):
            return scores.gather(1, labels[:, None]).sum() / avg_factor

    head = dict(type="LinearClsHead", num_classes=9, in_channels=8)
    backbone = dict(type="mmpretrain.ResNet", depth=18)
    model = dict(type="ImageClassifier", backbone=backbone)
    path = tmp_path / "mine.py"

    def find(loss):
        own = dict(head, loss=dict(type=loss))
        Config(dict(model=dict(model, head=own))).dump(path)
        return find_classifier(str(path), 3).model["head"]["loss"]

    assert find("AveragedLoss") == dict(type="AveragedLoss")
    with pytest.raises(ValueError, match="has the loss NoSuchLoss, which cannot"):
        find("NoSuchLoss")


@pytest.mark.parametrize(
    "name, width",
    [
        ("levit-128s_3rdparty_in1k", 384),
        ("efficientformer-l1_3rdparty_8xb128_in1k", 448),
    ],
)
def test_a_head_for_two_trains_alone(name, width):
    """MMPretrain does not train those that learned from a teacher of their own."""
    head = MODELS.build(find_classifier(name, classes=3).model["head"]).train()
    samples = [DataSample().set_gt_label(label) for label in (0, 2)]
    losses = head.loss((torch.randn(2, width),), samples)
    assert torch.isfinite(losses["loss"])


def test_several_labels_keep_their_loss():
    head = find_classifier("resnet101-csra_1xb16_voc07-448px", classes=3).model["head"]
    assert head["loss"]["use_sigmoid"] is True


def test_a_config_of_ones_own():
    found = find_classifier("vanilla/cifar100_resnet20.py", classes=7)
    assert found.name == "cifar100_resnet20"
    assert MODELS.build(found.model).head.num_classes == 7


def test_weights_where_they_can_be_had(monkeypatch):
    monkeypatch.setattr(module, "_answers", lambda address: True)
    found = find_classifier("resnet34", classes=5)
    assert found.weights.endswith(".pth")
    assert found.model["backbone"]["init_cfg"] == dict(
        type="Pretrained", checkpoint=found.weights, prefix="backbone"
    )
    assert find_classifier("resnet34", 5, pretrained=False).weights is None


def test_nothing_answers_at_a_wrong_address(monkeypatch):
    monkeypatch.undo()
    assert not module._answers("http://127.0.0.1:9/weights.pth")
    assert not module._answers("no address")


@pytest.mark.parametrize(
    "name, reason",
    [
        ("resnet43", "no network resnet43; expected one of MMPretrain's .*mean resnet"),
        ("vit", "no network vit; expected one of MMPretrain's .*mean vit-"),
        ("xyz", "no network xyz; expected one of MMPretrain's zoo"),
        ("pckd/letters_resnet20_resnet8_thin.py", "has no head with num_classes"),
        ("resnet50-arcface_inshop", "inshop has no backbone; expected a classifier"),
    ],
)
def test_what_is_no_network(name, reason):
    with pytest.raises(ValueError, match=reason):
        find_classifier(name, 5)
