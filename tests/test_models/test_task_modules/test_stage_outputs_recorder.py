"""Stage features, from networks that name their stages differently."""

import copy

import pytest
import torch
from torch import nn

from pckd_mm.models.task_modules import StageOutputsRecorder
from pckd_mm.registry import MODELS, TASK_UTILS


class Backbone(nn.Module):
    stages = ("first", "row.1")

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 4, 1)
        self.row = nn.Sequential(nn.BatchNorm2d(4), nn.Conv2d(4, 2, 1))

    def forward(self, x):
        return self.row(self.first(x))


class Network(nn.Module):
    def __init__(self, backbone=None):
        super().__init__()
        self.backbone = backbone or Backbone()

    def forward(self, x):
        return self.backbone(x)


def prepared(network):
    recorder = StageOutputsRecorder()
    recorder.initialize(network)
    return recorder


def test_one_tuple_for_each_pass():
    network = Network()
    recorder = prepared(network)
    inputs = torch.randn(2, 1, 3, 5, 5)
    with recorder:
        outputs = [network(x) for x in inputs]
    assert len(recorder.data_buffer) == 2
    for record, x, output in zip(recorder.data_buffer, inputs, outputs, strict=True):
        assert isinstance(record, tuple) and len(record) == 2
        assert torch.equal(record[0], network.backbone.first(x))
        assert record[1] is output
    assert recorder.get_record_data(1, 0).shape == (1, 4, 5, 5)


def test_nothing_is_recorded_outside():
    network = Network()
    recorder = prepared(network)
    network(torch.randn(1, 3, 5, 5))
    assert recorder.data_buffer == []
    with recorder:
        network.backbone.first(torch.randn(1, 3, 5, 5))  # no whole pass
    network(torch.randn(1, 3, 5, 5))
    assert recorder.data_buffer == []
    with recorder:
        x = torch.randn(1, 3, 5, 5)
        network(x)
    (record,) = recorder.data_buffer
    assert torch.equal(record[0], network.backbone.first(x))


def test_prepared_twice_records_once():
    network = Network()
    recorder = prepared(network)
    network.backbone.first = nn.Conv2d(3, 6, 1)
    network.backbone.row = nn.Conv2d(6, 2, 1)
    network.backbone.stages = ("first", "row")
    recorder.initialize(network)
    with recorder:
        network(torch.randn(1, 3, 5, 5))
    (record,) = recorder.data_buffer
    assert [x.shape[1] for x in record] == [6, 2]


def test_copies_record_for_themselves():
    # EMAHook copies networks.
    network = Network()
    recorder = prepared(network)
    other = copy.deepcopy(network)
    with recorder:
        other(torch.randn(1, 3, 5, 5))
    assert recorder.data_buffer == []


@pytest.mark.parametrize(
    ("backbone", "shapes"),
    [
        (
            dict(type="pckd_mm.CIFARResNet", depth=8),
            [(16, 32, 32), (32, 16, 16), (64, 8, 8)],
        ),
        (
            dict(type="pckd_mm.CIFARWideResNet", depth=16, width=2),
            [(32, 32, 32), (64, 16, 16), (128, 8, 8)],
        ),
        (
            dict(type="mmpretrain.ResNet_CIFAR", depth=18),
            [(64, 32, 32), (128, 16, 16), (256, 8, 8), (512, 4, 4)],
        ),
        (
            dict(type="mmpretrain.ResNet", depth=18),
            [(64, 8, 8), (128, 4, 4), (256, 2, 2), (512, 1, 1)],
        ),
    ],
    ids=lambda value: value["type"] if isinstance(value, dict) else "",
)
def test_shapes_of_networks(backbone, shapes):
    network = Network(MODELS.build(backbone)).eval()
    recorder = prepared(network)
    with recorder, torch.no_grad():
        network(torch.zeros(1, 3, 32, 32))
    (record,) = recorder.data_buffer
    assert [tuple(x.shape[1:]) for x in record] == shapes


def test_stages_that_a_backbone_holds():
    """As MMPretrain's ConvNeXt, which names none of them."""
    backbone = MODELS.build(dict(type="mmpretrain.ConvNeXt", arch="atto"))
    backbone.eval()  # which gives back nothing
    recorder = prepared(Network(backbone))
    with recorder:
        backbone(torch.zeros(1, 3, 32, 32))
    shapes = [tuple(each.shape[1:]) for each in recorder.data_buffer[0]]
    assert shapes == [(40, 8, 8), (80, 4, 4), (160, 2, 2), (320, 1, 1)]


def test_backbone_without_stages_is_an_error():
    with pytest.raises(ValueError, match="found a Linear without stages or res_layers"):
        prepared(Network(nn.Linear(3, 2)))


def test_model_without_a_backbone_is_an_error():
    with pytest.raises(ValueError, match="source 'backbone', which the Linear"):
        prepared(nn.Linear(3, 2))


def test_built_from_registry():
    recorder = TASK_UTILS.build(dict(type="pckd_mm.StageOutputsRecorder"))
    assert isinstance(recorder, StageOutputsRecorder)
    assert recorder.source == "backbone"


@pytest.mark.parametrize(
    "outputs, found",
    [
        ((torch.zeros(1, 4, 2), (2, 2)), "a tuple"),  # as of a Swin Transformer
        (torch.zeros(1, 4, 2), r"a tensor of shape \(1, 4, 2\)"),
    ],
)
def test_stages_without_feature_maps_are_an_error(outputs, found):
    network = Network()
    network.backbone.first.register_forward_hook(lambda *_: outputs)
    recorder = prepared(network)
    match = f"found {found} behind stage 0 of the backbone, a Conv2d; expected"
    with recorder, pytest.raises(TypeError, match=match):
        network(torch.randn(1, 3, 5, 5))
