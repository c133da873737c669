"""COCO's metric of detectors that find something, and of those that do not."""

import pytest
import torch

pytest.importorskip("mmdet.evaluation", exc_type=ImportError)

from mmdet.evaluation import CocoMetric

from pckd_mm.evaluation import WholeCocoMetric
from pckd_mm.registry import METRICS

CLASSES = ("blue whale", "straße")
BOX = [5.0, 5.0, 30.0, 25.0]


def values(metric, found=0):
    """Of one image with a box of the second class."""
    metric.dataset_meta = dict(classes=CLASSES)
    instances = dict(
        bboxes=torch.tensor([BOX] * found).reshape(-1, 4),
        scores=torch.full((found,), 0.9),
        labels=torch.ones(found, dtype=torch.long),
    )
    there = [dict(bbox=BOX, bbox_label=1, ignore_flag=0)]
    sample = dict(img_id="a", ori_shape=(40, 50), instances=there)
    metric.process({}, [dict(sample, pred_instances=instances)])
    return metric.evaluate(1)


def test_nothing_found_is_zero():
    assert values(CocoMetric()) == {}  # why this class is there
    metric = METRICS.build(dict(type="pckd_mm.WholeCocoMetric", classwise=True))
    found = values(metric)
    names = ["coco/blue whale_precision", "coco/straße_precision"]
    assert set(found.values()) == {0.0} and list(found)[:2] == names
    assert found.keys() == values(WholeCocoMetric(classwise=True), found=1).keys()


def test_the_rest_is_mmdets():
    one, other = (values(kind(), found=1) for kind in (WholeCocoMetric, CocoMetric))
    assert one == other and one["coco/bbox_mAP"] == 1.0
    items = dict(metric_items=["mAP_50"])
    assert values(WholeCocoMetric(**items)) == {"coco/bbox_mAP_50": 0.0}
