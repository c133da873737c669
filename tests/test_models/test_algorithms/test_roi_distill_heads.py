"""RoIDistill for heads that sample, see or classify regions in ways of their own."""

import pytest
import torch
import torch.nn.functional as F
from mmengine.config import ConfigDict
from mmengine.registry import DefaultScope
from torch import nn

from pckd_mm.models.losses import DISTRelationLoss
from pckd_mm.registry import MODELS
from tests import reference
from tests.builders import detector
from tests.test_models.test_algorithms.test_roi_distill import (
    BOXES,
    EPOCH,
    EPOCHS,
    build,
    double_copy,
    plain_terms,
    roi_method,
    spy,
    step,
    total,
)
from tests.test_models.test_algorithms.test_roi_distill_cascade import cascade


class MyDISTLoss(DISTRelationLoss):
    """A loss of one's own, under another name."""


def check_terms(losses: dict, plain: dict) -> None:
    found = {k: v for k, v in losses.items() if k.startswith("distill.")}
    assert set(found) == {f"distill.{name}" for name in plain}
    for name, expected in plain.items():
        value = found[f"distill.{name}"].double()
        torch.testing.assert_close(value, expected, rtol=1e-5, atol=1e-7)
        assert expected > 0


def mining(kind: str) -> dict:
    """A student whose sampler runs the box head first."""
    cfg = detector(8)
    sampler = cfg["train_cfg"]["rcnn"]["sampler"]
    if kind == "combined":
        parts = dict(pos_sampler="RandomSampler", neg_sampler="OHEMSampler")
        sampler.update({name: dict(type=part) for name, part in parts.items()})
        sampler["type"] = "CombinedSampler"
        sampler.pop("add_gt_as_proposals")  # which hands it to its parts by name
    elif kind == "pisa":
        sampler.update(type="ScoreHLRSampler", k=0.5, bias=0.0)
        cfg["roi_head"]["type"] = "PISARoIHead"
        cfg["train_cfg"]["rcnn"].update(isr=dict(k=2, bias=0), carl=dict(k=1, bias=0.2))
    else:
        sampler["type"] = "OHEMSampler"
    return cfg


@pytest.mark.parametrize("kind", ["ohem", "combined", "pisa"])
class TestMining:
    """What is distilled is of the regions of the loss, not of those looked at first."""

    def test_terms_equal_the_plain_computation(self, kind):
        model = build(mining(kind), detector(12))
        kept = {name: [] for name in ("s_in", "t_in", "targets", "s_rois", "t_rois")}
        student, teacher = (n.roi_head for n in (model.student, model.teacher))
        places = dict(
            s_in=student.bbox_head.fc_cls,
            t_in=teacher.bbox_head.fc_cls,
            targets=student.bbox_head.loss_cls,
            s_rois=student.bbox_roi_extractor,
            t_rois=teacher.bbox_roi_extractor,
        )
        handles = [spy(places[name], calls) for name, calls in kept.items()]
        plain_model = double_copy(model)
        losses = step(model)
        for handle in handles:
            handle.remove()
        assert len(kept["s_in"]) > 1 and len(kept["t_in"]) == 1
        feature, labels = kept["s_in"][-1][0], kept["targets"][-1][1].tolist()
        assert feature.requires_grad and len(feature) == len(labels)
        assert torch.equal(kept["s_rois"][-1][1], kept["t_rois"][0][1])
        others = [call[1] for call in kept["s_rois"][:-1]]
        assert not any(torch.equal(call, kept["t_rois"][0][1]) for call in others)
        plain = plain_terms(
            plain_model, feature.double(), kept["t_in"][0][0].double(), labels
        )
        check_terms(losses, plain)

    @pytest.mark.parametrize("boxes", [BOXES, [[], []]], ids=["objects", "none"])
    def test_gradients(self, kind, boxes):
        model = build(mining(kind), detector(12))
        loss = total(model, step(model, boxes))
        loss.backward()
        assert loss.isfinite()
        trained = [p for p in model.student.parameters() if p.requires_grad]
        assert all(p.grad is not None and p.grad.isfinite().all() for p in trained)


def trident(channels: int, test_branch: int = 1) -> dict:
    cfg = detector(channels)
    cfg.pop("neck")
    branches = dict(num_branch=3, test_branch_idx=test_branch)
    backbone = dict(
        type="TridentResNet",
        depth=50,
        num_stages=3,
        strides=(1, 2, 2),
        dilations=(1, 1, 1),
        out_indices=(2,),
        trident_dilations=(1, 2, 3),
        base_channels=channels,
        stem_channels=channels,
        norm_cfg=dict(type="BN"),
        **branches,
    )
    width = 16 * channels
    cfg["rpn_head"].update(in_channels=width)
    cfg["rpn_head"]["anchor_generator"].update(strides=[16], scales=[1, 2])
    head = cfg["roi_head"]
    head.update(type="TridentRoIHead", **branches)
    head["bbox_roi_extractor"].update(out_channels=width, featmap_strides=[16])
    head["bbox_head"].update(in_channels=width)
    return dict(cfg, type="TridentFasterRCNN", backbone=backbone)


@pytest.mark.parametrize("teacher", [trident(12), detector(12)], ids=["trident", "one"])
def test_regions_of_all_branches_are_of_the_images(teacher):
    model = build(trident(8), teacher)
    for name, weight in model.teacher.named_parameters():
        if "layer3" in name and weight.ndim == 4:  # not read from a checkpoint here
            nn.init.normal_(weight, std=0.05)
    s_rois, t_rois, t_maps = [], [], []
    handles = [
        spy(model.student.roi_head.bbox_roi_extractor, s_rois),
        spy(model.teacher.roi_head.bbox_roi_extractor, t_rois),
        model.teacher.backbone.register_forward_hook(
            lambda _, inputs, output: t_maps.append(output)
        ),
    ]
    losses = step(model)
    for handle in handles:
        handle.remove()
    found, taught = s_rois[0][1], t_rois[0][1]
    assert set(found[:, 0].tolist()) == {0, 1, 2, 3, 4, 5}
    assert torch.equal(found[:, 1:], taught[:, 1:])
    # Branch by branch, each of both images.
    assert taught[:, 0].tolist() == [(0, 1)[int(i) % 2] for i in found[:, 0]]
    assert all(len(level) == 2 for level in t_maps[0])
    total(model, losses).backward()
    assert losses["distill.loss_kd"] > 0


def test_trident_begins_with_weights_of_its_own():
    """mmdet leaves its convolutions what memory was."""
    model = build(trident(8), detector(12))
    weights = [w for name, w in model.student.named_parameters() if "layer3" in name]
    with torch.no_grad():
        for weight in weights:
            if weight.ndim == 4 and weight.shape[2] == 3:
                weight.fill_(float("nan"))
    model.init_weights()
    assert weights and all(weight.isfinite().all() for weight in weights)


def test_trident_that_predicts_by_all_branches():
    words = "teacher has a TridentRoIHead with test_branch_idx=-1, .* set test_branch_i"
    with pytest.raises(TypeError, match=words):
        build(detector(8), trident(12, test_branch=-1))
    build(trident(8, test_branch=-1), detector(12))
    build(detector(8), trident(12, test_branch=1))


SIGMOID = dict(type="CrossEntropyCustomLoss", num_classes=4, use_sigmoid=True)
NORMED = dict(type="NormedLinear", tempearture=20)


def method_of_sigmoids() -> dict:
    distiller = roi_method().distiller
    distiller.distill_losses.loss_kd.use_sigmoid = True
    return distiller


@pytest.mark.parametrize(
    "scores, layer",
    [("softmax", "normed"), ("sigmoid", "linear"), ("sigmoid", "normed")],
)
def test_terms_of_other_classifiers_equal_the_plain_computation(scores, layer):
    box = {}
    if layer == "normed":
        box.update(cls_predictor_cfg=NORMED)
    if scores == "sigmoid":
        box.update(loss_cls=SIGMOID)
    is_sigmoid = scores == "sigmoid"
    distiller = method_of_sigmoids() if is_sigmoid else roi_method().distiller
    model = build(detector(8, **box), detector(12, **box), distiller=distiller)
    s_in, t_in, targets, outputs = [], [], [], []
    head = model.student.roi_head.bbox_head
    handles = [
        spy(head.fc_cls, s_in),
        spy(model.teacher.roi_head.bbox_head.fc_cls, t_in),
        spy(head.loss_cls, targets),
        head.fc_cls.register_forward_hook(lambda _, inputs, out: outputs.append(out)),
    ]
    plain_model = double_copy(model)
    losses = step(model)
    for handle in handles:
        handle.remove()
    features = [calls[0][0].double() for calls in (s_in, t_in)]
    labels = targets[0][1].tolist()
    if layer == "normed":
        features = [F.normalize(feature) for feature in features]
    fcs = []
    for network in (plain_model.student, plain_model.teacher):
        fc = network.roi_head.bbox_head.fc_cls
        weight = 20 * F.normalize(fc.weight) if layer == "normed" else fc.weight
        fcs.append((weight.detach(), fc.bias.detach()))
    (s_w, s_b), (t_w, t_b) = fcs
    s_logits, t_logits = features[0] @ s_w.T + s_b, features[1] @ t_w.T + t_b
    # NormedLinear adds 1e-6 to lengths.
    torch.testing.assert_close(outputs[0].double(), s_logits, rtol=1e-4, atol=1e-4)
    if is_sigmoid:
        hard = reference.binary_cross_entropies(s_logits, labels)
    else:
        hard = reference.cross_entropies(s_logits, labels)
    weights = reference.preview_weights(hard, EPOCH, EPOCHS)
    divergence = (
        reference.binary_kl_divergence(s_logits, t_logits, weights, tau=4.0)
        if is_sigmoid
        else reference.kl_divergence(s_logits, t_logits, weights)
    )
    objects = [k for k, label in enumerate(labels) if label < 4]
    assert 0 < len(objects) < len(labels)
    connectors = plain_model.distiller.connectors
    embeds = [
        F.normalize(connectors[name].linear(features[0][objects]))
        for name in ("s_embed", "t_embed")
    ]
    of_objects = ([labels[k] for k in objects], [weights[k] for k in objects])
    expected = dict(
        loss_kd=divergence,
        loss_cc=0.05 * reference.category_contrast(*embeds, s_w, t_w, *of_objects),
        loss_ca=reference.category_alignment(s_w, t_w, s_b, t_b),
        loss_fa=20
        * reference.feature_alignment(
            connectors["align"].train()(features[0][objects]), features[1][objects]
        ),
    )
    found = {k: v for k, v in losses.items() if k.startswith("distill.")}
    assert set(found) == {f"distill.{name}" for name in expected}
    for name, value in expected.items():
        of_step = found[f"distill.{name}"].double()
        torch.testing.assert_close(of_step, value.detach(), rtol=1e-4, atol=1e-6)
        assert value > 0
    total(model, losses).backward()


@pytest.mark.parametrize("boxes", [BOXES, [[], []]], ids=["objects", "none"])
def test_cascade_of_sigmoids_and_cosines(boxes):
    box = dict(loss_cls=SIGMOID, cls_predictor_cfg=NORMED)
    networks = [cascade(channels, **box) for channels in (8, 12)]
    model = build(*networks, distiller=method_of_sigmoids())
    loss = total(model, step(model, boxes))
    loss.backward()
    assert loss.isfinite()
    trained = [p for p in model.parameters() if p.requires_grad]
    assert all(p.grad is not None and p.grad.isfinite().all() for p in trained)


class TestErrors:
    def test_scores_of_two_kinds(self):
        words = "student scores categories by a sigmoid each and the teacher by a soft"
        with pytest.raises(ValueError, match=words):
            build(detector(8, loss_cls=SIGMOID), detector(12))

    def test_scores_of_two_kinds_in_a_cascade(self):
        other = cascade(12)
        other["roi_head"]["bbox_head"][1].update(loss_cls=SIGMOID)
        words = "student in stage 1 scores .* a softmax and the {} in stage 2 by a sig"
        for networks in ((cascade(8), other), (other, cascade(8)), (other, other)):
            who = "teacher" if networks[0] is not other else "student"
            with pytest.raises(ValueError, match=words.format(who)):
                build(*networks)

    @pytest.mark.parametrize("kind", ["ohem", "pisa"])
    def test_mining_by_sigmoids(self, kind):
        """At which mmdet fails."""
        student = mining(kind)
        student["roi_head"]["bbox_head"].update(loss_cls=SIGMOID)
        words = "for scores by a softmax, and scores each .* sigmoid; expected a softm"
        with pytest.raises(TypeError, match=words):
            build(student, detector(12, loss_cls=SIGMOID))

    @pytest.mark.parametrize(
        "loss", ["pckd_mm.DISTRelationLoss", "mmrazor.DKDLoss", MyDISTLoss]
    )
    def test_a_loss_of_softmaxes_for_sigmoids(self, loss):
        distiller = method_of_sigmoids()
        distiller.distill_losses.loss_more = dict(type=loss)
        logits = {
            name: dict(recorder="logits", from_student=name == "preds_S")
            for name in ("preds_S", "preds_T")
        }
        if "DIST" in str(loss):
            logits = dict(zip(("logits_S", "logits_T"), logits.values(), strict=True))
        else:
            logits["gt_labels"] = dict(recorder="labels", from_student=True)
        distiller.loss_forward_mappings.loss_more = logits
        networks = detector(8, loss_cls=SIGMOID), detector(12, loss_cls=SIGMOID)
        words = "loss_more .* compares a softmax, and .* distill_losses.loss_more=None"
        with pytest.raises(ValueError, match=words):
            build(*networks, distiller=distiller)

    def test_a_shared_head_beside_mining(self):
        student = mining("ohem")
        with DefaultScope.overwrite_default_scope("mmdet"):
            student = MODELS.build(ConfigDict(student))
        student.roi_head.shared_head = nn.Identity()
        distiller = roi_method().distiller
        distiller.student_recorders.shared = dict(
            type="ModuleOutputs", source="roi_head.shared_head"
        )
        words = "recorder shared records 'roi_head.shared_head', which a sampler that"
        with pytest.raises(ValueError, match=words):
            build(student, detector(12), distiller=distiller)

    def test_kl_divergence_of_other_scores(self):
        networks = detector(8, loss_cls=SIGMOID), detector(12, loss_cls=SIGMOID)
        words = "loss_kd has use_sigmoid=False, and the detectors score by a sigmoid"
        with pytest.raises(ValueError, match=words):
            build(*networks)
        words = "loss_kd has use_sigmoid=True, and the detectors score by a softmax"
        with pytest.raises(ValueError, match=words):
            build(detector(8), detector(12), distiller=method_of_sigmoids())

    def test_background_without_a_center(self):
        networks = detector(8, loss_cls=SIGMOID), detector(12, loss_cls=SIGMOID)
        words = "found with_background=True, and detectors .* sigmoid.* leave it out"
        with pytest.raises(ValueError, match=words):
            build(*networks, distiller=method_of_sigmoids(), with_background=True)

    def test_no_cosines(self):
        normed = detector(8, cls_predictor_cfg=dict(NORMED, power=2))
        words = "a NormedLinear of 5 outputs as fc_cls; .* or a NormedLinear of power 1"
        with pytest.raises(TypeError, match=words):
            build(normed, detector(12))

    @pytest.mark.parametrize("sampler", ["RandomSampler", "OHEMSampler"])
    def test_pisa_with_another_sampler(self, sampler):
        """At which mmdet fails."""
        student = mining("pisa")
        student["train_cfg"]["rcnn"]["sampler"] = dict(
            detector(8)["train_cfg"]["rcnn"]["sampler"], type=sampler
        )
        words = f"by a {sampler}; expected .* set (model[.a-z_]*)=(ScoreHLRSampler)"
        with pytest.raises(TypeError, match=words):
            build(student, detector(12))
