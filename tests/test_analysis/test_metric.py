"""Which metric a config's runs are compared by."""

import pytest
import torch
from mmengine.config import Config
from mmpretrain.evaluation import Accuracy

from pckd_mm.analysis import AP, COCO_AP, MAP50, TOP1, metric_of
from tests.builders import CONFIGS

AP_BESIDE = CONFIGS / "_base_" / "evaluators" / "iou_50_95.py"


@pytest.mark.parametrize(
    "evaluator, metric",
    [
        (dict(type="Accuracy"), TOP1),
        (dict(type="Accuracy", topk=(1, 5)), TOP1),
        (dict(type="Accuracy", topk=1, thrs=None), TOP1),
        (dict(type="mmpretrain.Accuracy", topk=[5, 1], thrs=(0.1,)), TOP1),
        (dict(type=Accuracy), TOP1),
        (dict(type="VOCMetric", metric="mAP", eval_mode="11points"), MAP50),
        (dict(type="mmdet.VOCMetric", metric=["mAP"], iou_thrs=[0.5]), MAP50),
        (dict(type="CocoMetric", classwise=True), COCO_AP),
        (dict(type="mmdet.CocoMetric", metric=["segm", "bbox"]), COCO_AP),
        ([dict(type="CocoMetric"), dict(type="VOCMetric")], COCO_AP),
        ([dict(type="CocoMetric", metric="segm"), dict(type="VOCMetric")], MAP50),
        ([dict(type="VOCMetric", prefix="other"), dict(type="VOCMetric")], MAP50),
        ([dict(type="Accuracy", topk=5), dict(type="Accuracy")], TOP1),
    ],
)
def test_metric_of_an_evaluator(evaluator, metric):
    assert metric_of(dict(val_evaluator=evaluator)) is metric
    cfg = Config(dict(val_evaluator=dict(type="Other"), test_evaluator=evaluator))
    assert metric_of(cfg, "test") is metric


@pytest.mark.parametrize(
    "evaluator",
    [
        None,
        dict(type="CocoMetric", metric="proposal"),
        dict(type="CocoMetric", iou_thrs=[0.5]),
        dict(type="CocoMetric", metric_items=["mAP_50"]),
        dict(type="CocoMetric", format_only=True),
        dict(type="CocoMetric", prefix="mine"),
        dict(type="Accuracy", topk=5),
        dict(type="Accuracy", thrs=(0.1, 0.2)),
        dict(type="Accuracy", prefix="mine"),
        dict(type="VOCMetric", iou_thrs=0.75),
        dict(type="VOCMetric", iou_thrs=[0.5, 0.75]),
        dict(type="VOCMetric", **Config.fromfile(AP_BESIDE).iou_50_95),
        dict(type="VOCMetric", metric="recall"),
        dict(type="VOCMetric", prefix="mine"),
    ],
)
def test_what_gives_neither_is_refused(evaluator):
    with pytest.raises(ValueError, match="^val_evaluator is .*; expected mmpretrain"):
        metric_of(dict(val_evaluator=evaluator))


def test_configs_of_the_repository():
    cfg = Config.fromfile(CONFIGS / "vanilla" / "digits_resnet20.py")
    assert metric_of(cfg) is metric_of(cfg, "test") is TOP1


def test_keys_are_those_of_the_libraries():
    metric = Accuracy()
    assert TOP1.key == f"{metric.default_prefix}/top1" and TOP1.factor == 1
    VOCMetric = pytest.importorskip("mmdet.evaluation").VOCMetric
    voc = VOCMetric()
    beside = VOCMetric(**Config.fromfile(AP_BESIDE).iou_50_95)
    assert AP.key == f"{beside.prefix}/{beside.metric}" and MAP50.beside == (AP,)
    assert MAP50.key == f"{voc.default_prefix}/{voc.metric}" and voc.iou_thrs == [0.5]


def test_keys_of_coco_are_those_that_mmdet_writes(tmp_path):
    CocoMetric = pytest.importorskip("mmdet.evaluation").CocoMetric
    metric = CocoMetric(classwise=True)
    metric.dataset_meta = dict(classes=("straße", "blue whale"))
    box = [5.0, 5.0, 30.0, 25.0]
    found = dict(
        bboxes=torch.tensor([box]), scores=torch.tensor([0.9]), labels=torch.tensor([1])
    )
    there = [dict(bbox=box, bbox_label=1, ignore_flag=0)]
    sample = dict(pred_instances=found, img_id="a", ori_shape=(40, 50), instances=there)
    metric.process({}, [sample])
    values = metric.evaluate(1)
    assert values[COCO_AP.key] * COCO_AP.factor == 100
    assert [values[beside.key] for beside in COCO_AP.beside] == [1.0]
    assert values["coco/blue whale_precision"] == 1.0 and COCO_AP.slug
