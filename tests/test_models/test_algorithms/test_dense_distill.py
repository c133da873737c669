"""DenseDistill: which places are instances, and what the losses are made of."""

import copy

import pytest
import torch
from torch import nn

from pckd_mm.models.algorithms.dense_networks import classifying
from tests import reference
from tests.dense import KINDS
from tests.dense_steps import (
    BOXES,
    CLASSES,
    EPOCH,
    EPOCHS,
    Watched,
    anchors_of,
    assigned_labels,
    dense_method,
    expected_labels,
    instances,
    logits_at,
    pair,
    patch_at,
)

# What the loss gets in the end is not what an assigner alone says; see below.
BY_LOSS = ("paa", "fovea", "yolof", "reppoints", "fsaf")


class TakesAll(nn.Module):
    """A loss of the features of all instances, patches and middle columns."""

    def forward(self, of_student, of_teacher):
        return sum(values.sum() for values in (*of_student, *of_teacher))


def method_with(loss) -> dict:
    distiller = dense_method().distiller
    distiller.distill_losses.loss_more = dict(type=loss)
    distiller.loss_forward_mappings.loss_more = dict(
        of_student=dict(recorder="feature", from_student=True),
        of_teacher=dict(recorder="feature", from_student=False),
    )
    return distiller


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in BY_LOSS])
@pytest.mark.parametrize("boxes", [BOXES, [[], BOXES[0]]], ids=["all", "one_empty"])
def test_both_networks_are_recorded_at_the_same_places(kind, boxes):
    model = pair(kind, distiller=method_with(TakesAll))
    watched = Watched(model, boxes)
    check_places(model, watched, expected_labels(kind, watched, boxes))


def check_places(model, watched, labels) -> None:
    wanted = instances(labels, watched.maps["teacher"], anchors_of(model))
    n = len(wanted) // 2
    assert n > 0 and len(wanted) == 2 * n
    found = watched.records["student", "labels"]
    assert found.tolist() == [label for _, label in wanted]
    for who in ("student", "teacher"):
        maps, records = watched.maps[who], watched.records
        convs = list(classifying(getattr(model, who)).values())
        kernel = convs[0].kernel_size[0]
        logits = torch.stack([logits_at(maps, place) for place, _ in wanted])
        assert torch.equal(records[who, "logits"], logits)
        inputs = [entered for entered, _ in maps]
        patches = torch.stack([patch_at(inputs, p, kernel) for p, _ in wanted])
        patch, middle = records[who, "feature"]
        torch.testing.assert_close(patch, patches, rtol=0, atol=0)
        places = [inputs[level][i, :, y, x] for (i, level, y, x, _), _ in wanted]
        assert torch.equal(middle, torch.stack(places))
        # z = W f + b, with the centers of the instance's anchor and level.
        centers, bias = records[who, "centers"], records[who, "bias"]
        if centers.ndim == 2:
            centers, bias = centers[None], bias[None]
        own = records["student", "group"]
        assert len(centers) == anchors_of(model) * len(convs)
        linear = torch.einsum("ncd,nd->nc", centers[own], patch) + bias[own]
        torch.testing.assert_close(linear, logits, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "method, of_student, of_teacher",
    [
        ("kd_dense", (False, False), (False, False)),
        # Contrast is of the student's patches, feature alignment of both's columns.
        ("pckd_dense", (True, True), (False, True)),
    ],
)
def test_features_are_those_that_losses_take(method, of_student, of_teacher):
    records = Watched(pair("gfl", method)).records
    objects = int((records["student", "labels"] < CLASSES).sum())
    for who, wanted in (("student", of_student), ("teacher", of_teacher)):
        assert len(records[who, "logits"]) == 2 * objects > 0
        for values, is_taken in zip(records[who, "feature"], wanted, strict=True):
            # None of the background.
            found = None if values is None else len(values)
            assert found == (objects if is_taken else None)


class KeepsRows(nn.Module):
    """A loss that keeps what it gets."""

    def forward(self, of_student, of_teacher):
        self.got = (of_student, of_teacher)
        return (of_student[0] if isinstance(of_student, tuple) else of_student).sum()


@pytest.mark.parametrize(
    "taken, widths",
    [
        (dict(foreground=True), (144, 16)),
        (dict(data_idx=-1, foreground=True), 16),
        (dict(data_idx=-2), 144),
        ({}, (144, 16)),
    ],
)
@pytest.mark.parametrize("boxes", [BOXES, [[], []]], ids=["objects", "none"])
def test_rows_of_a_feature_however_it_is_asked_for(taken, widths, boxes):
    distiller = method_with(KeepsRows)
    for record in distiller.loss_forward_mappings.loss_more.values():
        record.update(taken)
    model = pair("gfl", distiller=distiller)
    watched = Watched(model, boxes)
    objects = int((watched.records["student", "labels"] < CLASSES).sum())
    assert bool(objects) == any(boxes)
    rows = objects if "foreground" in taken else 2 * objects
    for found in model.distiller.distill_losses["loss_more"].got:
        found = found if isinstance(found, tuple) else (found,)
        wanted = widths if isinstance(widths, tuple) else (widths,)
        assert [tuple(x.shape) for x in found] == [(rows, width) for width in wanted]


@pytest.mark.parametrize("boxes", [BOXES, [[], BOXES[0]]], ids=["all", "one_empty"])
def test_of_an_object_in_every_level_the_one_of_the_smallest_loss(boxes):
    """FSAF's, by loops over what its own losses gave."""
    model = pair("fsaf", distiller=method_with(TakesAll))
    losses = []
    head = model.bbox_head
    handles = [
        loss.register_forward_hook(lambda _, inputs, output: losses.append(output))
        for loss in (head.loss_cls, head.loss_bbox)
    ]
    watched = Watched(model, boxes)
    for handle in handles:
        handle.remove()
    # Of each level both, image by image.
    of_categories = [loss.unflatten(0, (len(boxes), -1)) for loss in losses[::2]]
    of_boxes = [loss.unflatten(0, (len(boxes), -1)) for loss in losses[1::2]]
    sizes = [loss.shape[1] for loss in of_categories]
    labels = assigned_labels(watched.assigned, boxes)
    chosen, levels = set(), set()
    for image, found in enumerate(watched.assigned):
        of_levels = found.split(sizes)
        for k in range(1, len(boxes[image]) + 1):
            means = {}
            for level, inds in enumerate(of_levels):
                places = (inds == k).nonzero().squeeze(1).tolist()
                each = [
                    float(of_categories[level][image, place].sum())
                    + float(of_boxes[level][image, place].sum())
                    for place in places
                ]
                if each:
                    means[level] = sum(each) / len(each)
            best = min(means, key=means.get)
            levels.add((len(means), best))
            for level, inds in enumerate(of_levels):
                if level != best:
                    places = (inds == k).nonzero().squeeze(1) + sum(sizes[:level])
                    labels[image, places] = -1
        # Around objects the loss of their category is left out.
        around = watched.assigners_results[image].get_extra_property("shadowed_labels")
        for place, _ in around.tolist():
            chosen.add(place)
            if labels[image, place] == CLASSES:
                labels[image, place] = -1
    assert chosen and any(count > 1 for count, _ in levels)
    check_places(model, watched, labels)


@pytest.mark.parametrize("kind", [kind for kind in BY_LOSS if kind != "fsaf"])
def test_labels_are_those_that_the_loss_gets(kind):
    model = pair(kind)
    kept = []
    handle = model.student.bbox_head.loss_cls.register_forward_hook(
        lambda _, inputs, output: kept.append(inputs)
    )
    watched = Watched(model)
    handle.remove()
    # A call for all levels, the last where PAA chooses by it before; or one for each.
    calls = kept if kind == "reppoints" else kept[-1:]
    scores, labels = (torch.cat([call[k] for call in calls]) for k in (0, 1))
    found = watched.records["student", "labels"]
    positive = (labels < CLASSES).nonzero().squeeze(1)
    n = len(positive)
    assert 0 < n and len(found) == 2 * n
    assert sorted(found[:n].tolist()) == sorted(labels[positive].tolist())
    if kind == "yolof":  # whose loss gets another score, of the objectness too
        return
    rows = watched.records["student", "logits"][:n]
    of_loss = torch.cat([scores, labels[:, None]], dim=1)[positive]
    of_records = torch.cat([rows, found[:n, None]], dim=1)
    assert sorted(of_records.tolist()) == sorted(of_loss.tolist())


def plain_terms(model, watched, s_inputs, t_inputs, wanted) -> dict:
    """Terms in float64, instance by instance, from the maps that entered.

    Args:
        model: For convolutions and connectors, in float64.
        watched: The step.
        s_inputs: The maps that entered the student's convolutions, in float64.
        t_inputs: Those of the teacher's.
        wanted: Places and labels, foreground first.
    """
    sides = []
    for who, inputs in (("student", s_inputs), ("teacher", t_inputs)):
        convs = list(classifying(getattr(model, who)).values())
        anchors = convs[0].out_channels // CLASSES
        kernel = convs[0].kernel_size[0]
        weights = [
            conv.weight[a * CLASSES : (a + 1) * CLASSES].flatten(1)
            for conv in convs
            for a in range(anchors)
        ]
        biases = [
            conv.bias[a * CLASSES : (a + 1) * CLASSES]
            for conv in convs
            for a in range(anchors)
        ]
        group = [
            place[4] + (place[1] * anchors if len(convs) > 1 else 0)
            for place, _ in wanted
        ]
        patches = [patch_at(inputs, place, kernel) for place, _ in wanted]
        pairs = zip(patches, group, strict=True)
        logits = torch.stack([weights[g] @ f + biases[g] for f, g in pairs])
        sides.append((torch.stack(weights), torch.stack(biases), patches, logits))
    (s_w, s_b, s_f, s_z), (t_w, t_b, _, t_z) = sides
    n = len(wanted) // 2
    labels = [label for _, label in wanted[:n]]
    losses = reference.binary_cross_entropies(s_z[:n], labels)
    preview = reference.preview_weights(losses, EPOCH, EPOCHS)
    patches = torch.stack(s_f[:n])
    embeds = {}
    for name in ("s_embed", "t_embed"):
        linear = model.distiller.connectors[name].linear
        rows = patches @ linear.weight.T + linear.bias
        embeds[name] = rows / rows.square().sum(1, keepdim=True).sqrt()
    s_middle, t_middle = (
        torch.stack([inputs[level][i, :, y, x] for (i, level, y, x, _), _ in wanted])
        for inputs in (s_inputs, t_inputs)
    )
    first, norm, _, second = model.distiller.connectors["align"].mlp
    hidden = s_middle[:n] @ first.weight.T + first.bias
    centered = hidden - hidden.mean(0)
    hidden = centered / (centered.square().mean(0) + norm.eps).sqrt()
    hidden = (hidden * norm.weight + norm.bias).clamp_min(0)
    aligned = [
        reference.category_alignment(s_w[g], t_w[g], s_b[g], t_b[g])
        for g in range(len(s_w))
    ]
    return dict(
        loss_kd=reference.binary_kl_divergence(s_z, t_z, [*preview, *[1.0] * n]),
        loss_cc=0.001
        * reference.category_contrast(
            *embeds.values(), s_w, t_w, labels, preview, group=group
        ),
        loss_ca=0.3 * sum(aligned[g] for g in group[:n]) / n,
        loss_fa=1.5
        * reference.feature_alignment(
            hidden @ second.weight.T + second.bias, t_middle[:n]
        ),
    )


def double_copy(model):
    copied = copy.deepcopy(model)
    copied._frozen = copy.copy(model._frozen)
    copied._frozen.module = copy.deepcopy(model.teacher)
    return copied.double()


@pytest.mark.parametrize("kind", ["retina", "fcos", "gfl", "rtmdet", "yolox"])
def test_terms_and_gradients_equal_the_plain_computation(kind):
    model = pair(kind)
    plain_model = double_copy(model)
    boxes = [BOXES[0][:2], BOXES[1]] if kind == "retina" else BOXES
    watched = Watched(model, boxes)
    labels = expected_labels(kind, watched, boxes)
    wanted = instances(labels, watched.maps["teacher"], anchors_of(model))
    assert len({label for _, label in wanted}) > 2
    inputs = [entered for entered, _ in watched.maps["student"]]
    leaves = [x.detach().double().requires_grad_() for x in inputs]
    t_inputs = [entered.double() for entered, _ in watched.maps["teacher"]]
    plain = plain_terms(plain_model, watched, leaves, t_inputs, wanted)

    def parameters(network):
        convs = classifying(network.student).values()
        of_convs = [weight for conv in convs for weight in conv.parameters()]
        return [*of_convs, *network.distiller.parameters()]

    names = {k for k in watched.losses if k.startswith("distill.")}
    assert names == {f"distill.{name}" for name in plain}
    for name, expected in plain.items():
        found = watched.losses[f"distill.{name}"]
        torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-7)
        assert expected > 0
        options = dict(retain_graph=True, allow_unused=True)
        wanted_grads = torch.autograd.grad(
            expected, [*leaves, *parameters(plain_model)], **options
        )
        grads = torch.autograd.grad(found, [*inputs, *parameters(model)], **options)
        scale = max(g.norm() for g in wanted_grads if g is not None)
        assert scale > 0
        for one, other in zip(grads, wanted_grads, strict=True):
            one = torch.zeros(()) if one is None else one
            other = torch.zeros(()) if other is None else other
            assert (one.double() - other).norm() <= 1e-5 * scale, name
