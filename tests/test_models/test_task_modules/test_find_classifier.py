"""Networks whose classifier torch.compile hides."""

import pytest
import torch
from torch import nn

from pckd_mm.models import PlainClassifier
from pckd_mm.models.task_modules.find_classifier import find_classifier
from pckd_mm.registry import MODELS
from pckd_mm.utils.config import load_config


def layers_of_torch():
    torch.manual_seed(0)
    features = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return features, nn.Linear(4, 5)


@pytest.mark.parametrize("part", ["all", "inside", "head"])
@pytest.mark.parametrize("who", ["student", "teacher"])
def test_a_classifier_that_is_compiled_is_refused_and_the_advice_holds(part, who):
    features, head = layers_of_torch()
    whole = nn.Sequential(features, head)
    compiled = {
        "all": lambda: torch.compile(whole, backend="eager"),
        "inside": lambda: nn.Sequential(torch.compile(whole, backend="eager")),
        "head": lambda: nn.Sequential(features, torch.compile(head, backend="eager")),
    }[part]()
    with pytest.raises(ValueError, match=f"The {who} found a network of torch.compile"):
        find_classifier(PlainClassifier(compiled), who, (3, 8, 8))
    whole.compile(backend="eager")
    found = find_classifier(PlainClassifier(whole), who, (3, 8, 8))
    assert [layer.name for layer in found.layers] == ["model.1"]


def test_a_compiled_backbone_is_no_hindrance():
    features, head = layers_of_torch()
    network = nn.Sequential(torch.compile(features, backend="eager"), head)
    found = find_classifier(PlainClassifier(network), "student", (3, 8, 8))
    assert [layer.name for layer in found.layers] == ["model.1"]


def test_a_compiled_backbone_may_give_several_stages():
    cfg = load_config("vanilla/cifar100_resnet8_30e.py")
    network = MODELS.build(cfg.model)
    network.backbone = torch.compile(network.backbone, backend="eager")
    found = find_classifier(network, "student", (3, 32, 32))
    assert [layer.name for layer in found.layers] == ["head.fc"]
    assert found.num_classes == 100
