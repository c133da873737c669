"""The rivals of PCKD: a step of each, for pairs alike and unlike in shape."""

import copy

import pytest
import torch
from torch import nn

from pckd_mm.models.losses import ContrastiveRepresentationLoss
from pckd_mm.registry import MODELS
from tests.builders import batch, classifier, small_method

METHODS = dict(
    kd={"loss_kd"},
    fitnet={"loss_hint"},
    at={"loss_at"},
    rkd={"loss_distance", "loss_angle"},
    crd={"loss_crd"},
    dkd={"loss_dkd"},
    dist={"loss_dist"},
)
# Stages of the students: 16 to 4 pixels; those of the unlike teacher: 16 to 2 pixels,
# half the size in the second stage; and the other way round.
UNLIKE = dict(
    classifier(8),
    backbone=dict(
        type="mmpretrain.ResNet_CIFAR", depth=18, base_channels=8, stem_channels=8
    ),
)
UNLIKE["backbone"]["strides"] = (2, 2, 2, 1)
UNLIKE["head"] = dict(UNLIKE["head"], in_channels=64)
PAIRS = {
    "alike": (classifier(8), classifier(14)),
    "smaller teacher map": (classifier(8), UNLIKE),
    "larger teacher map": (UNLIKE, classifier(14)),
}


def settings(name: str, student: dict, teacher: dict) -> dict:
    """The shipped method, for small images and a small training set."""
    model = small_method(name, student, teacher)
    # As a pair of unlike classifiers' widths has it.
    model["distiller"]["distill_losses"]["loss_ca"] = None
    return model


def build(name: str, student: dict, teacher: dict):
    torch.manual_seed(0)
    model = MODELS.build(settings(name, student, teacher))
    model.progress = 0.5
    model.load_teacher()
    for module in model.modules():
        if isinstance(module, ContrastiveRepresentationLoss):
            module.set_labels(torch.arange(40) % 10)
    return model.train()


def images(number: int = 4):
    inputs, samples = batch(number, views=1, size=16)
    for index, sample in enumerate(samples):
        sample.set_metainfo(dict(sample_idx=3 * index))
    return inputs, samples


@pytest.mark.parametrize("pair", PAIRS)
@pytest.mark.parametrize("name", METHODS)
def test_a_training_step(name, pair):
    model = build(name, *PAIRS[pair])
    losses = model(*images(), mode="loss")
    distill = {f"distill.{loss}" for loss in METHODS[name]}
    assert set(losses) == {"student.loss"} | distill
    total, _ = model.parse_losses(losses)
    total.backward()
    assert total.isfinite()
    for parameter_name, parameter in model.named_parameters():
        assert parameter.grad is not None, parameter_name
    assert all(float(losses[loss].detach()) > 0 for loss in distill)


@pytest.mark.parametrize("name", METHODS)
def test_hooks_survive_the_conversion_to_sync_bn(name):
    model = build(name, *PAIRS["alike"]).eval()
    torch.manual_seed(1)
    before = model(*images(), mode="loss")
    model = nn.SyncBatchNorm.convert_sync_batchnorm(model)
    model.train().eval()
    torch.manual_seed(1)
    after = model(*images(), mode="loss")
    torch.testing.assert_close(after, before)


def test_fitnet_takes_the_second_stage():
    model = build("fitnet", *PAIRS["alike"]).eval()
    inputs, samples = images()
    found = model(inputs, samples, mode="loss")["distill.loss_hint"]

    def second_stage(network):
        backbone = network.backbone
        x = backbone.bn1(backbone.conv1(inputs)).relu()
        return backbone.layer2(backbone.layer1(x))

    regressed = model.distiller.connectors["hint"](second_stage(model.student))
    expected = (regressed - second_stage(model.teacher)).square().mean()
    torch.testing.assert_close(found, 100 * expected)


def test_dkd_grows_with_the_progress_of_the_run():
    model = build("dkd", *PAIRS["alike"]).eval()
    values = []
    for progress in (10 / 240, 0.5):
        model.progress = progress
        values.append(model(*images(), mode="loss")["distill.loss_dkd"])
    torch.testing.assert_close(2 * values[0], values[1])


def test_crd_memories_follow_the_images_of_the_batch():
    model = build("crd", *PAIRS["alike"])
    memory = model.distiller.distill_losses["loss_crd"].t_memory
    before = memory.clone()
    model(*images(4), mode="loss")
    moved = (memory != before).any(dim=1).nonzero().flatten()
    assert moved.tolist() == [0, 3, 6, 9]


def test_crd_state_is_in_the_checkpoint_but_not_in_the_student():
    model = build("crd", *PAIRS["alike"])
    memories = {name for name in model.state_dict() if "memory" in name}
    prefix = "distiller.distill_losses.loss_crd."
    assert memories == {prefix + "s_memory", prefix + "t_memory"}


def test_crd_needs_the_places_of_the_images():
    model = build("crd", *PAIRS["alike"])
    inputs, samples = batch(4, views=1, size=16)
    with pytest.raises(ValueError, match="sample_idx, which the data samples do not"):
        model(inputs, samples, mode="loss")


def test_progress_is_asked_for_only_where_a_loss_takes_it():
    for name in METHODS:
        model = build(name, *PAIRS["alike"])
        assert model.distiller.asks_for("progress") == (name == "dkd"), name
        assert model.distiller.asks_for("sample_idx") == (name == "crd"), name


def test_a_copy_leaves_the_original_alone():
    # EMAHook copies the whole algorithm.
    model = build("at", *PAIRS["alike"]).eval()
    expected = model(*images(), mode="loss")
    copy.deepcopy(model)
    torch.testing.assert_close(model(*images(), mode="loss"), expected)
