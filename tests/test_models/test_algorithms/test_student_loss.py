"""calculate_student_loss=False: what a student learns from the teacher alone."""

import pytest
import torch
from mmengine.model import MMDistributedDataParallel

from pckd_mm.registry import MODELS
from tests.builders import (
    batch,
    build_pckd,
    classifier,
    in_processes,
    method,
    pckd_config,
)

STUDENT, TEACHER = classifier(8), classifier(14)


def build(losses=None, **settings):
    """PCKD with some of its losses, without preview."""
    distiller = dict(method("pckd")["distiller"], preview=None)
    for name in distiller["distill_losses"]:
        if losses is not None and name not in losses:
            distiller["distill_losses"][name] = None
    settings.setdefault("calculate_student_loss", False)
    return build_pckd(STUDENT, TEACHER, distiller=distiller, **settings)


def total(model, losses):
    return model.parse_losses(losses)[0]


def gradients(model) -> dict:
    model.zero_grad()
    total(model, model(*batch(3), mode="loss")).backward()
    return {name: weight.grad.clone() for name, weight in model.named_parameters()}


def test_the_sum_is_that_of_the_distillation():
    alone, both = build(), build(calculate_student_loss=True)
    found = alone(*batch(3), mode="loss")
    expected = both(*batch(3), mode="loss")
    own = expected.pop("student.loss")
    assert found.keys() == expected.keys()
    torch.testing.assert_close(total(alone, found), sum(expected.values()))
    assert own > 0.1


def test_gradients_are_those_of_the_distillation():
    model = build(calculate_student_loss=True)
    model.student.head.loss_module.loss_weight = 0.0
    expected = gradients(model)
    found = gradients(build())
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value)


def test_what_no_loss_reaches_has_no_gradient():
    """So that weight decay leaves it alone; with DDP it has one of zero, see below."""
    model = build(losses=["loss_fa"])  # of features
    sum(model(*batch(4), mode="loss").values()).backward()
    for name, parameter in model.student.named_parameters():
        assert (parameter.grad is None) == ("head" in name), name


def test_what_is_frozen_stays_so():
    model = build()
    model.student.backbone.conv1.requires_grad_(False)
    total(model, model(*batch(3), mode="loss")).backward()
    assert model.student.backbone.conv1.weight.grad is None


def test_the_students_loss_is_not_computed():
    model = build()
    model.student.head.loss_module = None
    model(*batch(3), mode="loss")


def work(rank: int) -> None:
    wrapped = MMDistributedDataParallel(build(losses=["loss_fa"]), device_ids=None)
    for step in range(2):  # DDP complains in the second
        losses = wrapped(*batch(4, seed=step), mode="loss")
        wrapped.module.parse_losses(losses)[0].backward()
    head = wrapped.module.student.head.fc.weight.grad
    assert head is not None and not head.any()


def test_no_process_waits_for_a_gradient(tmp_path):
    in_processes(1, work, tmp_path)


def test_nothing_to_learn_from_is_refused():
    config = pckd_config(STUDENT, TEACHER, calculate_student_loss=False)
    losses = config["distiller"]["distill_losses"]
    kept = dict(losses)
    losses.update(dict.fromkeys(losses))
    with pytest.raises(
        ValueError, match="calculate_student_loss=False and no distill_"
    ):
        MODELS.build(config)
    # The advice.
    losses["loss_kd"] = kept["loss_kd"]
    MODELS.build(config)
    losses["loss_kd"] = None
    config.pop("calculate_student_loss")
    MODELS.build(config)


def test_nothing_is_left_when_distillation_stops():
    model = build()
    model.distillation_stopped = True
    with pytest.raises(ValueError, match="distillation stopped and calculate_student_"):
        model(*batch(3), mode="loss")
    model.calculate_student_loss = True
    assert total(model, model(*batch(3), mode="loss")) > 0
