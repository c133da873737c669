"""COCO's metric of detectors that find something, and of those that do not."""

import json

import pytest
import torch

pytest.importorskip("mmdet.evaluation", exc_type=ImportError)

from mmdet.evaluation import CocoMetric

from pckd_mm.evaluation import WholeCocoMetric
from pckd_mm.registry import METRICS

CLASSES = ("blue whale", "straße")
BOX = [5.0, 5.0, 30.0, 25.0]


def values(metric, found=0, image="a"):
    """Of one image with a box of the second class."""
    metric.dataset_meta = dict(classes=CLASSES)
    instances = dict(
        bboxes=torch.tensor([BOX] * found).reshape(-1, 4),
        scores=torch.full((found,), 0.9),
        labels=torch.ones(found, dtype=torch.long),
    )
    there = [dict(bbox=BOX, bbox_label=1, ignore_flag=0)]
    sample = dict(img_id=image, ori_shape=(40, 50), instances=there)
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


@pytest.mark.parametrize("order, whole", [(CLASSES, True), (CLASSES[::-1], False)])
def test_a_file_of_another_order_is_refused(tmp_path, order, whole):
    """mmdet numbers categories by the file, and labels go by the classes."""
    categories = [dict(id=k, name=name) for k, name in enumerate(order, 1)]
    box = dict(id=1, image_id=1, category_id=1 + order.index(CLASSES[1]))
    box["bbox"] = [5, 5, 25, 20]  # width and height, not the other corner
    box.update(area=500, iscrowd=0)
    image = dict(id=1, file_name="a.jpg", height=40, width=50)
    content = dict(images=[image], categories=categories, annotations=[box])
    (tmp_path / "file.json").write_text(json.dumps(content))
    metric = WholeCocoMetric(ann_file=str(tmp_path / "file.json"))
    if whole:
        assert values(metric, found=1, image=1)["coco/bbox_mAP"] == 1.0
    else:
        with pytest.raises(ValueError, match="expected one order.* leave ann_file out"):
            values(metric, found=1, image=1)
