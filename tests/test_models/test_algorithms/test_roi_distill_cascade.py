"""RoIDistill for cascades: stage by stage, each on the regions of its own."""

import copy

import pytest
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from pckd_mm.models.task_modules import StagedRecorder
from tests.builders import detector, in_processes
from tests.test_models.test_algorithms.test_roi_distill import (
    BOXES,
    box_head,
    build,
    double_copy,
    plain_terms,
    scenes,
    spy,
    step,
    total,
)

WEIGHTS = [1, 0.5, 0.25]


def cascade(channels: int = 8, stages: int = 3, **box) -> dict:
    """The small detector with stages of rising overlap."""
    cfg = detector(channels, **box)
    head = cfg["roi_head"]
    head.update(
        type="CascadeRoIHead",
        num_stages=stages,
        stage_loss_weights=WEIGHTS[:stages],
        bbox_roi_extractor=copy.deepcopy(head["bbox_roi_extractor"]),
        bbox_head=[copy.deepcopy(head["bbox_head"]) for _ in range(stages)],
    )
    cfg.update(type="CascadeRCNN")
    rcnn = cfg["train_cfg"]["rcnn"]
    cfg["train_cfg"]["rcnn"] = [copy.deepcopy(rcnn) for _ in range(stages)]
    for stage, settings in enumerate(cfg["train_cfg"]["rcnn"]):
        overlap = 0.3 + 0.1 * stage
        settings["assigner"].update(
            pos_iou_thr=overlap, neg_iou_thr=overlap, min_pos_iou=overlap
        )
    return cfg


@pytest.mark.parametrize("stages", ["all", "last"])
def test_terms_and_gradients_equal_the_plain_computation(stages):
    model = build(cascade(8), cascade(12), stages=stages)
    chosen = [0, 1, 2] if stages == "all" else [2]
    kept = {key: [] for key in ("s_in", "t_in", "targets", "s_rois", "t_rois")}
    handles = []
    for stage in range(3):
        for key, module in (
            ("s_in", box_head(model.student, stage).fc_cls),
            ("t_in", box_head(model.teacher, stage).fc_cls),
            ("targets", box_head(model.student, stage).loss_cls),
            ("s_rois", model.student.roi_head.bbox_roi_extractor[stage]),
            ("t_rois", model.teacher.roi_head.bbox_roi_extractor[stage]),
        ):
            handles.append(spy(module, kept[key]))
    plain_model = double_copy(model)
    losses = step(model)
    for handle in handles:
        handle.remove()
    assert len(kept["s_in"]) == 3 and len(kept["t_in"]) == len(chosen)
    # The teacher's stage sees what the student's saw, which no other stage did.
    for stage, inputs in zip(chosen, kept["t_rois"], strict=True):
        assert torch.equal(inputs[1], kept["s_rois"][stage][1])
    assert not torch.equal(kept["s_rois"][0][1], kept["s_rois"][1][1])

    features = [kept["s_in"][stage][0] for stage in chosen]
    leaves = [f.detach().double().requires_grad_() for f in features]
    plain = {}
    for stage, leaf, teacher_in in zip(chosen, leaves, kept["t_in"], strict=True):
        labels = kept["targets"][stage][1].tolist()
        terms = plain_terms(
            plain_model, leaf, teacher_in[0].double(), labels, stage=stage
        )
        for name, term in terms.items():
            plain[name] = plain.get(name, 0) + WEIGHTS[stage] * term

    def parameters(network):
        heads = [box_head(network.student, stage) for stage in chosen]
        of_heads = [w for head in heads for w in head.fc_cls.parameters()]
        return [*of_heads, *network.distiller.parameters()]

    for name, expected in plain.items():
        found = losses[f"distill.{name}"]
        torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-7)
        options = dict(retain_graph=True, allow_unused=True)
        wanted = torch.autograd.grad(
            expected, [*leaves, *parameters(plain_model)], **options
        )
        grads = torch.autograd.grad(found, [*features, *parameters(model)], **options)
        scale = max(g.norm() for g in wanted if g is not None)
        for one, other in zip(grads, wanted, strict=True):
            assert (one is None) == (other is None), name
            if one is not None:
                assert (one.double() - other).norm() <= 1e-5 * scale, name


def test_each_stage_has_a_preview_of_its_own():
    model = build(cascade(8), cascade(12))
    targets = []
    handles = [spy(box_head(model.student, k).loss_cls, targets) for k in range(3)]
    step(model)
    for handle in handles:
        handle.remove()
    weights = model.distiller.preview_weight
    strategy = model.distiller.preview
    expected = [
        strategy.weight(
            nn.functional.cross_entropy(logits, labels, reduction="none"),
            model.progress,
        )
        for logits, labels, *_ in targets
    ]
    torch.testing.assert_close(weights, torch.cat(expected))


def test_losses_of_whole_maps_count_once():
    """PKD on the pyramid has no stages, and is not weighted as one."""
    model = build(cascade(8), cascade(12), "pckd_fpn")
    fpn = {}
    for only in ("all", "last"):
        other = build(cascade(8), cascade(12), "pckd_fpn", stages=only)
        other.load_state_dict(model.state_dict())
        torch.manual_seed(3)
        losses = step(other)
        fpn[only] = {k: v for k, v in losses.items() if "pkd" in k}
    assert fpn["all"] and fpn["all"].keys() == fpn["last"].keys()
    for name, value in fpn["all"].items():
        torch.testing.assert_close(value, fpn["last"][name])


def finite(model, boxes):
    torch.manual_seed(1)
    module = getattr(model, "module", model)
    data = module.data_preprocessor(scenes(boxes), True)
    for _ in range(2):  # the second step complains of parameters without a gradient
        losses = model(**data, mode="loss")
        loss = total(module, losses)
        loss.backward()
        assert loss.isfinite()
    trained = [p for p in module.parameters() if p.requires_grad]
    assert all(p.grad is not None and p.grad.isfinite().all() for p in trained)


def _of_two(rank):
    model = build(cascade(8), cascade(12))
    finite(DistributedDataParallel(model), BOXES if rank == 0 else [[], []])


def test_two_processes_one_of_which_has_no_object(tmp_path):
    in_processes(2, _of_two, tmp_path)


@pytest.mark.parametrize("boxes", [[[], []], [[], BOXES[0]], [[BOXES[0][0]], []]])
def test_few_objects(boxes):
    finite(build(cascade(8), cascade(12)), boxes)


@pytest.mark.parametrize("stages", ["all", "last"])
def test_a_stage_without_a_region(monkeypatch, stages):
    """mmdet leaves out what comes behind it; its parameters have a gradient still."""
    model = build(cascade(8), cascade(12), stages=stages)
    head = box_head(model.student, 0)
    monkeypatch.setattr(head, "refine_bboxes", lambda *args, **kwargs: None)
    losses = step(model)
    assert "student.s1.loss_cls" not in losses
    total(model, losses).backward()
    # All of them, boxes too: DDP waits for each.
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None, name
            assert parameter.grad.isfinite().all(), name


class TestErrors:
    def test_other_lengths(self):
        words = "student classifies in 3 stages and the teacher in 2; expected as many"
        with pytest.raises(ValueError, match=words):
            build(cascade(8), cascade(12, stages=2))
        with pytest.raises(ValueError, match="in 1 stages and the teacher in 3"):
            build(detector(8), cascade(12))

    def test_other_words_for_the_stages(self):
        with pytest.raises(ValueError, match="stages='first'; expected 'all' or"):
            build(cascade(8), cascade(12), stages="first")

    def test_a_stage_that_mines(self):
        student = cascade(8)
        student["train_cfg"]["rcnn"][1]["sampler"]["type"] = "OHEMSampler"
        words = r"set model.architecture.train_cfg.rcnn.1.sampler.type=RandomSampler"
        with pytest.raises(TypeError, match=words):
            build(student, cascade(12))


def test_recorders_of_stages():
    """One name, a recorder for each stage, whose turn the distiller says."""
    torch.manual_seed(0)
    model = nn.ModuleList([nn.Linear(2, 3), nn.Linear(2, 3)])
    recorder = StagedRecorder(
        [dict(type="mmrazor.ModuleOutputs", source=str(stage)) for stage in range(2)],
        "classifier",
    )
    recorder.initialize(model)
    assert recorder.modules(model) == list(model)
    inputs = torch.ones(1, 2)
    with recorder:
        outputs = [layer(inputs) for layer in model]
    for stage in (1, 0):
        recorder.stage = stage
        assert torch.equal(recorder.get_record_data(), outputs[stage])
        assert len(recorder.data_buffer) == 1
    recorder.reset_data_buffer()
    assert not recorder.data_buffer
    weights = StagedRecorder(
        [dict(type="mmrazor.Parameter", source=f"{k}.weight") for k in range(2)], "x"
    )
    weights.initialize(model)
    assert weights.modules(model)[1] is model[1].weight
    weights.stage = 1
    assert weights.get_record_data() is model[1].weight
