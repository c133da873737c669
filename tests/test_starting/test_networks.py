"""Networks by the names that people say."""

import pytest

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
    ],
)
def test_what_is_no_network(name, reason):
    with pytest.raises(ValueError, match=reason):
        find_classifier(name, 5)
