"""DenseDistill in training: what runs, few objects, several processes, other heads."""

import copy

import pytest
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from pckd_mm.models.algorithms.dense_networks import classifying, head_and_family
from tests import reference
from tests.builders import in_processes
from tests.dense import KINDS, dense_detector
from tests.dense_steps import (
    BOXES,
    EPOCH,
    EPOCHS,
    Watched,
    assigned_labels,
    batch,
    build,
    dense_method,
    instances,
    logits_at,
    pair,
    step,
)

# Heads whose layers in front of the classifier are no plain sequence.
WHOLE = ("vfnet", "tood", "fovea", "reppoints")
SOFTMAX = dict(type="CrossEntropyLoss", use_sigmoid=False)
# Heads of several sets of centers, by anchors or levels.
SEVERAL = ("retina", "rtmdet", "yolox", "yolof", "yolact")


def finite(model, boxes):
    module = getattr(model, "module", model)
    for _ in range(2):  # the second step complains of parameters without a gradient
        torch.manual_seed(1)
        losses = model(**batch(module, boxes), mode="loss")
        loss = module.parse_losses(losses)[0]
        loss.backward()
        assert loss.isfinite()
    trained = [
        parameter
        for name, parameter in module.named_parameters()
        # Of YOLACT's masks, which are not here.
        if parameter.requires_grad and "conv_coeff" not in name
    ]
    assert all(p.grad is not None and p.grad.isfinite().all() for p in trained)
    return losses


def _of_two(rank, kind):
    model = DistributedDataParallel(pair(kind))
    losses = finite(model, BOXES if rank == 0 else [[], []])
    terms = [float(losses[f"distill.{name}"]) for name in ("loss_kd", "loss_fa")]
    assert all(term > 0 for term in terms) if rank == 0 else terms == [0, 0]


@pytest.mark.parametrize("kind", ["retina", "fcos", "gfl", "rtmdet", "yolox"])
def test_two_processes_one_of_which_has_no_object(tmp_path, kind):
    in_processes(2, _of_two, tmp_path, kind)


def _without_a_place(rank, stopped):
    """A box is there, and no place is in it."""
    model = DistributedDataParallel(pair("fovea"))
    model.module.distillation_stopped = stopped
    boxes = [[[20.5, 20.5, 21.5, 21.5]], []]
    finite(model, BOXES if rank == 0 else boxes)
    if rank and not stopped:
        assert len(model.module.distiller.preview_weight) == 0


@pytest.mark.parametrize("stopped", [False, True])
def test_two_processes_one_of_which_has_no_positive(tmp_path, stopped):
    in_processes(2, _without_a_place, tmp_path, stopped)


def _half(rank, folder):
    model = pair("gfl", "kd_dense")
    losses = step(model, BOXES[rank : rank + 1])
    torch.save(float(losses["distill.loss_kd"]), f"{folder}/{rank}.pth")


def test_a_mean_is_of_the_instances_of_all_processes(tmp_path):
    """By the number of instances and not of processes."""
    in_processes(2, _half, tmp_path, str(tmp_path))
    found = sum(torch.load(tmp_path / f"{rank}.pth") for rank in (0, 1)) / 2
    model, total, rows = pair("gfl", "kd_dense"), 0, []
    for rank in (0, 1):
        watched = Watched(model, BOXES[rank : rank + 1])
        logits = [watched.records[who, "logits"] for who in ("student", "teacher")]
        rows.append(len(logits[0]))
        total += rows[-1] * float(reference.binary_kl_divergence(*logits))
    assert rows[0] != rows[1]
    assert found == pytest.approx(total / sum(rows), rel=1e-5)


def of_foreground(images):
    """Preview weights and losses that take no background, of some images of two."""
    model = pair("retina")
    # Statistics of a batch are another thing.
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.eval()
    scenes = {name: of_all[images] for name, of_all in batch(model).items()}
    losses = model(**scenes, mode="loss")
    terms = [losses[f"distill.loss_{term}"].detach() for term in ("cc", "ca", "fa")]
    return model.distiller.preview_weight, torch.stack(terms)


def _of_one_image(rank, folder):
    torch.save(of_foreground(slice(rank, rank + 1)), f"{folder}/{rank}.pth")


def test_preview_and_losses_of_two_processes_are_those_of_one(tmp_path):
    in_processes(2, _of_one_image, tmp_path, str(tmp_path))
    weights, terms = zip(
        *(torch.load(tmp_path / f"{rank}.pth") for rank in (0, 1)), strict=True
    )
    expected_weight, expected = of_foreground(slice(None))
    assert len(weights[0]) != len(weights[1]) and (expected_weight < 1).any()
    found = torch.cat(weights).sort().values
    torch.testing.assert_close(found, expected_weight.sort().values)
    torch.testing.assert_close(sum(terms) / 2, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("kind", [*KINDS])
@pytest.mark.parametrize(
    "boxes", [[[], []], [[], [[20, 20, 24, 24]]]], ids=["none", "one"]
)
def test_few_objects(kind, boxes):
    losses = finite(pair(kind), boxes)
    if not boxes[1]:
        terms = {k: float(v) for k, v in losses.items() if "distill" in k}
        of_weights = terms.pop("distill.loss_ca")
        assert not any(terms.values())
        # Of one set of centers it needs no instance.
        assert (of_weights > 0) == (kind not in SEVERAL)


@pytest.mark.parametrize("kind", ["retina", "gfl"])
def test_one_positive(kind, monkeypatch):
    model = pair(kind)
    assigner = model.student.bbox_head.assigner

    def assign_one(*args, **kwargs):
        result = type(assigner).assign(assigner, *args, **kwargs)
        positive = (result.gt_inds > 0).nonzero().squeeze(1)
        result.gt_inds[positive[1:]] = 0
        return result

    monkeypatch.setattr(assigner, "assign", assign_one)
    finite(model, [BOXES[0], []])
    assert len(model.distiller.preview_weight) == 1


@pytest.mark.parametrize("kind", [*KINDS])
def test_the_teacher_runs_what_classifies(kind):
    model = pair(kind)
    regressions = []
    head = head_and_family(model.teacher)[0]
    others = ("reg", "wh_head", "conv_mask", "conv_kernel")
    for name, module in head.named_modules():
        if isinstance(module, nn.Conv2d) and any(part in name for part in others):
            module.register_forward_hook(lambda *_: regressions.append(1))
    watched = Watched(model)
    assert bool(regressions) == (kind in WHOLE)
    for entered, output in watched.maps["teacher"]:
        assert not entered.requires_grad and not output.requires_grad
    # As the whole head of the teacher in evaluation gives it.
    kept = []
    for conv in classifying(model.teacher).values():
        conv.register_forward_hook(lambda _, inputs, output: kept.append(output))
    with torch.no_grad():
        head(model.teacher.extract_feat(batch(model)["inputs"]))
    for (_, output), wanted in zip(watched.maps["teacher"], kept, strict=True):
        torch.testing.assert_close(output, wanted)


@pytest.mark.parametrize("kind", [*KINDS])
def test_student_is_computed_as_by_mmdet(kind):
    model = pair(kind)
    # DDOD counts its positives from step to step.
    other = copy.deepcopy(model.student)
    losses = step(model)
    torch.manual_seed(1)
    data = batch(model)
    plain = other.loss(data["inputs"], data["data_samples"])
    own = {k: v for k, v in losses.items() if k.startswith("student.")}
    assert set(own) == {f"student.{name}" for name in plain}
    for name, value in plain.items():
        torch.testing.assert_close(own[f"student.{name}"], value)


def test_preview_is_of_the_foreground():
    model = pair("retina")
    watched = Watched(model)
    records = watched.records
    n = len(records["student", "labels"]) // 2
    losses = reference.binary_cross_entropies(
        records["student", "logits"][:n], records["student", "labels"][:n]
    )
    wanted = torch.tensor(reference.preview_weights(losses, EPOCH, EPOCHS))
    assert 0 < (wanted < 1).sum() < n
    given = records["student", "preview"]
    torch.testing.assert_close(given[:n].double(), wanted.double())
    assert torch.equal(given[n:], torch.ones(n))
    # What the records of a run count.
    assert torch.equal(model.distiller.preview_weight, given[:n])


def test_kd_alone():
    losses = step(pair("gfl", "kd_dense"))
    names = [name for name in losses if name.startswith("distill.")]
    assert names == ["distill.loss_kd"] and losses["distill.loss_kd"] > 0


def test_unequal_widths_leave_alignment_of_categories_out():
    student = dense_detector("gfl", feat_channels=8)
    losses = step(build(student, dense_detector("gfl", 12)))
    assert "distill.loss_ca" not in losses
    assert losses["distill.loss_cc"] > 0 and losses["distill.loss_fa"] > 0


@pytest.mark.parametrize(
    "kind, head",
    [
        ("retina", dict(loss_cls=SOFTMAX)),
        # As YOLACT mines its background.
        ("yolact", dict(use_ohem=True, loss_cls=dict(SOFTMAX, reduction="none"))),
    ],
)
def test_softmax(kind, head):
    """The last logit is of the background; the difficulty is the cross-entropy."""
    networks = [dense_detector(kind, channels, **head) for channels in (8, 12)]
    for network in networks:
        network["train_cfg"].update(neg_pos_ratio=3)
    with pytest.raises(ValueError, match="use_sigmoid=True, and the detectors score"):
        build(*networks)
    distiller = dense_method().distiller
    distiller.distill_losses.loss_kd.use_sigmoid = False
    model = build(*networks, distiller=distiller)
    watched = Watched(model)
    logits, labels = (watched.records["student", k] for k in ("logits", "labels"))
    n = len(labels) // 2
    assert logits.shape == (2 * n, 5) and (labels[n:] == 4).all()
    # Of the background, where the teacher is surest of a category.
    of_all = assigned_labels(watched.assigned, BOXES)
    anchors = len(watched.maps["teacher"][0][1][0]) // 5
    wanted = instances(of_all, watched.maps["teacher"], anchors, logits=5)
    assert labels.tolist() == [label for _, label in wanted]
    for who in ("student", "teacher"):
        maps = watched.maps[who]
        places = torch.stack([logits_at(maps, place, 5) for place, _ in wanted])
        assert torch.equal(watched.records[who, "logits"], places)
    losses = reference.cross_entropies(logits[:n], labels[:n])
    wanted = torch.tensor(reference.preview_weights(losses, EPOCH, EPOCHS))
    torch.testing.assert_close(model.distiller.preview_weight.double(), wanted.double())
    expected = reference.kl_divergence(
        logits, watched.records["teacher", "logits"], [*wanted, *[1.0] * n], tau=2.0
    )
    found = watched.losses["distill.loss_kd"]
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-7)


def test_hooks_of_mmdet_reach_the_students_head():
    """YOLOX's last epochs have one more loss."""
    model = pair("yolox")
    model.bbox_head.use_l1 = True
    assert "student.loss_l1" in step(model)
    assert not any(name.startswith("bbox_head") for name in model.state_dict())
