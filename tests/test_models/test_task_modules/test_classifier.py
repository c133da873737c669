"""The classifier of a network is found by running it, whatever its layers are called.

What is found is held against its definition: feature times centers plus bias are the
logits that the network predicts by.
"""

import copy

import pytest
import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from mmpretrain.models import ImageClassifier
from mmpretrain.registry import MODELS as MMPRETRAIN_MODELS
from torch import nn

from pckd_mm.models import PlainClassifier
from pckd_mm.models.distillers.classifier_sources import (
    require_predictions,
    resolve_sources,
)
from pckd_mm.models.task_modules.find_classifier import find_classifier
from pckd_mm.registry import TASK_UTILS


class Features(BaseModule):
    """A backbone that gives features in the forms that heads ask for."""

    def __init__(self, form="plain", width=6):
        super().__init__()
        self.conv = nn.Conv2d(3, width, 3)
        self.other = nn.Conv2d(3, width + 1, 3)
        self.form = form

    def forward(self, images):
        feature, other = self.conv(images), self.other(images)
        if self.form == "map":
            return (feature,)
        feature, other = (each.mean(dim=(2, 3)) for each in (feature, other))
        return {
            "plain": (feature,),
            "two tokens": ([feature, 2 * feature + 1],),
            "two widths": ([feature, other],),
        }[self.form]


def network(head, form="plain"):
    torch.manual_seed(1)
    settings = dict(head)
    if settings["type"] != "MultiTaskHead":
        settings.setdefault("num_classes", 5)
    built = ImageClassifier(Features(form), head=MMPRETRAIN_MODELS.build(settings))
    return built.double().eval()


HEADS = {
    "linear": (dict(type="LinearClsHead", in_channels=6), "plain"),
    "hidden layer": (
        dict(type="VisionTransformerClsHead", in_channels=6, hidden_dim=7),
        "plain",
    ),
    "stacked": (
        dict(type="StackedLinearClsHead", in_channels=6, mid_channels=[5, 9]),
        "plain",
    ),
    "vig": (dict(type="VigClsHead", in_channels=6, hidden_dim=8), "plain"),
    "levit": (dict(type="LeViTClsHead", in_channels=6, distillation=False), "plain"),
    "levit, distilled": (dict(type="LeViTClsHead", in_channels=6), "plain"),
    "deit, distilled": (dict(type="DeiTClsHead", in_channels=6), "two tokens"),
    "efficientformer, distilled": (
        dict(type="EfficientFormerClsHead", in_channels=6),
        "plain",
    ),
    "conformer": (dict(type="ConformerHead", in_channels=[6, 7]), "two widths"),
    "arcface": (dict(type="ArcFaceClsHead", in_channels=6), "plain"),
    "several labels": (dict(type="MultiLabelLinearClsHead", in_channels=6), "plain"),
}
WIDTHS = {
    "hidden layer": 7,
    "stacked": 9,
    "vig": 8,
    "levit, distilled": 12,
    "deit, distilled": 12,
    "efficientformer, distilled": 12,
    "conformer": 13,
}


def record(model, classifier):
    """What the recorders of the methods record of a model, on some images."""
    configs = dict(
        feature=dict(type="ModuleInputs", source="classifier"),
        logits=dict(type="ModuleOutputs", source="classifier"),
        centers=dict(type="Parameter", source="classifier.weight"),
        bias=dict(type="Parameter", source="classifier.bias"),
    )
    resolved = resolve_sources(
        dict(student_recorders=configs), True, classifier, "network"
    )
    recorders = {}
    for name, cfg in resolved.items():
        scope = "" if "." in cfg["type"] else "mmrazor."
        cfg = dict(cfg, type=f"{scope}{cfg['type']}Recorder")
        recorders[name] = TASK_UTILS.build(cfg)
        recorders[name].initialize(model)
    images = torch.randn(4, 3, 32, 32, dtype=torch.float64)
    for recorder in recorders.values():
        recorder.__enter__()
    model(images, mode="tensor")
    for recorder in recorders.values():
        recorder.__exit__(None, None, None)
    data = {name: each.get_record_data() for name, each in recorders.items()}
    return images, dict(data, feature=data["feature"][0])


@pytest.mark.parametrize("name", HEADS)
@pytest.mark.parametrize("initialised", [False, True], ids=["built", "initialised"])
def test_feature_and_centers_give_the_logits_that_are_predicted(name, initialised):
    model = network(*HEADS[name])
    if initialised:  # some begin with weights of zero, so that all logits are alike
        model.init_weights()
    classifier = find_classifier(model, "student")
    assert classifier.num_classes == 5
    assert classifier.width == WIDTHS.get(name, 6)
    for parameter in model.head.parameters():
        nn.init.normal_(parameter)
    images, found = record(model, classifier)

    scores = torch.stack([x.pred_score for x in model(images, mode="predict")])
    expected = found["logits"].softmax(1)
    if name == "several labels":
        expected = found["logits"].sigmoid()
    torch.testing.assert_close(scores, expected, rtol=0, atol=1e-12)
    linear = found["feature"] @ found["centers"].T + found["bias"]
    torch.testing.assert_close(linear, found["logits"], rtol=1e-9, atol=1e-9)


def test_one_layer_is_recorded_by_its_name():
    classifier = find_classifier(network(*HEADS["linear"]), "student")
    assert classifier.path == "head.fc"
    recorders = dict(a=dict(type="Parameter", source="classifier.weight"))
    resolved = resolve_sources(
        dict(student_recorders=recorders), True, classifier, "network"
    )
    assert resolved == dict(a=dict(type="Parameter", source="head.fc.weight"))


class Pooled(nn.Module):
    """A convolution for a classifier, at the end of a plain network."""

    def __init__(self, bias):
        super().__init__()
        self.features = nn.Conv2d(3, 6, 3)
        self.classifier = nn.Conv2d(6, 5, 1, bias=bias)

    def forward(self, images):
        pooled = F.adaptive_avg_pool2d(self.features(images).relu(), 1)
        return self.classifier(pooled).flatten(1)


@pytest.mark.parametrize("bias", [False, True])
def test_convolution_for_a_classifier(bias):
    model = PlainClassifier(Pooled(bias)).double().eval()
    classifier = find_classifier(model, "teacher")
    assert (classifier.width, classifier.num_classes) == (6, 5)
    images, found = record(model, classifier)
    torch.testing.assert_close(found["logits"], model(images), rtol=0, atol=1e-12)
    linear = found["feature"] @ found["centers"].T + found["bias"]
    torch.testing.assert_close(linear, found["logits"], rtol=1e-9, atol=1e-9)
    assert found["bias"].any() == bias


class Scaled(nn.Module):
    """Logits by a temperature that is learned: no factor that stays."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 3)
        self.fc = nn.Linear(6, 5)
        self.scale = nn.Parameter(torch.tensor([2.0]))

    def forward(self, images):
        return self.scale * self.fc(self.conv(images).mean(dim=(2, 3)))


@pytest.mark.parametrize(
    "model",
    [
        network(dict(type="CSRAClsHead", in_channels=6, num_heads=2, lam=0.1), "map"),
        PlainClassifier(Scaled()),
    ],
    ids=["csra", "learned temperature"],
)
def test_logits_that_are_not_linear(model):
    classifier = find_classifier(model, "teacher")
    assert classifier.layers == () and classifier.width is None
    recorders = dict(
        logits=dict(type="ModuleOutputs", source="classifier"),
        centers=dict(type="Parameter", source="classifier.weight"),
    )
    distiller = dict(teacher_recorders=recorders)
    # What no loss uses is left out.
    resolved = resolve_sources(distiller, False, classifier, "Net")
    assert list(resolved) == ["logits"]
    assert resolved["logits"]["source"] in ("head", "model")
    distiller.update(
        distill_losses=dict(loss_ca=dict()),
        loss_forward_mappings=dict(
            loss_ca=dict(t_centers=dict(recorder="centers", from_student=False))
        ),
    )
    with pytest.raises(ValueError, match=r"teacher \(Net\) has no .*loss_ca asks"):
        resolve_sources(distiller, False, classifier, "Net")


def test_several_tasks():
    heads = {
        name: dict(type="LinearClsHead", in_channels=6, num_classes=classes)
        for name, classes in (("colour", 4), ("shape", 3))
    }
    model = network(dict(type="MultiTaskHead", task_heads=heads))
    classifier = find_classifier(model, "student", task="shape")
    assert classifier.path == "head.task_heads.shape.fc"
    assert classifier.num_classes == 3
    with pytest.raises(ValueError, match="has the tasks colour, shape and .*task=None"):
        find_classifier(model, "student")
    with pytest.raises(ValueError, match="task=size; expected"):
        find_classifier(model, "student", task="size")
    del heads["shape"]
    one = network(dict(type="MultiTaskHead", task_heads=heads))
    assert find_classifier(one, "student").task == "colour"


class OnlyThisSize(nn.Module):
    def __init__(self, size, channels=1):
        super().__init__()
        self.conv = nn.Conv2d(channels, 2, 3)
        self.fc = nn.Linear(2 * (size - 2) ** 2, 3)

    def forward(self, images):
        return self.fc(self.conv(images).flatten(1))


def test_size_of_the_images():
    assert find_classifier(PlainClassifier(OnlyThisSize(64)), "student").width == 7688
    odd = PlainClassifier(OnlyThisSize(10))
    with pytest.raises(ValueError, match="runs on no .* 1 x 32 x 32 .*input_shape"):
        find_classifier(odd, "student")
    classifier = find_classifier(odd, "student", input_shape=(1, 10, 10))  # the advice
    assert classifier.input_shape == (1, 10, 10)


@pytest.mark.parametrize("end", [nn.Softmax(1), nn.Sigmoid()])
def test_probabilities_are_no_logits(end):
    model = PlainClassifier(nn.Sequential(Pooled(bias=True), end))
    with pytest.raises(ValueError, match=r"gives probabilities, the s\w+ of what"):
        find_classifier(model, "teacher")


class Exits(nn.Module):
    """A network with two exits, of which nothing says which one counts."""

    def __init__(self):
        super().__init__()
        self.one, self.other = Pooled(bias=True), Pooled(bias=True)

    def forward(self, images):
        return [self.one(images), self.other(images)]


def test_several_outputs_of_a_plain_network():
    with pytest.raises(ValueError, match="gives list for .*give the one that counts"):
        find_classifier(PlainClassifier(Exits()), "teacher")


@pytest.mark.parametrize(
    "name, source",
    [
        ("arcface", "head.norm_product"),  # not scaled
        ("levit, distilled", "head.head.linear"),
        ("levit, distilled", "head.head"),  # gives what its last layer gives
        ("conformer", "head.conv_cls_head"),
    ],
)
def test_a_part_of_the_logits_is_not_taken_for_them(name, source):
    classifier = find_classifier(network(*HEADS[name]), "teacher")
    recorders = dict(fc=dict(type="ModuleOutputs", source=source))
    with pytest.raises(ValueError, match=f"recorder fc has source '{source}', whose"):
        require_predictions(recorders, "teacher", classifier)
    recorders = dict(logits=dict(type="ModuleOutputs", source="backbone.conv"))
    with pytest.raises(ValueError, match="recorder logits .*another name if this"):
        require_predictions(recorders, "teacher", classifier)
    recorders = dict(feature=recorders["logits"])  # the advice
    require_predictions(recorders, "teacher", classifier)


def test_output_that_is_no_logits():
    model = PlainClassifier(nn.Conv2d(3, 4, 3))
    with pytest.raises(ValueError, match=r"gives a tensor of shape \(3, 4, 30, 30\)"):
        find_classifier(model, "teacher")


def test_network_stays_as_it_is():
    model = network(*HEADS["linear"]).train()
    before = copy.deepcopy(model.state_dict())
    torch.manual_seed(3)
    find_classifier(model, "student")
    drawn = torch.rand(1)
    torch.manual_seed(3)
    assert torch.equal(drawn, torch.rand(1))
    assert model.training and model.backbone.training
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())
    assert not any(module._forward_hooks for module in model.modules())
