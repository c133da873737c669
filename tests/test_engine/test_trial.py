"""Passes that are tried before a run leave it as it was."""

import contextlib
import copy
import random

import numpy as np
import pytest
import torch
from mmcv.cnn import build_norm_layer
from torch import nn
from torch.utils.checkpoint import checkpoint
from torch.utils.data import DataLoader

from pckd_mm.engine import trial
from pckd_mm.engine.channels_last import Candidate, use_channels_last
from pckd_mm.engine.dry_run import dry_run
from pckd_mm.engine.trial import (
    Trial,
    is_slower,
    seconds_of_each,
    training_inputs,
    try_out,
)
from pckd_mm.registry import MODELS
from pckd_mm.utils.compilation import compile_network
from tests.builders import build_pckd, classifier, in_processes
from tests.test_engine.test_hooks.test_speed_up_hook import WIDE, loader, pair


def state_of(network: nn.Module) -> tuple:
    return (
        copy.deepcopy(network.state_dict()),
        [module.training for module in network.modules()],
        random.getstate(),
        np.random.get_state()[1].tolist(),
        torch.get_rng_state().tolist(),
    )


def draws(module: nn.Module, inputs: tuple) -> tuple:
    """Forward pre-hook that uses up random numbers."""
    return (inputs[0] + torch.rand(1) + np.random.rand() + random.random(),)


def test_passes_leave_no_trace():
    network = MODELS.build(classifier(8)).eval()
    network.backbone.register_forward_pre_hook(draws)
    network.backbone.bn1.eval()
    tensors = [*network.parameters(), *network.buffers()]
    inputs = torch.randn(4, 3, 8, 8)
    before = state_of(network)
    seen = []
    network.head.register_forward_hook(lambda *args: seen.append(network.training))
    Trial(network, True, contextlib.nullcontext).seconds(inputs)
    after = state_of(network)
    assert seen == [True]  # it ran as in training
    assert before[1:] == after[1:]
    for name, value in before[0].items():
        assert torch.equal(value, after[0][name]), name
    # The very same tensors, of which an optimizer and DDP know.
    same = zip(tensors, [*network.parameters(), *network.buffers()], strict=True)
    assert all(old is new for old, new in same)
    assert all(parameter.grad is None for parameter in network.parameters())


class Checkpointed(nn.Module):
    """Runs a block again in its backward pass, as OpenMMLab's ``with_cp`` does."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.block = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3)

    def forward(self, inputs: torch.Tensor, mode: str = "tensor") -> torch.Tensor:
        return checkpoint(self.block, self.stem(inputs), use_reentrant=True)


def test_checkpointed_networks_are_tried_too():
    network, reached = Checkpointed(), []
    network.block.weight.register_hook(lambda gradient: reached.append(gradient.any()))
    kept = network.stem.weight.grad = torch.ones_like(network.stem.weight)
    Trial(network, True, contextlib.nullcontext).seconds(torch.randn(2, 3, 8, 8))
    assert reached == [True]
    assert network.stem.weight.grad is kept and (kept == 1).all()
    assert network.block.weight.grad is None
    for on_cpu in (True, False):
        it = Candidate(
            Trial(network, True, contextlib.nullcontext), torch.randn(2, 3, 8, 8)
        )
        on, words = it.choose(True, on_cpu, None)
        assert on and "a pass takes" in words
    # DDP would take gradients of a trial for those of a step.
    of_ddp = Trial(network, True, contextlib.nullcontext, of_ddp=True)
    it = Candidate(of_ddp, torch.randn(2, 3, 8, 8), keeps_weights=True)
    for wanted, on_cpu, expected in (("auto", False, True), ("auto", True, False)):
        on, words = it.choose(wanted, on_cpu, None)
        assert on is expected
        assert words.startswith("its passes cannot be tried (RuntimeError: ")


def test_gradients_are_put_back_where_passes_fail():
    network = nn.Linear(2, 2)  # which knows no mode
    kept = network.weight.grad = torch.ones(2, 2)
    with pytest.raises(TypeError):
        Trial(network, True, contextlib.nullcontext).seconds(torch.randn(2, 2))
    assert network.weight.grad is kept


def _fails_in_the_second(rank):
    def passes(kind=RuntimeError):
        if rank == 1:
            raise kind("of the second\nonly")
        return 7

    assert try_out(passes) == (None, "RuntimeError: of the second")
    assert try_out(lambda: 7 + rank) == (7 + rank, "")  # all are at the same place
    if rank == 1:  # which would wait for the other one within the passes
        with pytest.raises(torch.cuda.OutOfMemoryError):
            try_out(lambda: passes(torch.cuda.OutOfMemoryError))
    # Where nothing is exchanged within, none would wait.
    full = try_out(lambda: passes(torch.cuda.OutOfMemoryError), exchanges=False)
    assert full == (None, "OutOfMemoryError: of the second")


@pytest.mark.parametrize("norm, expected", [("BN", False), ("SyncBN", True)])
def test_which_passes_exchange_something(norm, expected):
    layers = nn.Sequential(nn.Conv2d(3, 4, 1), build_norm_layer(dict(type=norm), 4)[1])
    assert Trial(layers, True, contextlib.nullcontext).exchanges is expected


def test_all_processes_hear_of_a_failure(tmp_path):
    in_processes(2, _fails_in_the_second, tmp_path)


def test_a_process_alone_goes_on_without_memory():
    def passes():
        raise torch.cuda.OutOfMemoryError("full\nof it")

    assert try_out(passes) == (None, "OutOfMemoryError: full")


def test_a_dry_run_that_fails_leaves_the_mode():
    model = pair()
    model.register_forward_pre_hook(lambda *args: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        dry_run(model.train(), loader())
    assert model.training


def test_ddp_gets_no_gradients_of_a_trial():
    network, told = MODELS.build(classifier(8)), []
    for parameter in network.parameters():
        parameter.register_post_accumulate_grad_hook(told.append)
    inputs = torch.randn(4, 3, 8, 8)
    trial = Trial(network, True, contextlib.nullcontext, of_ddp=True)
    trial.within(contextlib.nullcontext).seconds(inputs)
    assert not told
    Trial(network, True, contextlib.nullcontext).seconds(inputs)
    assert len(told) == len(list(network.parameters()))


def test_a_gpu_is_waited_for(monkeypatch):
    done = []
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: done.append(device))
    monkeypatch.setattr(trial, "clock", lambda: done.append("clock") or 1.0)
    assert trial._now(torch.device("cuda", 0)) == 1.0
    assert done == [torch.device("cuda", 0), "clock"]
    trial._now(torch.device("cpu"))
    assert done[2:] == ["clock"]


@pytest.mark.parametrize(
    "with_it, without, expected",
    [(1.1, 1.0, True), (1.04, 1.0, False), (0.9, 1.0, False), (2e-4, 1e-4, False)],
)
def test_what_is_slower(with_it, without, expected):
    assert is_slower(with_it, without) is expected


def test_a_frozen_network_runs_without_gradient():
    network = MODELS.build(classifier(8)).eval()
    seen = []
    network.head.register_forward_hook(
        lambda *args: seen.append((torch.is_inference_mode_enabled(), network.training))
    )
    Trial(network, False, contextlib.nullcontext).seconds(torch.randn(4, 3, 8, 8))
    assert seen == [(True, False)]


def test_inputs_are_those_of_a_whole_batch():
    model = build_pckd(classifier(8), classifier(14))
    networks = {"s": model.student, "t": model.teacher}
    # As where the teacher has inputs of its own.
    model.teacher.register_forward_pre_hook(lambda module, args: (args[0][:, :, 2:],))
    found = training_inputs(model, networks, loader(images=5))
    assert {name: tuple(value.shape) for name, value in found.items()} == {
        "s": (5, 3, 8, 8),
        "t": (5, 3, 6, 8),
    }
    batch = loader(images=5).dataset
    expected = [batch[0]["inputs"].float(), batch[4]["inputs"].float()]
    for row in range(5):
        assert torch.equal(found["s"][row], expected[row % 2])
    # No more images than there are.
    few = DataLoader(batch[:3], batch_size=64, collate_fn=loader().collate_fn)
    assert len(training_inputs(model, networks, few)["s"]) == 3


def test_times_are_the_least_of_each_without_the_first_taken_in_turns():
    taken = {"a": [9.0, 2.0, 1.0, 3.0], "b": [0.5, 4.0, 6.0, 5.0]}
    order = []

    def form(name):
        order.append(name)
        return taken[name].pop(0)

    found = seconds_of_each({"a": lambda: form("a"), "b": lambda: form("b")})
    assert found == {"a": 1.0, "b": 4.0}
    assert order == list("abababab")


def test_seconds_are_the_clocks(monkeypatch):
    times = iter([10.0, 10.25])
    monkeypatch.setattr(trial, "clock", lambda: next(times))
    network = MODELS.build(classifier(8))
    taken = Trial(network, True, contextlib.nullcontext).seconds(torch.ones(2, 3, 8, 8))
    assert taken == 0.25


@pytest.mark.parametrize("channels_last", [False, True])
def test_a_step_has_the_form_that_was_compiled_for_its_trial(channels_last):
    graphs = []

    def backend(graph, inputs):
        graphs.append(graph)
        return graph

    model = build_pckd(classifier(8, width=WIDE), classifier(14, width=WIDE))
    trials = {
        "s": Trial(model.student, True, contextlib.nullcontext),
        "t": Trial(model.teacher, False, contextlib.nullcontext),
    }
    networks = {name: trial.network for name, trial in trials.items()}
    if channels_last:
        candidates = {
            name: Candidate(trial, torch.randn(2, 3, 8, 8))
            for name, trial in trials.items()
        }
        use_channels_last(model, candidates, True, lambda: None, False)
    inputs = training_inputs(model, networks, loader())
    for name, network in networks.items():
        compile_network(network, backend=backend)
        trials[name].seconds(inputs[name])
    compiled = len(graphs)
    assert compiled >= 2
    assert all(value.is_contiguous() is not channels_last for value in inputs.values())
    model.train()
    data = model.data_preprocessor(next(iter(loader())), True)
    model.parse_losses(model(**data, mode="loss"))[0].backward()
    assert len(graphs) == compiled
