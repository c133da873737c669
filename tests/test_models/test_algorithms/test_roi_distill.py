"""RoIDistill: who sees which regions, and what the losses are made of."""

import copy
import re

import pytest
import torch
from mmengine.config import Config, ConfigDict
from mmengine.registry import DefaultScope
from mmengine.runner import load_checkpoint
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from pckd_mm.compat import end_process_group
from pckd_mm.registry import MODELS
from tests import reference
from tests.builders import CONFIGS, detector, scenes

EPOCH, EPOCHS = 60, 240
BOXES = [
    [[4, 4, 30, 30], [34, 10, 60, 40], [8, 36, 28, 60]],
    [[20, 20, 52, 56], [2, 2, 14, 18]],
]
TINY = [[[10, 10, 12, 12]], [[20, 20, 52, 56]]]


def roi_method(name: str = "pckd_roi") -> dict:
    path = CONFIGS / "_base_" / "methods" / f"{name}.py"
    method = Config.fromfile(path).method
    if name == "pckd_fpn":
        # The small detectors have three levels of features instead of four.
        method.distiller.distill_losses.loss_pkd_3 = None
    return method


def build(student: dict, teacher: dict, method: str = "pckd_roi", **settings):
    torch.manual_seed(0)
    cfg = ConfigDict(
        {**roi_method(method), **settings}, architecture=student, teacher=teacher
    )
    with DefaultScope.overwrite_default_scope("mmdet"):
        model = MODELS.build(cfg)
        model.init_weights()
    model.progress = EPOCH / EPOCHS
    # Classifiers as after training: those of mmdet begin next to zero.
    for network in (model.student, model.teacher):
        for name, parameter in network.roi_head.named_parameters():
            if "fc_cls" in name:
                nn.init.normal_(parameter, std=0.3)
    return model.train()


@pytest.fixture(scope="module")
def built():
    return build(detector(8), detector(12))


@pytest.fixture
def model(built):
    model = copy.deepcopy(built.state_dict())
    yield built
    built.load_state_dict(model)
    built.train()


def step(model, boxes=BOXES, **settings) -> dict:
    torch.manual_seed(1)
    data = model.data_preprocessor(scenes(boxes, **settings), True)
    return model(**data, mode="loss")


def total(model, losses: dict) -> torch.Tensor:
    return model.parse_losses(losses)[0]


def spy(module: nn.Module, kept: list) -> None:
    """Keep the inputs of a module's calls."""
    return module.register_forward_hook(lambda _, inputs, output: kept.append(inputs))


def test_folding_keeps_the_losses():
    model = build(detector(8), detector(12))
    for module in model.teacher.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean)
            nn.init.uniform_(module.running_var, 0.5, 2)
    norms = [isinstance(m, nn.BatchNorm2d) for m in model.teacher.modules()]
    weights = copy.deepcopy(model.state_dict())
    expected = step(model)
    # All of them: each follows a convolution in mmdet's ResNets.
    assert model.fold_teacher(lambda: step(model)) == sum(norms) > 0
    model.load_state_dict(weights)
    found = step(model)
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-4, atol=1e-5)


class TestNormalisationOfTheTeacher:
    @pytest.mark.parametrize(
        "settings",
        [
            dict(mean=[127.5] * 3, std=[127.5] * 3),
            dict(bgr_to_rgb=False),
            # As Caffe's networks have it.
            dict(mean=[103.53, 116.28, 123.675], std=[1.0] * 3, bgr_to_rgb=False),
            dict(mean=None, std=None, pad_value=7),
        ],
    )
    def test_sees_what_its_own_preprocessor_gives(self, settings):
        teacher = detector(12)
        teacher["data_preprocessor"].update(settings)
        model = build(detector(8), teacher)
        boxes = [[[4, 4, 30, 30]], [[2, 2, 14, 18]]]

        def batch() -> dict:
            # Of two sizes, so that both are padded to 64 x 64.
            data = scenes(boxes)
            for index, (height, width) in enumerate([(40, 64), (50, 33)]):
                image = data["inputs"][index][:, :height, :width]
                data["inputs"][index] = image.contiguous()
                shape = dict(img_shape=(height, width))
                data["data_samples"][index].set_metainfo(shape)
            return data

        seen, unlike = [], []
        handles = [
            spy(model.teacher.backbone, seen),
            spy(model.student.backbone, unlike),
        ]
        losses = model(**model.data_preprocessor(batch(), True), mode="loss")
        for handle in handles:
            handle.remove()
        wanted = model.teacher.data_preprocessor(batch(), True)["inputs"]
        ((found,),), ((student,),) = seen, unlike
        assert wanted.shape == (2, 3, 64, 64)
        torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-4)
        assert (found - student).abs().mean() > 0.1
        assert total(model, losses).isfinite()

    def test_same_images_are_one_tensor(self, model):
        seen = []
        handles = [
            spy(model.teacher.backbone, seen),
            spy(model.student.backbone, seen),
        ]
        step(model)
        for handle in handles:
            handle.remove()
        assert seen[0][0] is seen[1][0]


class TestSameRegions:
    def test_box_heads_of_both_pool_the_same_rois(self, model):
        student, teacher = [], []
        handles = [
            spy(model.student.roi_head.bbox_roi_extractor, student),
            spy(model.teacher.roi_head.bbox_roi_extractor, teacher),
        ]
        step(model)
        for handle in handles:
            handle.remove()
        assert len(student) == len(teacher) == 1
        (s_pyramid, s_rois), (t_pyramid, t_rois) = student[0], teacher[0]
        assert torch.equal(s_rois, t_rois)
        assert len(s_rois) == 2 * 16
        # Each from its own pyramid.
        assert all(s is not t for s, t in zip(s_pyramid, t_pyramid, strict=True))

    def test_rpn_of_the_teacher_does_not_run(self, model):
        calls = []
        handle = spy(model.teacher.rpn_head, calls)
        step(model)
        handle.remove()
        assert not calls

    @pytest.mark.parametrize("method", ["pckd_roi", "pckd_fpn"])
    def test_teacher_sees_this_batch_without_a_graph(self, method):
        model = build(detector(8), detector(12), method)
        inner, rois, pyramid = [], [], []
        handles = [
            spy(model.teacher.roi_head.bbox_head.fc_cls, inner),
            spy(model.teacher.roi_head.bbox_roi_extractor, rois),
            model.teacher.neck.register_forward_hook(
                lambda _, inputs, output: pyramid.append(output)
            ),
        ]
        step(model)
        data = model.data_preprocessor(scenes(BOXES), True)
        features = model.teacher.extract_feat(data["inputs"])
        model.teacher.roi_head._bbox_forward(features, rois[0][1])
        for handle in handles:
            handle.remove()
        (in_step,), (plain,) = inner
        torch.testing.assert_close(in_step, plain)
        assert not in_step.requires_grad
        assert not any(level.requires_grad for level in pyramid[0])

    def test_student_is_computed_as_by_mmdet(self, model):
        losses = step(model)
        torch.manual_seed(1)
        data = model.data_preprocessor(scenes(BOXES), True)
        plain = model.student.loss(
            **{
                "batch_inputs": data["inputs"],
                "batch_data_samples": data["data_samples"],
            }
        )
        own = {k: v for k, v in losses.items() if k.startswith("student.")}
        assert set(own) == {f"student.{name}" for name in plain}
        for name, value in plain.items():
            torch.testing.assert_close(own[f"student.{name}"], value)

    def test_teacher_is_frozen_and_no_part_of_the_model(self, model):
        before = copy.deepcopy(model.teacher.state_dict())
        total(model, step(model)).backward()
        assert not any(module.training for module in model.teacher.modules())
        assert all(p.grad is None for p in model.teacher.parameters())
        for name, value in model.teacher.state_dict().items():
            assert torch.equal(value, before[name])
        assert not any("teacher" in name for name in model.state_dict())


def box_head(network, stage=None):
    """The box head, or that of a cascade's stage."""
    heads = network.roi_head.bbox_head
    return heads if stage is None else heads[stage]


def plain_terms(model, s_in, t_in, targets, with_background=False, stage=None) -> dict:
    """Terms of the objective in float64 from recorded tensors.

    Args:
        model: For the classifiers and connectors, in float64.
        s_in: What entered the student's ``fc_cls``, shape (N, D_s).
        t_in: What entered the teacher's, shape (N, D_t).
        targets: Labels as mmdet assigned them, background the last, shape (N,).
        with_background: Whether contrast and alignment are of all RoIs.
        stage: Which stage of a cascade; None for a detector of one.
    """
    s_fc = box_head(model.student, stage).fc_cls
    t_fc = box_head(model.teacher, stage).fc_cls
    s_logits = s_in @ s_fc.weight.T + s_fc.bias
    t_logits = (t_in @ t_fc.weight.T + t_fc.bias).detach()
    weights = reference.preview_weights(
        reference.cross_entropies(s_logits, targets), EPOCH, EPOCHS
    )
    background = s_fc.out_features - 1
    objects = [
        k for k, label in enumerate(targets) if with_background or label < background
    ]
    embeds = {}
    for name in ("s_embed", "t_embed"):
        linear = model.distiller.connectors[name].linear
        rows = s_in[objects] @ linear.weight.T + linear.bias
        embeds[name] = rows / rows.square().sum(1, keepdim=True).sqrt()
    first, norm, _, second = model.distiller.connectors["align"].mlp
    hidden = s_in[objects] @ first.weight.T + first.bias
    centered = hidden - hidden.mean(0)
    hidden = centered / (centered.square().mean(0) + norm.eps).sqrt()
    hidden = (hidden * norm.weight + norm.bias).clamp_min(0)
    return dict(
        loss_kd=reference.kl_divergence(s_logits, t_logits, weights),
        loss_cc=0.05
        * reference.category_contrast(
            embeds["s_embed"],
            embeds["t_embed"],
            s_fc.weight,
            t_fc.weight.detach(),
            [targets[k] for k in objects],
            [weights[k] for k in objects],
        ),
        loss_ca=reference.category_alignment(
            s_fc.weight, t_fc.weight.detach(), s_fc.bias, t_fc.bias.detach()
        ),
        loss_fa=20
        * reference.feature_alignment(
            hidden @ second.weight.T + second.bias, t_in[objects]
        ),
    )


def double_copy(model):
    copied = copy.deepcopy(model)
    copied._frozen = copy.copy(model._frozen)
    copied._frozen.module = copy.deepcopy(model.teacher)
    return copied.double()


@pytest.mark.parametrize("with_background", [False, True])
def test_terms_and_gradients_equal_the_plain_computation(with_background):
    model = build(detector(8), detector(12), with_background=with_background)
    s_in, t_in, targets = [], [], []
    handles = [
        spy(model.student.roi_head.bbox_head.fc_cls, s_in),
        spy(model.teacher.roi_head.bbox_head.fc_cls, t_in),
        spy(model.student.roi_head.bbox_head.loss_cls, targets),
    ]
    plain_model = double_copy(model)
    losses = step(model)
    for handle in handles:
        handle.remove()
    feature, labels = s_in[0][0], targets[0][1].tolist()
    assert 4 < sum(label < 4 for label in labels) < len(labels) == 32
    leaf = feature.detach().double().requires_grad_()
    teacher_in = t_in[0][0].double()
    plain = plain_terms(plain_model, leaf, teacher_in, labels, with_background)

    def parameters(network):
        head = network.student.roi_head.bbox_head
        return [*head.fc_cls.parameters(), *network.distiller.parameters()]

    assert {k for k in losses if k.startswith("distill.")} == {
        f"distill.{name}" for name in plain
    }
    for name, expected in plain.items():
        found = losses[f"distill.{name}"]
        torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-7)
        options = dict(retain_graph=True, allow_unused=True)
        wanted = torch.autograd.grad(
            expected, [leaf, *parameters(plain_model)], **options
        )
        grads = torch.autograd.grad(found, [feature, *parameters(model)], **options)
        scale = max(g.norm() for g in wanted if g is not None)
        for one, other in zip(grads, wanted, strict=True):
            assert (one is None) == (other is None), name
            if one is not None:
                assert (one.double() - other).norm() <= 1e-5 * scale, name


@pytest.fixture(scope="module")
def one_process(tmp_path_factory):
    path = tmp_path_factory.mktemp("group") / "store"
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{path}", rank=0, world_size=1
    )
    yield
    end_process_group()


@pytest.mark.parametrize(
    "boxes",
    [BOXES, [[], BOXES[0]], TINY, [[], []]],
    ids=["objects", "an image without", "one tiny box", "background only"],
)
@pytest.mark.parametrize("method", ["pckd_roi", "kd_roi", "pckd_fpn"])
def test_finite_losses_and_a_gradient_for_every_parameter(one_process, boxes, method):
    model = build(detector(8), detector(12), method)
    torch.manual_seed(1)
    data = model.data_preprocessor(scenes(boxes), True)
    ddp = DistributedDataParallel(model)
    for _ in range(2):  # the second step complains of parameters without a gradient
        losses = ddp(**data, mode="loss")
        loss = total(model, losses)
        loss.backward()
        assert loss.isfinite()
    trained = [p for p in model.parameters() if p.requires_grad]
    assert all(p.grad is not None and p.grad.isfinite().all() for p in trained)
    buffers = dict(model.named_buffers())
    assert all(value.isfinite().all() for value in buffers.values())
    if boxes == [[], []]:
        assert losses.get("distill.loss_cc", torch.zeros(())) == 0
        assert losses.get("distill.loss_fa", torch.zeros(())) == 0


def test_no_region_at_all(model, monkeypatch):
    # An RPN may propose nothing where an image has no object either.
    def propose_nothing(*args, **kwargs):
        losses, results = loss_and_predict(*args, **kwargs)
        return losses, [result[:0] for result in results]

    loss_and_predict = model.student.rpn_head.loss_and_predict
    monkeypatch.setattr(model.student.rpn_head, "loss_and_predict", propose_nothing)
    losses = step(model, [[], []])
    assert total(model, losses).isfinite()
    assert losses["distill.loss_kd"] == 0


def test_preview_weighs_every_roi(model):
    step(model)
    weight = model.distiller.preview_weight
    assert weight.shape == (32,) and not weight.requires_grad
    assert weight.min() >= 0 and weight.max() == 1


def test_stopped_distillation_is_the_student_alone(model):
    model.distillation_stopped = True
    try:
        losses = step(model)
    finally:
        model.distillation_stopped = False
    assert all(name.startswith("student.") for name in losses)


class TestDetectors:
    """Two-stage detectors of other kinds."""

    def test_separate_branches_and_unequal_widths(self):
        branches = dict(type="ConvFCBBoxHead", num_cls_convs=1, num_cls_fcs=1)
        branches.update(num_reg_fcs=1, conv_out_channels=8)
        student = detector(8, fc_out_channels=24, **branches)
        method = roi_method()
        method["distiller"]["distill_losses"]["loss_ca"] = None
        model = build(student, detector(12), distiller=method["distiller"])
        losses = step(model)
        assert total(model, losses).isfinite()
        assert model.distiller.connectors["align"].mlp[0].in_features == 24
        assert model.distiller.connectors["align"].mlp[-1].out_features == 128

    @pytest.mark.parametrize("shared", [True, False])
    def test_mask_rcnn(self, shared):
        def with_mask(cfg):
            cfg = copy.deepcopy(cfg)
            cfg["type"] = "MaskRCNN"
            extractor = copy.deepcopy(cfg["roi_head"]["bbox_roi_extractor"])
            extractor["roi_layer"]["output_size"] = 14
            cfg["roi_head"].update(
                mask_roi_extractor=None if shared else extractor,
                mask_head=dict(
                    type="FCNMaskHead",
                    num_convs=1,
                    in_channels=32,
                    conv_out_channels=8,
                    num_classes=4,
                    roi_feat_size=7 if shared else 14,
                    loss_mask=dict(type="CrossEntropyLoss", use_mask=True),
                ),
            )
            cfg["train_cfg"]["rcnn"]["mask_size"] = 14 if shared else 28
            return cfg

        from mmdet.structures.mask import BitmapMasks

        model = build(with_mask(detector(8)), with_mask(detector(12)))
        torch.manual_seed(1)
        data = scenes(BOXES)
        for sample in data["data_samples"]:
            number = len(sample.gt_instances)
            masks = torch.ones(number, 64, 64, dtype=torch.uint8).numpy()
            sample.gt_instances.masks = BitmapMasks(masks, 64, 64)
        mask_calls = []
        handle = spy(model.teacher.roi_head.mask_head, mask_calls)
        losses = model(**model.data_preprocessor(data, True), mode="loss")
        handle.remove()
        assert not mask_calls
        assert losses["student.loss_mask"] > 0
        assert losses["distill.loss_kd"] > 0
        total(model, losses).backward()


def retina() -> dict:
    cfg = detector(8)
    return dict(
        type="RetinaNet",
        backbone=cfg["backbone"],
        neck=cfg["neck"],
        bbox_head=dict(
            type="RetinaHead", num_classes=4, in_channels=32, feat_channels=8
        ),
        train_cfg=dict(
            assigner=dict(
                type="MaxIoUAssigner",
                pos_iou_thr=0.5,
                neg_iou_thr=0.4,
                min_pos_iou=0,
            ),
        ),
    )


def combined(positive: str, negative: str) -> dict:
    return dict(
        type="CombinedSampler",
        pos_sampler=dict(type=positive),
        neg_sampler=dict(type=negative),
    )


class TestErrors:
    @pytest.mark.parametrize("who", ["student", "teacher"])
    @pytest.mark.parametrize(
        ("other", "words"),
        [
            (retina(), "is a RetinaNet; expected a TwoStageDetector"),
            (
                detector(loss_cls=dict(type="SeesawLoss", num_classes=4)),
                ".s box head is a Shared2FCBBoxHead with SeesawLoss and a Linear of 6 ",
            ),
        ],
        ids=["one stage", "seesaw"],
    )
    def test_detector_that_cannot_be_served(self, who, other, words):
        networks = dict(student=detector(8), teacher=detector(8))
        networks[who] = other
        with pytest.raises(TypeError, match=f"The {who} ?{words}"):
            build(**networks)

    @pytest.mark.parametrize(
        ("roi_head", "sampler", "words"),
        [
            (
                "Standard",
                dict(type="ScoreHLRSampler"),
                "regions by ScoreHLRSampler, which .* in a StandardRoIHead; expected",
            ),
            (
                "Standard",
                combined("OHEMSampler", "ScoreHLRSampler"),
                "regions by OHEMSampler and ScoreHLRSampler, which",
            ),
            ("Grid", dict(type="OHEMSampler"), "by OHEMSampler, .* in a GridRoIHead"),
        ],
    )
    def test_advice_for_a_sampler_that_mines(self, roi_head, sampler, words):
        student = detector(8)
        student["train_cfg"]["rcnn"]["sampler"].update(sampler)
        if "pos_sampler" in sampler:  # which hands it to its parts by name
            student["train_cfg"]["rcnn"]["sampler"].pop("add_gt_as_proposals")
        student["roi_head"]["type"] = f"{roi_head}RoIHead"
        if roi_head == "Grid":
            student["roi_head"].update(
                grid_roi_extractor=None,
                grid_head=dict(
                    type="GridHead",
                    grid_points=9,
                    num_convs=1,
                    in_channels=32,
                    roi_feat_size=8,
                    point_feat_channels=4,
                    norm_cfg=dict(type="GN", num_groups=4),
                ),
            )
            student["roi_head"]["bbox_roi_extractor"]["roi_layer"]["output_size"] = 8
            student["roi_head"]["bbox_head"]["roi_feat_size"] = 8
            student["train_cfg"]["rcnn"].update(pos_radius=1, max_num_grid=8)
        with pytest.raises(TypeError, match=words) as refusal:
            build(student, detector(8))
        advice = re.findall(r"(model[\w.]+)=(\w+)", str(refusal.value))
        cfg = Config(dict(model=dict(architecture=student)))
        cfg.merge_from_dict(dict(advice))
        model = build(cfg.model.architecture, detector(12))
        losses = step(model)
        assert losses["distill.loss_kd"] > 0
        total(model, losses).backward()

    def test_combined_sampler_that_does_not_mine(self):
        student = detector(8)
        sampler = student["train_cfg"]["rcnn"]["sampler"]
        sampler.update(combined("InstanceBalancedPosSampler", "IoUBalancedNegSampler"))
        sampler.pop("add_gt_as_proposals")
        build(student, detector(8))

    def test_teacher_samples_nothing(self):
        teacher = detector(8)
        teacher["roi_head"]["type"] = "PISARoIHead"
        teacher["train_cfg"]["rcnn"]["sampler"]["type"] = "ScoreHLRSampler"
        build(detector(8), teacher)

    def test_box_head_that_runs_twice(self, model, monkeypatch):
        head = model.student.roi_head.bbox_head
        loss = head.loss

        def twice(cls_score, bbox_pred, rois, labels, weights, *rest, **options):
            head.loss_cls(cls_score[:3], labels[:3], weights[:3])
            return loss(cls_score, bbox_pred, rois, labels, weights, *rest, **options)

        monkeypatch.setattr(head, "loss", twice)
        with pytest.raises(RuntimeError, match="loss of classes 2 times .* expected"):
            step(model)

    @pytest.mark.parametrize("name", ["rois", "roi_targets"])
    def test_name_of_a_recorder_is_taken(self, name):
        distiller = roi_method()["distiller"]
        distiller["student_recorders"][name] = dict(type="ModuleOutputs", source="neck")
        with pytest.raises(ValueError, match=f"student recorder {name}, a name that"):
            build(detector(8), detector(8), distiller=distiller)

    def test_head_without_a_classifier(self):
        with pytest.raises(TypeError, match="student's box head .* a NoneType as fc_c"):
            build(detector(with_cls=False), detector())

    def test_student_without_train_cfg(self):
        student = detector(8)
        student["train_cfg"] = None
        with pytest.raises(ValueError, match="student has no train_cfg.rcnn"):
            build(student, detector(8))

    def test_categories_differ(self):
        with pytest.raises(
            ValueError,
            match="has 4 .* teacher 7, which loss_kd and",
        ):
            build(detector(classes=4), detector(classes=7))

    def test_teacher_input_size(self):
        with pytest.raises(ValueError, match="found teacher_input_size=64; .*remove"):
            build(detector(8), detector(8), teacher_input_size=64)
        # The advice.
        build(detector(8), detector(8), teacher_input_size="same")

    def test_batch_is_normalised_as_for_neither(self):
        preprocessor = dict(type="DetDataPreprocessor", pad_size_divisor=32)
        words = "The algorithm's data_pre.* by nothing, the student's by mean"
        with pytest.raises(ValueError, match=words):
            build(detector(8), detector(8), data_preprocessor=preprocessor)

    def test_deliveries(self):
        method = roi_method()["distiller"]
        method["distill_deliveries"] = dict(a=dict(type="MethodOutputs"))
        with pytest.raises(ValueError, match="RoIDistill found distill_deliveries"):
            build(detector(), detector(), distiller=method)

    def test_no_teacher(self):
        with pytest.raises(ValueError, match="RoIDistill found no teacher; expected"):
            build(detector(), None)
        with pytest.raises(FileNotFoundError, match="no teacher_config missing.py"):
            build(detector(), None, teacher_config="missing.py")
        config = str(CONFIGS / "vanilla" / "digit_scenes_frcnn_r18w8.py")
        words = f"no teacher_ckpt; expected .* pckd train {config}"
        with pytest.raises(ValueError, match=words):
            build(detector(), None, teacher_config=config)

    def test_setting_of_the_student(self):
        words = "found the setting backbone; .* as in model.architecture.backbone"
        with pytest.raises(TypeError, match=words):
            build(detector(), detector(), backbone=dict(init_cfg=None))

    def test_teacher_checkpoint_is_a_folder(self, tmp_path):
        with pytest.raises(FileNotFoundError, match="this is a folder, name the file"):
            build(detector(), detector(), teacher_ckpt=str(tmp_path))

    def test_teacher_config_of_mmdet(self, tmp_path):
        # Of COCO's categories, which the student has not.
        with pytest.raises(ValueError, match="has 4 .* teacher 80, which loss_kd"):
            build(
                detector(),
                None,
                teacher_config="mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py",
                teacher_ckpt=str(tmp_path / "coco.pth"),
            )

    def test_teacher_checkpoint_of_other_categories(self, tmp_path):
        other = build(detector(12, classes=9), detector(12, classes=9)).teacher
        path = tmp_path / "coco.pth"
        torch.save(dict(state_dict=other.state_dict()), path)
        words = (
            r"coco.pth does not fit .* in 4 tensors: .*fc_cls.weight is \(10, 128\) "
            r"instead of \(5, 128\).*or train it: pckd train mine.py"
        )
        with pytest.raises(ValueError, match=words):
            build(
                detector(8),
                detector(12),
                teacher_ckpt=str(path),
                teacher_config="mine.py",
            )


def test_without_the_students_loss_regions_are_sampled_all_the_same():
    model = build(detector(8), detector(12), calculate_student_loss=False)
    losses = step(model)
    assert losses and all(name.startswith("distill.") for name in losses)
    total(model, losses).backward()
    for name, weight in model.student.named_parameters():
        if weight.requires_grad:
            assert weight.grad is not None, name
    assert not model.student.rpn_head.rpn_reg.weight.grad.any()
    assert model.student.roi_head.bbox_head.fc_cls.weight.grad.any()
    # The same regions and losses as with it.
    both = step(build(detector(8), detector(12)))
    for name, value in losses.items():
        torch.testing.assert_close(value, both[name])


def test_a_plain_detectors_checkpoint_is_taken_for_the_student(tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(
        "pckd_mm.utils.checkpoint.loading.print_log",
        lambda text, **_: said.append(text),
    )
    with DefaultScope.overwrite_default_scope("mmdet"):
        other = MODELS.build(ConfigDict(detector(8, classes=6)))
    path = str(tmp_path / "detector.pth")
    torch.save({"state_dict": other.state_dict(), "meta": {}}, path)
    model = build(detector(8), detector(12))
    load_checkpoint(model, path, map_location="cpu")
    weights = dict(other.named_parameters())
    differ = [
        name
        for name, weight in model.student.named_parameters()
        if weight.shape != weights[name].shape or not torch.equal(weight, weights[name])
    ]
    # Classes of background and of boxes.
    head = "roi_head.bbox_head"
    assert sorted(differ) == [
        f"{head}.fc_{kind}.{part}"
        for kind in ("cls", "reg")
        for part in ("bias", "weight")
    ]
    assert "names with 'architecture.' in front; without distiller.*" in said[0]
    assert f"architecture.{head}.fc_cls.bias is (7,) instead of (5,)" in said[1]
