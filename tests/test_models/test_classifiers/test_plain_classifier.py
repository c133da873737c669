"""Networks that are no part of OpenMMLab."""

import types

import pytest
import torch
import torchvision
from torch import nn

from pckd_mm.models import PlainClassifier
from pckd_mm.registry import MODELS
from pckd_mm.utils.checkpoint import export_student, load_exactly, read_checkpoint
from tests.builders import batch, classifier, pckd_config

RESNET = dict(
    type="pckd_mm.PlainClassifier", model="torchvision.models.resnet18", num_classes=10
)


def tiny():
    torch.manual_seed(2)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 10),
    )


def distil(student, teacher, views=4, **settings):
    torch.manual_seed(0)
    model = MODELS.build(pckd_config(student, teacher, **settings))
    model.progress = 0.25
    model.load_teacher()
    return model.train()


@pytest.mark.parametrize("role", ["student", "teacher"])
def test_step_with_a_network_of_torch(role):
    networks = dict(student=classifier(8), teacher=classifier(14))
    networks[role] = tiny()
    model = distil(networks["student"], networks["teacher"])
    inputs, samples = batch(4)
    losses = model(inputs, samples, mode="loss")
    # Widths of 8 and 16: categories cannot be aligned.
    assert losses.keys() == {
        "student.loss",
        "distill.loss_kd",
        "distill.loss_cc",
        "distill.loss_fa",
    }
    sum(losses.values()).backward()
    assert all(p.grad is not None for p in model.parameters())

    labels = torch.cat([sample.gt_label for sample in samples])
    model.eval()
    losses = model(inputs, samples, mode="loss")
    logits = model.student(inputs[::4])
    expected = nn.functional.cross_entropy(logits, labels)
    torch.testing.assert_close(losses["student.loss"], expected)


def test_checkpoint_holds_the_names_of_the_network(tmp_path):
    model = distil(RESNET, classifier(14), num_views=None)
    torch.save(dict(state_dict=model.state_dict(), meta={}), tmp_path / "run.pth")
    export_student(str(tmp_path / "run.pth"), str(tmp_path / "student.pth"))

    state = read_checkpoint(str(tmp_path / "student.pth"))["state_dict"]
    network = torchvision.models.resnet18(num_classes=10)
    load_exactly(network, state, "the student")  # every tensor, in torchvision
    images = torch.randn(2, 3, 32, 32)
    assert torch.equal(
        network.eval()(images), model.student.eval()(images, mode="tensor")
    )
    # And the other way round, as a teacher's file of torchvision.
    load_exactly(MODELS.build(RESNET), network.state_dict(), "torchvision's")


def test_predicts_and_trains_alone():
    model = PlainClassifier(tiny())
    inputs, samples = batch(3, views=1)
    labels = torch.cat([sample.gt_label for sample in samples])
    model.eval()
    loss = model(inputs, samples, mode="loss")["loss"]
    torch.testing.assert_close(
        loss, nn.functional.cross_entropy(model.model(inputs), labels)
    )
    scores = torch.stack([x.pred_score for x in model(inputs, mode="predict")])
    torch.testing.assert_close(scores, model.model(inputs).softmax(1))


class GivesMore(nn.Module):
    """As Hugging Face's networks, and torchvision's Inception in training."""

    def __init__(self):
        super().__init__()
        self.inner = tiny()

    def forward(self, images):
        return types.SimpleNamespace(logits=self.inner(images), aux_logits=None)


def test_logits_as_an_attribute():
    model = distil(GivesMore(), tiny())
    inputs, samples = batch(4)
    losses = model(inputs, samples, mode="loss")
    assert "distill.loss_ca" in losses  # both classifiers have 8 features


@pytest.mark.parametrize(
    "settings, message",
    [
        (dict(model="torch.pi"), "model='torch.pi', which is no function"),
        (dict(model="torch.Size"), "torch.Size makes a Size; expected an nn.Module"),
        (dict(model=nn.Identity(), num_classes=3), "network Identity and num_classes"),
    ],
)
def test_what_makes_no_network(settings, message):
    with pytest.raises(TypeError, match=message):
        PlainClassifier(**settings)


def test_losses_beside_the_logits_are_not_left_out():
    network = dict(
        type="pckd_mm.PlainClassifier",
        model="torchvision.models.googlenet",
        num_classes=10,
        init_weights=False,
    )
    with pytest.raises(TypeError, match="GoogLeNet gives aux_logits2 and aux_log"):
        distil(network, classifier(14))
    distil(dict(network, aux_logits=False), classifier(14))  # the advice
    distil(classifier(8), network)  # a teacher gives none
