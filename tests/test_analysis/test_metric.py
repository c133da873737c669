"""Which metric a config's runs are compared by."""

import pytest
from mmengine.config import Config
from mmpretrain.evaluation import Accuracy

from pckd_mm.analysis import AP, MAP50, TOP1, metric_of
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
        ([dict(type="CocoMetric"), dict(type="VOCMetric")], MAP50),
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
        dict(type="CocoMetric"),
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
