"""Names without a scope find the neighbours' classes, whatever the default scope."""

import contextlib

import mmpretrain.models
import mmrazor.models
import pytest
from mmengine.config import ConfigDict
from mmengine.model import ImgDataPreprocessor
from mmengine.registry import MODELS as ROOT_MODELS
from mmengine.registry import DefaultScope

from pckd_mm import models, registry
from pckd_mm.models.distillers.distiller_config import in_scope
from pckd_mm.registry import DATASETS, MODELS, TASK_UTILS
from pckd_mm.utils.dependencies import has_detection
from tests.builders import batch, detector, method

SCOPES = [None, "mmpretrain", "mmdet", "mmrazor", "mmengine", "pckd_mm"]
needs_mmdet = pytest.mark.skipif(not has_detection(), reason="needs mmdet")


@contextlib.contextmanager
def default_scope(scope):
    """The default scope, or none at all; conftest.py brings back what was there."""
    DefaultScope._instance_dict.clear()
    with DefaultScope.overwrite_default_scope(scope):
        yield


def plain_classifier(**backbone) -> dict:
    """A classifier as mmpretrain's configs write it: without any scope."""
    return dict(
        type="ImageClassifier",
        backbone=dict(
            dict(type="ResNet", depth=18, base_channels=8, stem_channels=8), **backbone
        ),
        neck=dict(type="GlobalAveragePooling"),
        head=dict(
            type="LinearClsHead",
            num_classes=10,
            in_channels=64,
            loss=dict(type="CrossEntropyLoss", loss_weight=0.5),
        ),
    )


@pytest.mark.parametrize("scope", SCOPES)
def test_a_classifier_has_the_parts_of_its_own_library(scope):
    if scope == "mmdet" and not has_detection():
        pytest.skip("needs mmdet")
    with default_scope(scope):
        model = MODELS.build(plain_classifier())
    assert type(model) is mmpretrain.models.ImageClassifier
    # mmdet and mmpretrain both have these two names.
    assert type(model.backbone) is mmpretrain.models.ResNet
    assert type(model.head.loss_module) is mmpretrain.models.CrossEntropyLoss
    probe = dict(plain_classifier(), type="pckd_mm.LinearProbe")
    with default_scope(scope):
        assert type(MODELS.build(probe).backbone) is mmpretrain.models.ResNet


@needs_mmdet
@pytest.mark.parametrize("scope", SCOPES)
def test_a_detector_has_the_parts_of_its_own_library(scope):
    import mmdet.models

    cfg = ConfigDict(detector())
    cfg.pop("_scope_")  # which mmengine adds to a base of another library
    with default_scope(scope):
        model = MODELS.build(cfg)
    assert type(model) is mmdet.models.FasterRCNN
    assert type(model.backbone) is mmdet.models.ResNet
    assert type(model.roi_head.bbox_head.loss_cls) is mmdet.models.CrossEntropyLoss


@pytest.mark.parametrize("build", [MODELS.build, ROOT_MODELS.build])
def test_a_distillation_in_code_needs_no_scope_and_no_runner(build):
    cfg = method("pckd")
    cfg["distiller"]["distill_losses"]["loss_more"] = dict(type="KLDivergence")
    cfg["distiller"]["loss_forward_mappings"]["loss_more"] = {
        name: dict(recorder="logits", from_student=name == "preds_S")
        for name in ("preds_S", "preds_T")
    }
    student, teacher = plain_classifier(), plain_classifier(depth=34)
    with default_scope(None):
        model = build(dict(cfg, architecture=student, teacher=teacher))
    assert type(model.student.backbone) is mmpretrain.models.ResNet
    assert type(model.distiller.distill_losses.loss_more) is (
        mmrazor.models.KLDivergence
    )
    model.load_teacher()
    model.progress = 0.5
    losses = model.train().loss(*batch(images=4, size=32))
    assert losses["distill.loss_more"] > 0


def test_order_of_the_registries():
    with default_scope(None):
        assert MODELS.scope_of("PCKDDistiller") == "pckd_mm"
        assert MODELS.scope_of("ImgDataPreprocessor") == "mmengine"
        assert MODELS.get("ImgDataPreprocessor") is ImgDataPreprocessor
        assert MODELS.scope_of("ResNet") == "mmpretrain"
        assert MODELS.scope_of("KLDivergence") == "mmrazor"
        assert MODELS.scope_of("NoSuchNetwork") is None
        assert DATASETS.scope_of("CIFAR100") == "mmpretrain"
        assert TASK_UTILS.scope_of("ModuleOutputsRecorder") == "mmrazor"
        assert MODELS.get("MultiViewDistill") is models.MultiViewDistill
        assert "ImageClassifier" in MODELS


@needs_mmdet
def test_the_default_scope_comes_before_the_neighbours():
    with default_scope("mmdet"):
        assert MODELS.scope_of("ResNet") == "mmdet"
        assert MODELS.scope_of("PCKDDistiller") == "pckd_mm"
        # In a distiller MMRazor comes before both.
        assert MODELS.scope_of("L1Loss") == "mmdet"
        assert in_scope(dict(type="L1Loss"), MODELS)["type"] == "mmrazor.L1Loss"
    with default_scope(None):
        assert MODELS.scope_of("FasterRCNN") == "mmdet"


def test_without_mmdet_the_others_are_searched(monkeypatch):
    monkeypatch.setattr(registry, "has_detection", lambda: False)
    with default_scope(None):
        assert MODELS.scope_of("KLDivergence") == "mmrazor"
        assert MODELS.scope_of("FasterRCNN") is None


@pytest.mark.parametrize("name", ["MyBackbone", "ResNet"])
def test_a_default_scope_of_ones_own_keeps_the_parts_there(name):
    """As MMEngine has it: a project's names are found, inside of a classifier too."""
    own = registry.Registry("model", parent=ROOT_MODELS, scope="my_project")

    @own.register_module(name)
    class MyBackbone(mmpretrain.models.ResNet):
        pass

    cfg = plain_classifier(type=name)
    for part in (cfg["neck"], cfg["head"], cfg["head"]["loss"]):
        part["type"] = f"mmpretrain.{part['type']}"
    cfg["data_preprocessor"] = dict(type="mmpretrain.ClsDataPreprocessor")
    try:
        with default_scope("my_project"):
            assert type(MODELS.build(cfg).backbone) is MyBackbone
            assert MODELS.get(name) is MyBackbone
    finally:
        del ROOT_MODELS.children["my_project"]


def test_names_that_nobody_knows_are_mmengines_error():
    for name in ("NoSuchNetwork", "pckd_mm.NoSuchNetwork"):
        with default_scope(None), pytest.raises(KeyError, match=name):
            MODELS.build(dict(type=name))
    with pytest.raises(KeyError, match="must contain the key"):
        MODELS.build(dict(depth=20))


def test_what_a_type_stands_for():
    kind = MODELS.get("PCKDDistiller")
    assert kind.__name__ == "PCKDDistiller"
    for given in (kind, "PCKDDistiller", "pckd_mm.PCKDDistiller"):
        assert MODELS.class_of(given) is kind
    assert MODELS.class_of("NoSuchNetwork") is None
    assert MODELS.class_of(None) is None


def test_a_row_of_models():
    names = ("GlobalAveragePooling", "pckd_mm.HintLoss")
    row = MODELS.build([dict(type=name) for name in names])
    assert [type(part) for part in row] == [
        mmpretrain.models.GlobalAveragePooling,
        models.HintLoss,
    ]
