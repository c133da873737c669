"""Connectors that take their shapes from records."""

import copy

import pytest
import torch

from pckd_mm.models.distillers.record_shapes import resolve_shapes
from pckd_mm.registry import MODELS
from tests.builders import classifier

RECORDERS = dict(
    stages=dict(type="StageOutputs"),
    logits=dict(type="ModuleOutputs", source="head.fc"),
)
DISTILLER = dict(student_recorders=RECORDERS, teacher_recorders=RECORDERS)


@pytest.fixture
def networks():
    teacher = classifier(14, width=(4, 6, 10, 12))
    return [MODELS.build(cfg).train() for cfg in (classifier(8), teacher)]


def resolve(networks, input_shape=(3, 8, 8), **shapes):
    connectors = dict(hint=dict(type="A", **shapes), other=dict(type="student.x"))
    return resolve_shapes(connectors, *networks, DISTILLER, input_shape)


def test_shapes(networks):
    found = resolve(
        networks,
        in_shape="student.stages.1",
        out_shape="teacher.stages.2",
        flat_shape="teacher.logits",
        own_shape=(1, 2),
    )
    assert found["hint"] == dict(
        type="A",
        in_shape=(8, 4, 4),
        out_shape=(12, 2, 2),
        flat_shape=(10,),
        own_shape=(1, 2),
    )
    assert found["other"] == dict(type="student.x")


def test_connectors_in_a_row(networks):
    connectors = dict(hint=[dict(type="A"), dict(in_shape="student.stages.0")])
    found = resolve_shapes(connectors, *networks, DISTILLER, (3, 16, 16))
    assert found == dict(hint=[dict(type="A"), dict(in_shape=(4, 16, 16))])


def test_networks_and_random_numbers_stay_as_they_are(networks):
    states = [copy.deepcopy(network.state_dict()) for network in networks]
    torch.manual_seed(0)
    random_state = torch.get_rng_state()
    resolve(networks, in_shape="student.stages.1")
    assert torch.equal(torch.get_rng_state(), random_state)
    for network, state in zip(networks, states, strict=True):
        assert all(module.training for module in network.modules())
        assert not any(module._forward_hooks for module in network.modules())
        for name, value in network.state_dict().items():
            assert torch.equal(value, state[name]), name


def test_networks_run_only_where_a_shape_is_asked_for():
    networks = [object(), object()]
    assert resolve(networks, None, own_shape=(1,))["hint"]["own_shape"] == (1,)


def test_missing_input_shape(networks):
    with pytest.raises(
        ValueError, match="hint asks .* 'student.stages.1'.*input_shape"
    ):
        resolve(networks, None, in_shape="student.stages.1")


@pytest.mark.parametrize(
    "name",
    [
        "student",
        "pupil.stages.1",
        "student.stage.1",
        "student.stages",
        "student.stages.3",
        "student.stages.x",
    ],
)
def test_no_such_record(networks, name):
    with pytest.raises(ValueError, match=f"hint has in_shape='{name}', which is no"):
        resolve(networks, in_shape=name)
