"""A detector's step on a device that is not there, up to mmcv's operators.

mmdet samples RoIs by numbers, and mmcv's operators pool them: neither can do it without
any. The RoIs are given here, and pooling takes a mean of the features.
"""

import pytest
import torch
from torch import nn

from tests.builders import detector, scenes
from tests.fake_device import KINDS, fake_device
from tests.test_models.test_algorithms.test_roi_distill import BOXES, build

pytestmark = pytest.mark.device
RUNS = {
    "PCKD": dict(method="pckd_roi", with_background=True),
    "KD": dict(method="kd_roi"),
    "with imitation": dict(method="pckd_fpn", with_background=True),
}


class MeanOfFeatures(nn.Module):
    """Pool RoIs without a look at where they are."""

    def __init__(self, extractor: nn.Module) -> None:
        super().__init__()
        self.num_inputs = extractor.num_inputs

    def forward(self, features, rois):
        mean = features[0].mean((0, 2, 3))
        return mean[None, :, None, None].expand(len(rois), len(mean), 7, 7)


def given_rois(student):
    """Losses of a student that samples the same RoIs whatever it finds."""

    def loss(inputs, data_samples):
        features = student.extract_feat(inputs)
        scores, boxes = student.rpn_head(features)
        rois = inputs.new_zeros(8, 5)
        found = student.roi_head._bbox_forward(features, rois)
        labels = torch.zeros(len(rois), dtype=torch.long, device=inputs.device)
        return dict(
            loss_rpn=sum(x.sum() for x in (*scores, *boxes)),
            loss_cls=student.roi_head.bbox_head.loss_cls(found["cls_score"], labels),
            loss_bbox=found["bbox_pred"].sum(),
        )

    return loss


@pytest.mark.parametrize("settings", RUNS.values(), ids=RUNS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_step_mixes_nothing_and_waits_for_nothing(settings, kind, monkeypatch):
    model, batch = build(detector(8), detector(12), **settings), scenes(BOXES)
    for network in (model.student, model.teacher):
        head = network.roi_head
        head.bbox_roi_extractor = MeanOfFeatures(head.bbox_roi_extractor)
    monkeypatch.setattr(model.student, "loss", given_rois(model.student))
    model.distiller.prepare_from_teacher(model.teacher)
    # MMEngine's preprocessor compares sizes by tensors on the host.
    ready = model.data_preprocessor(batch, True)
    with fake_device() as device:
        inputs = ready["inputs"].to(kind)
        samples = [sample.to(kind) for sample in ready["data_samples"]]
        device.put(model, kind)
        total, log = model.parse_losses(model(inputs, samples, mode="loss"))
        assert {value.device.type for value in log.values()} == {kind}
        if kind == "meta":
            total.backward()
            learning = [p for p in model.parameters() if p.requires_grad]
            assert {p.grad.device.type for p in learning} == {kind}
        assert device.waits == []


@pytest.mark.parametrize("method, asks", [("pckd_roi", True), ("kd_roi", False)])
def test_the_foreground_is_looked_for_where_a_loss_takes_it(method, asks):
    model = build(detector(8), detector(8), method=method)
    assert model.distiller.asks_for_foreground is asks
