"""Localisation distillation of a one-stage detector's boxes, by plain loops."""

import math

import pytest
import torch

pytest.importorskip("mmdet.models", exc_type=ImportError)

from tests.dense import dense_detector
from tests.dense_steps import BOXES, Watched, build, expected_labels, instances, pair

BINS = 9  # reg_max=8


def watch(model, boxes=BOXES):
    """A step, and what the scales of both heads give on each level."""
    maps, handles = {"student": [], "teacher": []}, []
    for who, kept in maps.items():
        # Distributions as after training: at the start all are nearly flat.
        torch.nn.init.normal_(getattr(model, who).bbox_head.gfl_reg.weight, std=1)
        for scale in getattr(model, who).bbox_head.scales:
            keep = kept.append
            handles.append(
                scale.register_forward_hook(
                    lambda _, i, output, keep=keep: keep(output)
                )
            )
    watched = Watched(model, boxes)
    for handle in handles:
        handle.remove()
    return watched, maps


def log_softmax(values):
    highest = max(float(v) for v in values)
    total = sum(((v - highest).exp() for v in values), torch.zeros(()).double())
    return [v - highest - total.log() for v in values]


def by_loops(student, teacher, places, temperature=10, weight=0.25):
    """Mean over the sides of T^2 KL(teacher, student), itself a mean over the bins."""
    total, count = torch.zeros(()).double(), 0
    for image, level, y, x, _ in places:
        for side in range(4):
            channels = range(side * BINS, (side + 1) * BINS)
            s = log_softmax(
                [student[level][image, c, y, x] / temperature for c in channels]
            )
            t = log_softmax(
                [teacher[level][image, c, y, x] / temperature for c in channels]
            )
            kl = sum(math.exp(b) * (float(b) - a) for a, b in zip(s, t, strict=True))
            total, count = total + temperature**2 * kl / BINS, count + 1
    return weight * total / count


def test_value_and_gradient_equal_plain_loops():
    watched, maps = watch(pair("gfl", "pckd_ld_dense"))
    assert [len(of_one) for of_one in maps.values()] == [3, 3]
    labels = expected_labels("gfl", watched, BOXES)
    chosen = instances(labels, watched.maps["teacher"], anchors=1)
    places = [place for place, label in chosen if label < 4]
    assert len({level for _, level, *_ in places}) > 1
    leaves = [x.detach().double().requires_grad_() for x in maps["student"]]
    teacher = [x.detach().double() for x in maps["teacher"]]
    wanted = by_loops(leaves, teacher, places)
    found = watched.losses["distill.loss_ld"]
    assert wanted > 0
    torch.testing.assert_close(found.double(), wanted, rtol=1e-5, atol=1e-9)
    grads = torch.autograd.grad(found, maps["student"], retain_graph=True)
    plain = torch.autograd.grad(wanted, leaves, allow_unused=True)
    for one, other in zip(grads, plain, strict=True):
        if other is None:  # a level without an object
            other = torch.zeros_like(one).double()
        assert (one.double() - other).norm() <= 1e-5 * other.norm()
    assert not any(x.requires_grad for x in maps["teacher"])


def test_the_other_losses_are_as_without_it():
    plain, beside = (
        Watched(pair("gfl", method)).losses
        for method in ("pckd_dense", "pckd_ld_dense")
    )
    assert beside.keys() - plain.keys() == {"distill.loss_ld"}
    for name, value in plain.items():
        for one, other in zip(
            *(x if isinstance(x, list) else [x] for x in (value, beside[name])),
            strict=True,
        ):
            torch.testing.assert_close(one, other)


def test_the_teacher_runs_no_boxes_where_none_are_compared():
    _, maps = watch(pair("gfl"))
    assert len(maps["student"]) == 3 and not maps["teacher"]


def test_a_batch_without_objects_is_zero():
    watched, _ = watch(pair("gfl", "pckd_ld_dense"), [[], []])
    loss = watched.losses["distill.loss_ld"]
    assert loss == 0 and loss.requires_grad


def test_boxes_of_numbers_are_refused():
    with pytest.raises(
        ValueError, match="student has a FCOSHead, which predicts boxes"
    ):
        pair("fcos", "pckd_ld_dense")


def test_other_distributions_are_refused():
    networks = dense_detector("gfl"), dense_detector("gfl", reg_max=12)
    with pytest.raises(
        ValueError, match="student has reg_max=8 and the teacher reg_max=12"
    ):
        build(*networks, method="pckd_ld_dense")
