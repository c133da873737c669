"""Detectors that DenseDistill refuses, each in a sentence with the reason."""

import copy

import pytest
import torch
from mmengine.registry import DefaultScope

from pckd_mm.models.algorithms import dense_heads
from pckd_mm.models.algorithms.dense_networks import check_detector, classifying
from pckd_mm.registry import MODELS
from tests.builders import detector, scenes
from tests.dense import dense_detector
from tests.dense_steps import BOXES, Watched, batch, build, dense_method, step

ZOO = {
    "detr/detr_r50_8xb2-150e_coco.py": "a DETR, whose queries the network learns",
    "dino/dino-4scale_r50_8xb2-12e_coco.py": "a DINO, whose queries the network learns",
    "cornernet/cornernet_hourglass104_10xb5-crop511-210e-mstest_coco.py": (
        "a CornerNet with a CornerHead, which finds corners by heatmaps"
    ),
    "centernet/centernet-update_r18_fpn_8xb8-amp-lsj-200e_coco.py": (
        "a CenterNet with a CenterNetUpdateHead, whose labels are spread"
    ),
    "yolo/yolov3_d53_8xb8-320-273e_coco.py": (
        "a YOLOV3 with a YOLOV3Head, whose one convolution predicts boxes, objectness"
    ),
    "ssd/ssd300_coco.py": "a SingleStageDetector with a SSDHead, whose levels have",
    "free_anchor/freeanchor_r50_fpn_1x_coco.py": "which gives an object a bag of",
    "autoassign/autoassign_r50-caffe_fpn_1x_coco.py": "a part of its label",
    "guided_anchoring/ga-retinanet_r50_fpn_1x_coco.py": "whose anchors the network",
    "rpn/rpn_r50_fpn_1x_coco.py": "a RPNHead, which tells objects from the rest",
    "sabl/sabl-retinanet_r50_fpn_1x_coco.py": (
        "a SABLRetinaHead, which is none of the heads that are known"
    ),
}


@pytest.mark.parametrize("name", ZOO)
def test_heads_of_mmdet_that_do_not_fit(name):
    from mmengine.hub import get_config

    cfg = get_config(f"mmdet::{name}").model
    cfg.backbone.init_cfg = None
    with DefaultScope.overwrite_default_scope("mmdet"), torch.device("meta"):
        model = MODELS.build(cfg)
    with pytest.raises(TypeError) as error:
        check_detector("teacher", model)
    assert ZOO[name] in str(error.value)
    assert "expected a one-stage detector of mmdet that classifies places" in str(
        error.value
    )


def test_two_stages():
    words = "The student is a FasterRCNN, which .* take RoIDistill for it"
    with pytest.raises(TypeError, match=words):
        build(detector(), dense_detector("gfl"))


def changed(kind: str, **settings) -> dict:
    cfg = dense_detector(kind)
    for name, value in settings.items():
        cfg["bbox_head"][name] = value
    return cfg


def generator(**settings) -> dict:
    cfg = dense_detector("retina")["bbox_head"]["anchor_generator"]
    return {**cfg, **settings}


@pytest.mark.parametrize(
    "student, teacher, words",
    [
        (
            dense_detector("gfl"),
            dense_detector("gfl", classes=5),
            "student has 4 categories and the teacher 5 categories; expected the same",
        ),
        (
            dense_detector("retina"),
            changed("retina", anchor_generator=generator(strides=[8, 16, 32])),
            "levels of stride 4, stride 8, stride 16 and the teacher levels of .* 8, ",
        ),
        (
            dense_detector("retina"),
            changed("retina", anchor_generator=generator(ratios=[1.0, 2.0])),
            "student has 9 anchors a place and the teacher 6 anchors a place",
        ),
        (
            dense_detector("retina"),
            changed("retina", anchor_generator=generator(octave_base_scale=8)),
            "anchors of student and teacher have other sizes or shapes",
        ),
        (
            dense_detector("gfl"),
            dense_detector("retina"),
            "student has 1 anchor a place and the teacher 9 anchors a place",
        ),
        (
            dense_detector("gfl"),
            dense_detector("yolox"),
            "one classifier for all levels and the teacher one classifier for each",
        ),
        (
            dense_detector("retina"),
            changed(
                "retina", loss_cls=dict(type="CrossEntropyLoss", use_sigmoid=False)
            ),
            "scores by a sigmoid and the teacher scores by a softmax",
        ),
    ],
)
def test_pairs_that_do_not_fit(student, teacher, words):
    with pytest.raises(ValueError, match=words):
        build(student, teacher)


def test_places_of_another_kind_of_head_are_the_same():
    """FCOS from GFL: one classifier, the same levels, no anchors to compare."""
    losses = step(build(dense_detector("fcos"), dense_detector("gfl", 12)))
    assert losses["distill.loss_kd"] > 0


def test_a_classifier_of_directions():
    student = changed(
        "fcos", cls_predictor_cfg=dict(type="NormedConv2d", tempearture=20)
    )
    with pytest.raises(TypeError, match="classifies by conv_cls, NormedConv2d.*plain"):
        build(student, dense_detector("fcos"))


def test_student_without_train_cfg():
    student = dense_detector("gfl")
    student["train_cfg"] = None
    with pytest.raises(ValueError, match="student has no train_cfg, by which places"):
        build(student, dense_detector("gfl"))
    teacher = dense_detector("gfl")
    teacher["train_cfg"] = None
    build(dense_detector("gfl"), teacher)


def test_a_loss_of_one_set_of_centers():
    distiller = dense_method().distiller
    distiller.distill_losses.loss_cc = dict(type="CenterContrastiveLoss")
    del distiller.loss_forward_mappings.loss_cc.group
    words = "loss_cc .CenterContrastiveLoss. takes category centers, .* 9 sets"
    with pytest.raises(ValueError, match=words):
        networks = dense_detector("retina"), dense_detector("retina")
        build(*networks, distiller=copy.deepcopy(distiller))
    # Of one set it is what it is for other networks.
    networks = dense_detector("gfl"), dense_detector("gfl")
    losses = step(build(*networks, distiller=distiller))
    assert losses["distill.loss_cc"] > 0


def test_several_sets_need_a_group():
    distiller = dense_method().distiller
    del distiller.loss_forward_mappings.loss_ca.group
    networks = dense_detector("yolox"), dense_detector("yolox")
    model = build(*networks, distiller=distiller)
    with pytest.raises(ValueError, match="3 sets of category centers and no group"):
        step(model)


@pytest.mark.parametrize("name", ["group", "dense_targets_0"])
def test_name_of_a_recorder_is_taken(name):
    distiller = dense_method().distiller
    distiller.student_recorders[name] = dict(type="ModuleOutputs", source="neck")
    with pytest.raises(ValueError, match=f"found a student recorder {name}, a name"):
        build(dense_detector("gfl"), dense_detector("gfl"), distiller=distiller)


def test_a_head_that_runs_twice(monkeypatch):
    model = build(dense_detector("gfl"), dense_detector("gfl"))
    head = model.student.bbox_head
    forward = head.forward
    monkeypatch.setattr(head, "forward", lambda x: (forward(x), forward(x))[1])
    with pytest.raises(RuntimeError, match="classified 6 maps .* one of each of its 3"):
        model(**model.data_preprocessor(scenes(BOXES), True), mode="loss")


def test_every_head_of_mmdet_is_served_or_refused():
    """One that is added is found, by what it is built on."""
    from mmdet.models import dense_heads as mmdet_heads
    from mmdet.models.dense_heads.base_dense_head import BaseDenseHead

    known = {**dense_heads.FAMILIES, **dense_heads.REFUSED}
    kinds = [
        kind
        for kind in map(mmdet_heads.__dict__.get, mmdet_heads.__all__)
        if isinstance(kind, type) and issubclass(kind, BaseDenseHead)
    ]
    unknown = {
        kind.__name__
        for kind in kinds
        if not any(base in known for base in kind.__mro__)
    }
    # Bases of others, and heads that are refused as not known.
    assert unknown == {
        *("AnchorFreeHead", "AnchorHead", "CascadeRPNHead", "Mask2FormerHead"),
        *("MaskFormerHead", "SABLRetinaHead"),
    }


def test_a_head_without_layers_in_front_of_its_classifier():
    """As behind DyHead."""
    student, teacher = (
        dense_detector("atss", channels, stacked_convs=0, feat_channels=32)
        for channels in (8, 12)
    )
    losses = step(build(student, teacher))
    assert losses["distill.loss_kd"] > 0 and losses["distill.loss_fa"] > 0


def test_maps_of_other_sizes():
    """CenterNet's head does not know its stride."""
    teacher = dense_detector("centernet")
    teacher["neck"].update(num_deconv_filters=[32, 32], num_deconv_kernels=[4, 4])
    words = "student's maps have 8 x 8 places and the teacher's 16 x 16; .* same stride"
    with pytest.raises(ValueError, match=words):
        step(build(dense_detector("centernet"), teacher))


def test_solo_that_resizes_behind_its_first_layer():
    networks = [
        dense_detector("solo", width, stacked_convs=2, cls_down_index=1)
        for width in (8, 12)
    ]
    model = build(*networks)
    watched = Watched(model)
    kept = []
    for conv in classifying(model.teacher).values():
        conv.register_forward_hook(lambda _, inputs, output: kept.append(output))
    with torch.no_grad():
        model.teacher.mask_head(model.teacher.extract_feat(batch(model)["inputs"]))
    for (_, output), wanted in zip(watched.maps["teacher"], kept, strict=True):
        torch.testing.assert_close(output, wanted)


def test_grids_of_other_sizes():
    student = dense_detector("solo", num_grids=(12, 8, 6))
    words = "levels of 12 x 12 places, .* 6 x 6 places and the teacher .* 5 x 5 places"
    with pytest.raises(ValueError, match=words):
        build(student, dense_detector("solo"))


def lad(channels: int) -> dict:
    cfg = dense_detector("paa", channels)
    cfg["bbox_head"]["type"] = "LADHead"
    parts = {
        f"teacher_{part}": copy.deepcopy(cfg[part])
        for part in ("backbone", "neck", "bbox_head")
    }
    return dict(cfg, type="LAD", teacher_ckpt=None, eval_teacher=True, **parts)


def test_a_student_with_a_teacher_of_its_own():
    """LAD's labels; the two move together, though mmdet keeps one as no submodule."""
    model = build(lad(8), lad(12))
    losses = step(model)
    assert losses["distill.loss_kd"] > 0 and losses["student.loss_cls"] > 0
    model.double()
    inner = model.student.teacher_model
    for network in (model.student, inner, model.teacher):
        assert next(network.parameters()).dtype == torch.float64
    assert not any("teacher_model" in name for name in model.state_dict())
