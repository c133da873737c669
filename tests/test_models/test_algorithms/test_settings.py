"""The rule: what a config says is used, refused, or named in the log."""

import logging
import sys
from inspect import Parameter, signature

import pytest
import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.evaluator import BaseMetric
from mmengine.hooks import Hook
from mmengine.model import BaseDataPreprocessor, BaseModel, ImgDataPreprocessor
from mmengine.registry import DATASETS, HOOKS, METRICS
from mmengine.registry import MODELS as MMENGINE_MODELS
from mmengine.runner import Runner
from mmpretrain.models import HuggingFaceClassifier, ImageClassifier, TimmClassifier
from mmpretrain.models.classifiers import BaseClassifier
from mmpretrain.models.utils import ClsDataPreprocessor
from mmrazor.models.algorithms import BaseAlgorithm, SingleTeacherDistill
from mmrazor.models.distillers import BaseDistiller, ConfigurableDistiller
from torch.utils.data import Dataset

from pckd_mm.models.algorithms.settings import (
    NAMED,
    REFUSED,
    USED,
    check_settings,
    check_teacher,
)
from pckd_mm.models.classifiers import PlainClassifier
from pckd_mm.models.data_preprocessors.student_settings import other_settings
from pckd_mm.registry import MODELS
from pckd_mm.utils.dependencies import has_detection
from tests.builders import ROOT, Point, batch, classifier, method, pckd_config

NETWORKS = [BaseModel, BaseClassifier, ImageClassifier, PlainClassifier]
NETWORKS += [TimmClassifier, HuggingFaceClassifier]
PREPROCESSORS = [BaseDataPreprocessor, ImgDataPreprocessor, ClsDataPreprocessor]
if has_detection():
    from mmdet.models.data_preprocessors import DetDataPreprocessor
    from mmdet.models.detectors import (
        FasterRCNN,
        MaskRCNN,
        SingleStageDetector,
        TwoStageDetector,
    )
    from mmdet.models.detectors.base import BaseDetector
    from mmdet.models.detectors.single_stage_instance_seg import (
        SingleStageInstanceSegmentor,
    )

    NETWORKS += [BaseDetector, TwoStageDetector, FasterRCNN, MaskRCNN]
    NETWORKS += [SingleStageDetector, SingleStageInstanceSegmentor]
    PREPROCESSORS += [DetDataPreprocessor]

# Where in a run's config these classes are built.
CLASSES = {
    "": [Runner],
    "model": [BaseModel, BaseAlgorithm, SingleTeacherDistill],
    "model.distiller": [BaseDistiller, ConfigurableDistiller],
    "model.data_preprocessor": PREPROCESSORS,
    "model.architecture": NETWORKS,
    "model.architecture.data_preprocessor": PREPROCESSORS,
    "model.teacher": NETWORKS,
    "model.teacher.data_preprocessor": PREPROCESSORS,
}

ALGORITHMS = "tests/test_models/test_algorithms"
# The test that sees each setting that is used.
SEEN = [
    (
        f"{ALGORITHMS}/test_multi_view_distill.py::test_loss_names",
        {
            "model": "architecture distiller teacher",
            "model.distiller": "student_recorders teacher_recorders connectors "
            "distill_losses loss_forward_mappings",
            "model.architecture": "backbone neck head",
            "model.teacher": "backbone neck head",
            "": "model",
        },
    ),
    (
        f"{ALGORITHMS}/test_multi_view_distill.py::test_teacher_checkpoint_loads",
        {"model": "teacher_ckpt"},
    ),
    (
        f"{ALGORITHMS}/test_multi_view_distill.py::"
        "test_teacher_may_name_its_weights_in_its_init_cfg",
        {"model.teacher": "init_cfg"},
    ),
    (
        "tests/test_engine/test_hooks/test_fit_checkpoint_hook.py::"
        "test_a_distillation_takes_every_checkpoint_of_its_student",
        {"model": "init_cfg", "model.architecture": "init_cfg", "": "load_from"},
    ),
    (
        f"{ALGORITHMS}/test_student_loss.py::test_the_sum_is_that_of_the_distillation",
        {"model": "calculate_student_loss"},
    ),
    (
        f"{ALGORITHMS}/test_student_augments.py::"
        "test_batches_and_loss_are_those_of_mmpretrains_own_classifier",
        {
            "model": "data_preprocessor",
            "model.architecture": "train_cfg data_preprocessor",
            "model.architecture.data_preprocessor": "batch_augments",
        },
    ),
    (
        f"{ALGORITHMS}/test_settings.py::test_layers_in_place",
        {"model": "module_inplace teacher_module_inplace"},
    ),
    (
        f"{ALGORITHMS}/test_settings.py::test_deliveries",
        {"model.distiller": "distill_deliveries"},
    ),
    (
        f"{ALGORITHMS}/test_settings.py::test_connectors_are_initialised",
        {"model.distiller": "init_cfg"},
    ),
    (
        f"{ALGORITHMS}/test_settings.py::test_pretrained_is_an_init_cfg",
        {"model.architecture": "pretrained", "model.teacher": "pretrained"},
    ),
    (
        f"{ALGORITHMS}/test_settings.py::test_preprocessors_are_built_as_they_are_given",
        {
            "model.data_preprocessor": "mean std to_rgb bgr_to_rgb rgb_to_bgr "
            "pad_size_divisor pad_value pad_mask mask_pad_value pad_seg seg_pad_value "
            "to_onehot num_classes batch_augments non_blocking boxtype2tensor"
        },
    ),
    (
        f"{ALGORITHMS}/test_settings.py::test_settings_of_networks_of_timm",
        {"model.architecture": "with_cp loss"},
    ),
    (
        f"{ALGORITHMS}/test_zoo_networks.py::test_step",
        {"model.architecture": "model_name", "model.teacher": "model_name"},
    ),
    (
        "tests/test_models/test_classifiers/test_plain_classifier.py::"
        "test_step_with_a_network_of_torch",
        {"model.architecture": "model", "model.teacher": "model"},
    ),
    (
        f"{ALGORITHMS}/test_dense_distill_steps.py::"
        "test_student_is_computed_as_by_mmdet",
        {"model.architecture": "bbox_head mask_head"},
    ),
    (
        f"{ALGORITHMS}/test_dense_distill_steps.py::"
        "test_the_teacher_runs_what_classifies",
        {"model.teacher": "bbox_head mask_head"},
    ),
    (
        f"{ALGORITHMS}/test_roi_distill.py::test_student_is_computed_as_by_mmdet",
        {"model.architecture": "rpn_head roi_head test_cfg"},
    ),
    (
        f"{ALGORITHMS}/test_roi_distill.py::test_box_heads_of_both_pool_the_same_rois",
        {"model.teacher": "rpn_head roi_head"},
    ),
    (
        f"{ALGORITHMS}/test_teacher_inputs.py::"
        "test_four_views_as_by_the_teachers_own_pipeline",
        {
            "model.teacher": "data_preprocessor",
            "model.teacher.data_preprocessor": "mean std to_rgb",
        },
    ),
    (
        "tests/test_models/test_data_preprocessors/test_normalisation.py::"
        "test_config_and_module_say_the_same",
        {"model.teacher.data_preprocessor": "bgr_to_rgb rgb_to_bgr"},
    ),
    (
        "tests/test_models/test_data_preprocessors/test_teacher_inputs.py::"
        "test_padded_images_keep_the_teachers_value",
        {"model.teacher.data_preprocessor": "pad_value"},
    ),
    (
        f"{ALGORITHMS}/test_settings.py::test_a_run_has_what_its_config_says",
        {
            "": "work_dir train_dataloader val_dataloader test_dataloader train_cfg "
            "val_cfg test_cfg auto_scale_lr optim_wrapper param_scheduler "
            "val_evaluator test_evaluator default_hooks custom_hooks data_preprocessor "
            "launcher env_cfg log_processor log_level visualizer default_scope "
            "randomness experiment_name cfg"
        },
    ),
    (
        "tests/test_tools/test_train.py::test_resume_from_a_named_checkpoint",
        {"": "resume"},
    ),
]


def arguments(cls: type) -> set:
    several = (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)
    return {
        name
        for name, parameter in signature(cls.__init__).parameters.items()
        if name != "self" and parameter.kind not in several
    }


def not_listed(place: str, cls: type) -> set:
    lists = (USED, REFUSED, NAMED)
    return arguments(cls).difference(*(each.get(place, ()) for each in lists))


# ----------------------------------------------------------------------- the lists


@pytest.mark.parametrize(
    "place, cls",
    [(place, cls) for place, classes in CLASSES.items() for cls in classes],
    ids=lambda part: part.__name__ if isinstance(part, type) else part or "run",
)
def test_every_argument_of_every_base_class_is_in_a_list(place, cls):
    assert not_listed(place, cls) == set()


def test_a_new_argument_of_a_base_class_is_noticed():
    class Next(ImageClassifier):
        def __init__(self, backbone, *args, bottleneck=None, **kwargs):
            super().__init__(backbone, *args, **kwargs)

    for place in ("model.architecture", "model.teacher"):
        assert not_listed(place, Next) == {"bottleneck"}


@pytest.mark.skipif(not has_detection(), reason="some are of detectors")
def test_nothing_is_listed_that_is_not_there():
    for place, classes in CLASSES.items():
        there = set().union(*map(arguments, classes))
        listed = {*USED.get(place, ()), *REFUSED.get(place, ())}
        if place:  # those of MMCV 1 are not
            listed |= NAMED.get(place, {}).keys()
        # What timm and Hugging Face take beside.
        assert listed - there <= {"pretrained"}, place


def test_each_that_is_used_has_a_test():
    seen = {}
    for test, places in SEEN:
        path, _, name = test.partition("::")
        assert name and f"def {name}(" in (ROOT / path).read_text(), test
        for place, names in places.items():
            seen.setdefault(place, []).extend(names.split())
    for place, names in USED.items():
        assert sorted(seen[place]) == sorted(names), place


# -------------------------------------------------------------------------- refused


@pytest.mark.parametrize("name", REFUSED["model"])
def test_refused(name):
    refused = REFUSED["model"][name]
    config = pckd_config(classifier(8), classifier(14), **{name: refused.value})
    with pytest.raises(ValueError, match=f"found {name}={refused.value}; expected"):
        MODELS.build(config)
    MODELS.build(dict(config, **{name: not refused.value}))
    config.pop(name)  # the advice
    MODELS.build(config)


# ---------------------------------------------------------------------------- named


@pytest.fixture
def said(monkeypatch):
    """What the log has, with its levels."""
    found = []

    def keep(text, logger, level=logging.INFO):
        assert logger == "current"
        found.append((logging.getLevelName(level), text))

    monkeypatch.setattr("pckd_mm.models.algorithms.settings.print_log", keep)
    return found


# None of them a default.
VALUES = {
    "mean": [1.0, 2.0, 3.0],
    "std": [2.0, 3.0, 4.0],
    "pad_size_divisor": 16,
    "pad_value": 7,
    "mask_pad_value": 3,
    "seg_pad_value": 254,
    "num_classes": 12,
    "batch_augments": dict(augments=dict(type="Mixup", alpha=0.8)),
    "boxtype2tensor": False,
}
PLACES = ["model.architecture.data_preprocessor", "model.teacher.data_preprocessor"]


@pytest.mark.parametrize(
    "place, name", [(place, name) for place in PLACES for name in NAMED[place]]
)
def test_what_a_networks_own_preprocessor_says_is_named_where_it_differs(
    said, place, name
):
    having = [cls for cls in PREPROCESSORS if name in arguments(cls)]
    if not having:
        pytest.skip("detectors are not installed")
    config = {name: VALUES.get(name, True)}
    check_settings(place, other_settings(config, having[-1]()))
    ((level, text),) = said
    assert level == "WARNING"
    assert text == (
        f"Not used: {place}.{name}, since the data_preprocessor of the algorithm "
        "prepares the batches."
    )


NORMALISATION = dict(mean=[1.0, 2.0, 3.0], std=[2.0, 3.0, 4.0])


@pytest.mark.parametrize("who", ["architecture", "teacher"])
def test_distillations_name_them(said, who):
    networks = dict(architecture=classifier(8), teacher=classifier(14))
    own = dict(**NORMALISATION, pad_size_divisor=16, to_rgb=True)
    networks[who]["data_preprocessor"] = dict(own)
    used = dict(type="mmpretrain.ClsDataPreprocessor")
    kd = dict(method("kd"), **networks)
    MODELS.build({**kd, "data_preprocessor": {**used, **own}})
    assert said == []
    MODELS.build({**kd, "data_preprocessor": None} if who == "architecture" else kd)
    if who == "architecture":  # then it is used
        assert said == []
    said.clear()
    MODELS.build({**kd, "data_preprocessor": used})
    ((_, text),) = said
    names = ["mean", "std", "to_rgb"] if who == "architecture" else []
    for name in [*names, "pad_size_divisor"]:
        assert f"model.{who}.data_preprocessor.{name}" in text


@pytest.mark.parametrize("name", NAMED["model.teacher"])
def test_what_a_frozen_teacher_does_not_need_is_named(said, tmp_path, name):
    path = str(tmp_path / "teacher.pth")
    value = dict(
        train_cfg=dict(augments=dict(type="Mixup", alpha=0.8)),
        init_cfg=dict(type="Pretrained", checkpoint="other.pth"),
        pretrained="other.pth",
        loss=dict(type="LabelSmoothLoss"),
    )
    teacher = dict(classifier(14), **{name: value.get(name, True)})
    check_teacher(teacher, path)
    ((level, text),) = said
    assert level == "WARNING" and text.startswith(f"Not used: model.teacher.{name}, ")
    # By the algorithm too, where that network takes it.
    said.clear()
    if name in arguments(ImageClassifier):
        config = pckd_config(classifier(8), teacher, teacher_ckpt=path)
        MODELS.build(config)
        assert said == [(level, text)]


def test_weights_of_a_teacher_without_a_checkpoint_are_used(said):
    check_teacher(dict(init_cfg=dict(type="Pretrained", checkpoint="other.pth")))
    assert said == []


def test_what_a_config_says_of_the_teachers_training_is_no_warning(said):
    teacher = dict(train_cfg=dict(rpn=1), test_cfg=dict(rpn=1))
    check_teacher(teacher, quiet=True)
    check_teacher(dict(teacher, roi_head=dict()))
    check_teacher(teacher)
    assert [level for level, _ in said] == ["INFO", "INFO", "WARNING"]


# ----------------------------------------------------------------------------- used


@pytest.mark.parametrize("who", ["student", "teacher"])
@pytest.mark.parametrize("kept", [False, True])
def test_layers_in_place(who, kept):
    """A layer that overwrites its input does not overwrite a record, unless it may."""
    network = dict(
        classifier(8),
        backbone=dict(type="mmpretrain.ResNet_CIFAR", depth=18, base_channels=16),
    )
    network["backbone"]["stem_channels"] = 16
    network["head"]["in_channels"] = 128
    networks = dict(student=classifier(8), teacher=classifier(8))
    networks[who] = network
    config = pckd_config(*networks.values())
    config["distiller"]["distill_losses"].update(loss_ca=None)
    config["distiller"][f"{who}_recorders"]["normed"] = dict(
        type="ModuleOutputs", source="backbone.bn1"
    )
    prefix = "" if who == "student" else "teacher_"
    model = MODELS.build({**config, f"{prefix}module_inplace": kept}).eval()
    inputs, _ = batch(2, size=16)
    with getattr(model.distiller, f"{who}_recorders"), torch.no_grad():
        network = getattr(model, who)
        network(inputs, mode="tensor")
        expected = network.backbone.norm1(network.backbone.conv1(inputs))
    found = model.distiller.get_record("normed", from_student=who == "student")
    assert torch.equal(found, expected.relu() if kept else expected)
    assert not torch.equal(expected.relu(), expected)


def test_deliveries(monkeypatch):
    """What the teacher's side delivers is what the student's side gets."""
    got = []

    def draw(*args):
        got.append(torch.rand(1).item())
        return got[-1]

    monkeypatch.setattr("tests.test_models.test_algorithms.test_settings.drawn", draw)
    source = "tests.test_models.test_algorithms.test_settings.drawn"
    config = pckd_config(classifier(8), classifier(14))
    config["distiller"]["distill_deliveries"] = dict(
        shared=dict(type="FunctionOutputs", func_path=source, max_keep_data=1)
    )
    model = MODELS.build(config)
    model.progress = 0.5
    model.load_teacher()
    used = []
    for network in (model.teacher, model.student):
        network.neck.register_forward_hook(
            lambda *_: used.append(sys.modules[__name__].drawn())
        )
    model(*batch(3), mode="loss")
    assert len(got) == 1 and used == got * 2


def drawn() -> float:
    """Replaced by the test."""
    return 0.0


def test_connectors_are_initialised():
    config = pckd_config(classifier(8), classifier(14))
    config["distiller"]["init_cfg"] = dict(type="Constant", layer="Linear", val=0.25)
    model = MODELS.build(config)
    model.init_weights()
    for module in model.distiller.modules():
        if isinstance(module, torch.nn.Linear):
            assert (module.weight == 0.25).all()


def test_pretrained_is_an_init_cfg(tmp_path):
    path = str(tmp_path / "net.pth")
    weights = MODELS.build(classifier(8)).state_dict()
    torch.save({f"architecture.{name}": value for name, value in weights.items()}, path)
    networks = [dict(classifier(8), pretrained=path) for _ in range(2)]
    model = MODELS.build(pckd_config(*networks))
    model.init_weights()
    for network in (model.student, model.teacher):
        for name, value in network.state_dict().items():
            assert torch.equal(value, weights[name]), name


@pytest.mark.parametrize("name", USED["model.data_preprocessor"])
def test_preprocessors_are_built_as_they_are_given(name):
    having = [cls for cls in PREPROCESSORS if name in arguments(cls)]
    if not having:
        pytest.skip("detectors are not installed")
    config = {"type": having[-1], name: VALUES.get(name, True)}
    if name in ("mean", "std"):
        config.update(NORMALISATION)
    if name == "batch_augments":
        config["type"] = ClsDataPreprocessor
    model = MODELS.build(
        dict(
            method("kd"),
            architecture=classifier(8),
            teacher=classifier(14),
            data_preprocessor=dict(config),
        )
    )
    config.pop("type")
    assert other_settings(config, model.data_preprocessor) == {}
    assert other_settings(config, having[-1]()) == config or name == "non_blocking"


def test_settings_of_networks_of_timm():
    pytest.importorskip("timm", reason="the extra zoo")
    student = dict(
        type="mmpretrain.TimmClassifier",
        model_name="resnet10t",
        num_classes=10,
        with_cp=True,
        loss=dict(type="mmpretrain.LabelSmoothLoss", label_smooth_val=0.3),
    )
    model = MODELS.build(
        dict(method("kd"), architecture=student, teacher=classifier(14))
    )
    model.progress = 0.5
    model.load_teacher()
    model.eval()
    assert model.student.model.grad_checkpointing
    inputs, samples = batch(4, views=1, size=32)
    losses = model(inputs, samples, mode="loss")
    labels = torch.cat([sample.gt_label for sample in samples])
    logits = model.student(inputs, mode="tensor")
    expected = F.cross_entropy(logits, labels, label_smoothing=0.3)
    torch.testing.assert_close(losses["student.loss"], expected)


@DATASETS.register_module(force=True)
class Points(Dataset):
    def __len__(self):
        return 4

    def __getitem__(self, index):
        return dict(inputs=torch.zeros(1), data_samples=index)


@METRICS.register_module(force=True)
class Counted(BaseMetric):
    def process(self, data_batch, data_samples):
        self.results.append(len(data_samples))

    def compute_metrics(self, results):
        return dict(count=sum(results))


@HOOKS.register_module(force=True)
class Noted(Hook):
    def after_train(self, runner):
        runner.noted = True


class PointModel(Point):
    """One that keeps the preprocessor of the run's config."""

    def __init__(self, data_preprocessor=None):
        super().__init__()
        self.given = data_preprocessor

    def forward(self, inputs, data_samples=None, mode="tensor"):
        return super().forward(inputs, mode)


def test_a_run_has_what_its_config_says(tmp_path):
    MMENGINE_MODELS.register_module(module=PointModel, force=True)
    loader = dict(
        dataset=dict(type="Points"),
        batch_size=2,
        num_workers=0,
        sampler=dict(type="DefaultSampler", shuffle=False),
    )
    cfg = Config(
        dict(
            model=dict(type="PointModel"),
            data_preprocessor=dict(type="BaseDataPreprocessor", non_blocking=True),
            work_dir=str(tmp_path),
            train_dataloader=loader,
            val_dataloader=dict(loader, batch_size=1),
            test_dataloader=dict(loader, batch_size=4),
            train_cfg=dict(by_epoch=True, max_epochs=2, val_interval=2),
            val_cfg=dict(),
            test_cfg=dict(),
            auto_scale_lr=dict(enable=True, base_batch_size=4),
            optim_wrapper=dict(optimizer=dict(type="SGD", lr=0.5)),
            param_scheduler=dict(type="MultiStepLR", milestones=[1]),
            val_evaluator=dict(type="Counted"),
            test_evaluator=dict(type="Counted", prefix="test"),
            default_hooks=dict(checkpoint=dict(type="CheckpointHook", interval=2)),
            custom_hooks=[dict(type="Noted")],
            launcher="none",
            env_cfg=dict(cudnn_benchmark=False, dist_cfg=dict(backend="gloo")),
            log_processor=dict(window_size=3),
            log_level="ERROR",
            visualizer=dict(type="Visualizer", name="of_this_test"),
            default_scope="mmengine",
            randomness=dict(seed=11),
            experiment_name="what_a_config_says",
        )
    )
    runner = Runner.from_cfg(cfg)
    runner.train()
    assert runner.cfg.model.type == "PointModel"
    assert runner.model.given.non_blocking
    assert runner.noted and runner.epoch == 2
    assert runner.optim_wrapper.param_groups[0]["initial_lr"] == 0.25  # 2 of 4 images
    assert runner.param_schedulers[0].milestones == {1: 1}
    assert [path.name for path in tmp_path.glob("*.pth")] == ["epoch_2.pth"]
    assert runner.val_dataloader.batch_size == 1 and runner.val_interval == 2
    assert runner.test() == {"test/count": 4}
    assert runner.launcher == "none" and runner.log_processor.window_size == 3
    assert runner.logger.handlers[0].level == logging.ERROR
    assert runner.seed == 11
    assert runner.visualizer.instance_name == "of_this_test"
    assert runner.default_scope.scope_name == "mmengine"
    assert runner.experiment_name.startswith("what_a_config_says")
