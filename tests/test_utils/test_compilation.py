"""What torch.compile is given."""

import contextlib
import copy

import pytest
import torch
from mmpretrain.structures import DataSample
from torch import nn

from pckd_mm.registry import MODELS
from pckd_mm.utils.compilation import compile_network
from tests.builders import build_pckd, classifier


@pytest.fixture(autouse=True)
def fresh_compiler():
    torch.compiler.reset()
    yield
    torch.compiler.reset()


def network(depth: int = 8) -> nn.Module:
    return MODELS.build(classifier(depth))


def test_the_backbone_is_compiled_whole():
    model = network()
    before = set(model.state_dict())
    assert compile_network(model, backend="eager") == ["backbone"]
    assert set(model.state_dict()) == before
    assert model.backbone._compiled_call_impl is not None
    assert copy.deepcopy(model).backbone._compiled_call_impl is None


def test_parts_around_a_recorder_are_compiled():
    model = network()
    model.backbone.layer2.register_forward_hook(lambda *parts: None)
    names = compile_network(model, backend="eager")
    assert names == ["backbone.layer1", "backbone.layer2.0", "backbone.layer3"]
    assert model.backbone.layer2._compiled_call_impl is None


def test_recorded_stages_are_those_of_the_plain_network():
    model = network(14)
    recorded = []
    for stage in (model.backbone.layer1, model.backbone.layer2):
        stage.register_forward_hook(lambda *parts: recorded.append(parts[-1]))
    x = torch.randn(2, 3, 8, 8)
    model.eval()
    model(x)
    compile_network(model, backend="eager")
    model(x)
    assert len(recorded) == 4
    torch.testing.assert_close(recorded[:2], recorded[2:])


def never_eager():
    """Beyond its limit of forms torch goes on in eager mode, unless it is told."""
    config = torch._dynamo.config
    if not hasattr(config, "fail_on_recompile_limit_hit"):  # torch < 2.6
        return contextlib.nullcontext()
    return config.patch(fail_on_recompile_limit_hit=True)


def test_every_part_stays_compiled_in_every_shape():
    # As with FitNet's recorders: block by block, in batches of several sizes.
    graphs = []

    def backend(graph, inputs):
        graphs.append(graph)
        return graph.forward

    networks = [network(20), network(14)]
    for model in networks:
        for stage in model.backbone.stages:
            model.backbone.get_submodule(stage).register_forward_hook(
                lambda *parts: None
            )
        compile_network(model, backend=backend)
    for images, training in [(8, True), (4, True), (6, False)]:
        before = len(graphs)
        with never_eager():
            for _ in range(2):
                for model in networks:
                    model.train(training)(torch.randn(images, 3, 8, 8))
        # A block is compiled for its channels and shape: at least one form a stage.
        assert len(graphs) - before >= 5


def test_a_network_of_one_layer_is_left_alone():
    model = nn.Module()
    model.backbone = nn.Conv2d(3, 4, 3)
    assert compile_network(model) == []


def test_a_compiled_step_gives_the_same_losses_and_gradients():
    # With fewer channels it would not be safe on every CPU, see channels_last.py.
    width = (8, 8, 8, 16)
    plain, compiled = (
        build_pckd(*(classifier(8, width=width) for _ in range(2))) for _ in range(2)
    )
    inputs = torch.randn(8, 3, 8, 8)
    found = []
    for network in (compiled.student, compiled.teacher):
        compile_network(network)
    for model in (plain, compiled):
        samples = [DataSample().set_gt_label(label) for label in (1, 2)]
        losses = model(inputs, samples, mode="loss")
        model.parse_losses(losses)[0].backward()
        gradients = {n: p.grad.clone() for n, p in model.named_parameters()}
        found.append({**losses, **gradients})
    for name, value in found[0].items():
        error = (found[1][name] - value).norm()
        # A bias in front of a BatchNorm has gradient zero, but for rounding.
        assert error <= 1e-4 * value.norm() + 1e-5, name
