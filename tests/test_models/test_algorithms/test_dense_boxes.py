"""Localisation distillation of a one-stage detector's boxes, by plain loops."""

import math

import pytest
import torch

pytest.importorskip("mmdet.models", exc_type=ImportError)

from pckd_mm.registry import MODELS
from tests.builders import in_processes, scenes
from tests.dense import dense_detector
from tests.dense_steps import (
    BOXES,
    Watched,
    build,
    dense_method,
    expected_labels,
    instances,
    pair,
)

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


def by_loops(student, teacher, scores, places, temperature=10, weight=0.25):
    """Sum over the sides, over 4, of score T^2 KL(teacher, student) / bins."""
    total = torch.zeros(()).double()
    for image, level, y, x, _ in places:
        logits = scores[level][image, :, y, x].tolist()
        score = 1 / (1 + math.exp(-max(logits)))
        for side in range(4):
            channels = range(side * BINS, (side + 1) * BINS)
            s = log_softmax(
                [student[level][image, c, y, x] / temperature for c in channels]
            )
            t = log_softmax(
                [teacher[level][image, c, y, x] / temperature for c in channels]
            )
            kl = sum(math.exp(b) * (float(b) - a) for a, b in zip(s, t, strict=True))
            total = total + score * temperature**2 * kl / BINS
    return weight * total / 4


def test_value_and_gradient_equal_plain_loops():
    watched, maps = watch(pair("gfl", "pckd_ld_dense"))
    assert [len(of_one) for of_one in maps.values()] == [3, 3]
    labels = expected_labels("gfl", watched, BOXES)
    chosen = instances(labels, watched.maps["teacher"], anchors=1)
    places = [place for place, label in chosen if label < 4]
    assert len({level for _, level, *_ in places}) > 1
    leaves = [x.detach().double().requires_grad_() for x in maps["student"]]
    teacher = [x.detach().double() for x in maps["teacher"]]
    scores = [output.detach() for _, output in watched.maps["student"]]
    wanted = by_loops(leaves, teacher, scores, places)
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


@pytest.mark.parametrize("images", [2, 6])
def test_it_is_mmdets(images):
    """Whatever the number of images, mmdet's own head has the same loss."""
    boxes = BOXES * (images // 2)
    model = pair("gfl", "pckd_ld_dense")
    watched, _ = watch(model, boxes)
    cfg = {**dense_detector("gfl")["bbox_head"], "type": "mmdet.LDHead"}
    cfg["loss_ld"] = dict(
        type="mmdet.KnowledgeDistillationKLDivLoss", loss_weight=0.25, T=10
    )
    head = MODELS.build({**cfg, "train_cfg": model.student.bbox_head.train_cfg})
    head.load_state_dict(model.student.bbox_head.state_dict())
    data = model.data_preprocessor(scenes(boxes), True)
    with torch.no_grad():
        student, teacher = (
            network.extract_feat(data["inputs"])
            for network in (model.student, model.teacher)
        )
        soft = model.teacher.bbox_head(teacher)
        losses = head.loss(student, soft, data["data_samples"])
    found = watched.losses["distill.loss_ld"].detach()
    torch.testing.assert_close(found, sum(losses["loss_ld"]))


def _of_two(rank, folder):
    model = pair("gfl", "pckd_ld_dense")
    watched, _ = watch(model, BOXES if rank == 0 else [[], []])
    torch.save(watched.losses["distill.loss_ld"].detach(), f"{folder}/{rank}.pth")


def test_two_processes_one_of_which_has_no_object(tmp_path):
    in_processes(2, _of_two, tmp_path, str(tmp_path))
    first, second = (
        torch.load(tmp_path / f"{rank}.pth", weights_only=True) for rank in (0, 1)
    )
    alone, _ = watch(pair("gfl", "pckd_ld_dense"))
    # A sum, as mmdet's: DDP takes the mean of the processes' gradients.
    assert second == 0
    torch.testing.assert_close(first, alone.losses["distill.loss_ld"].detach())


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


def test_a_name_of_its_own_is_refused():
    distiller = dense_method("pckd_ld_dense")["distiller"]
    distiller["student_recorders"]["dense_boxes_0"] = dict(type="ModuleInputs")
    with pytest.raises(ValueError, match="student recorder dense_boxes_0, a name that"):
        pair("gfl", "pckd_ld_dense", distiller=distiller)


def test_other_distributions_are_refused():
    networks = dense_detector("gfl"), dense_detector("gfl", reg_max=12)
    with pytest.raises(
        ValueError, match="student has reg_max=8 and the teacher reg_max=12"
    ):
        build(*networks, method="pckd_ld_dense")
