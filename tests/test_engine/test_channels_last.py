"""Who gets channels last, and who does not."""

import contextlib

import pytest
import torch
from torch import nn

from pckd_mm.engine.channels_last import (
    Candidate,
    unsafe_convolution,
    use_channels_last,
)
from pckd_mm.engine.trial import Trial
from pckd_mm.registry import MODELS
from tests.builders import classifier
from tests.test_engine.test_hooks.test_speed_up_hook import WIDE, is_channels_last


@pytest.mark.parametrize(
    "settings, unsafe",
    [
        (dict(in_channels=7, kernel_size=1, stride=2), True),
        (dict(in_channels=3, kernel_size=1, stride=(2, 1)), True),
        (dict(in_channels=3, kernel_size=1, stride=(1, 2)), True),
        (dict(in_channels=4, kernel_size=1, stride=3, groups=4), True),
        (dict(in_channels=8, kernel_size=1, stride=2), False),
        (dict(in_channels=4, kernel_size=1, stride=1), False),
        (dict(in_channels=4, kernel_size=3, stride=2), False),
        (dict(in_channels=4, kernel_size=(1, 3), stride=2), False),
    ],
)
def test_which_convolutions_are_unsafe(settings, unsafe):
    network = nn.Sequential(
        nn.ReLU(), nn.Sequential(nn.Conv2d(out_channels=8, **settings))
    )
    assert (unsafe_convolution(nn.ReLU(), network) is not None) is unsafe


def test_an_unsafe_convolution_is_named():
    network = nn.ModuleDict(dict(down=nn.Conv2d(4, 8, 1, 2)))
    assert unsafe_convolution(network) == (
        "down, a convolution of kernel 1, stride 2 and 4 input channels"
    )


class Viewing(nn.Module):
    """Bears no channels last, in its forward or its backward pass."""

    def __init__(self, where: str) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3)
        self.where = where

    def forward(self, inputs: torch.Tensor, mode: str = "tensor") -> torch.Tensor:
        outputs = self.conv(inputs)
        if self.where == "forward":
            return outputs.view(len(outputs), -1)
        kept = outputs.detach()
        outputs.register_hook(
            lambda gradient: gradient * kept.view(-1).view(kept.shape)
        )
        return outputs


def candidate(network, **more) -> Candidate:
    trial = Trial(network, True, contextlib.nullcontext)
    return Candidate(trial, **{"inputs": torch.randn(2, 3, 8, 8), **more})


def network() -> nn.Module:
    return MODELS.build(classifier(8, width=WIDE))


def inputs_of(model) -> torch.Tensor:
    data = dict(inputs=list(torch.zeros(2, 3, 8, 8)))
    return model.data_preprocessor(data)["inputs"]


def nothing() -> None:
    pass


@pytest.mark.parametrize("where", ["forward", "backward"])
def test_a_network_that_fails_in_the_layout_keeps_its_own(where):
    viewing = Viewing(where)
    weight = viewing.conv.weight
    data, values = weight.data_ptr(), weight.detach().clone()
    chosen, words = use_channels_last(
        network(), {"it": candidate(viewing)}, True, nothing, on_cpu=False
    )
    assert chosen == {"it": False}
    assert words.startswith("off in it (its passes fail in that layout (RuntimeError: ")
    assert weight.data_ptr() == data and torch.equal(weight, values)
    assert weight.is_contiguous()


class Buffered(nn.Module):
    """Has a buffer of four dimensions, which its passes change."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3)
        self.register_buffer("seen", torch.zeros(1, 3, 8, 8))
        self.register_buffer("unused", None)

    def forward(self, inputs: torch.Tensor, mode: str = "tensor") -> torch.Tensor:
        self.seen += inputs.detach().mean(0, keepdim=True)
        return self.conv(inputs + self.seen)


@pytest.mark.parametrize("turned_down", ["by its time", "by a step"])
def test_buffers_are_taken_back_too(turned_down, monkeypatch):
    buffered, model = Buffered(), network()
    buffer, strides = buffered.seen, buffered.seen.stride()
    monkeypatch.setattr("pckd_mm.engine.trial.ROUNDS", 1)
    monkeypatch.setattr("pckd_mm.engine.channels_last.FASTER", 0.0)
    seen = []

    def step():
        seen.append(buffered.seen.is_contiguous(memory_format=torch.channels_last))
        raise RuntimeError("a loss views it")

    wanted = "auto" if turned_down == "by its time" else True
    chosen, _ = use_channels_last(
        model, {"it": candidate(buffered)}, wanted, step, on_cpu=True
    )
    assert chosen == {"it": False}
    assert seen == ([] if wanted == "auto" else [True])
    assert buffered.seen is buffer and buffer.stride() == strides
    assert not buffer.any() and buffered.conv.weight.is_contiguous()
    assert buffered.unused is None


@pytest.mark.parametrize(
    "wanted, on_cpu, earlier, expected",
    [
        (True, True, None, True),
        ("auto", False, None, True),  # a GPU has the layout whatever the time is
        ("auto", True, None, False),
        ("auto", True, True, True),
    ],
)
def test_a_network_that_cannot_be_tried_is_not_blamed_on_the_layout(
    wanted, on_cpu, earlier, expected
):
    student = network()

    def fails(module, inputs):
        raise RuntimeError("alone")

    student.head.register_forward_pre_hook(fails)
    earlier = {"it": earlier} if earlier is not None else None
    chosen, words = use_channels_last(
        student, {"it": candidate(student)}, wanted, nothing, on_cpu, earlier
    )
    assert chosen == {"it": expected} and is_channels_last(student) is expected
    state = "on" if expected else "off"
    assert words == f"{state} in it (its passes cannot be tried (RuntimeError: alone))"


def test_inputs_are_for_all_networks_or_none():
    student, teacher = network(), network()
    candidates = {
        "the student": candidate(student, keeps_weights=True),
        "the teacher": candidate(teacher, inputs=None),
    }
    chosen, words = use_channels_last(student, candidates, True, nothing, True)
    assert chosen == {"the student": False, "the teacher": False}
    assert "off in the student (DDP keeps its weights as they are, and not all" in words
    assert "off in the teacher (it is not run on images" in words
    assert inputs_of(student).is_contiguous()

    candidates["the teacher"] = candidate(teacher)
    chosen, words = use_channels_last(student, candidates, True, nothing, True)
    assert words.startswith("on in the student, by its inputs (")
    assert ", on in the teacher (" in words
    assert inputs_of(student).is_contiguous(memory_format=torch.channels_last)
    assert not is_channels_last(student) and is_channels_last(teacher)


def test_a_step_that_fails_takes_all_back():
    student = network()
    seen = []

    def step():
        seen.append((is_channels_last(student), inputs_of(student).is_contiguous()))
        raise RuntimeError("a loss views it")

    chosen, words = use_channels_last(
        student, {"it": candidate(student)}, True, step, True
    )
    assert seen == [(True, False)] and chosen == {"it": False}
    assert words == (
        "off in it (a step fails in that layout (RuntimeError: a loss views it))"
    )
    assert not is_channels_last(student) and inputs_of(student).is_contiguous()


@pytest.mark.parametrize(
    "plain, channels_last, expected",
    [(0.2, 0.18, True), (0.2, 0.195, False), (0.2, 0.2, False), (0.2, 0.3, False)],
)
def test_auto_takes_what_is_measured_to_be_faster(
    plain, channels_last, expected, monkeypatch
):
    def seconds(self, inputs):
        return plain if inputs.is_contiguous() else channels_last

    monkeypatch.setattr(Trial, "seconds", seconds)
    student = network()
    candidates = {"it": candidate(student)}
    chosen, words = use_channels_last(student, candidates, "auto", nothing, True)
    assert chosen == {"it": expected} and is_channels_last(student) is expected
    state = "on" if expected else "off"
    assert words == (
        f"{state} in it (a pass takes {1000 * channels_last:.0f} ms with it, "
        "200 without)"
    )
    # Where the time does not decide, as on a GPU, it is on.
    student = network()
    candidates = {"it": candidate(student)}
    found, told = use_channels_last(student, candidates, "auto", nothing, on_cpu=False)
    assert found == {"it": True} and is_channels_last(student)
    slower = "though slower: " if channels_last > 1.05 * plain else ""
    assert told == words.replace("off", "on").replace("(", f"({slower}")


def test_unsafe_convolutions_count_beside_the_network_too_but_on_a_cpu_only():
    beside = [nn.ModuleDict(dict(align=nn.Conv2d(4, 8, 1, 2)))]
    for on_cpu in (True, False):
        student = network()
        candidates = {"it": candidate(student, beside=beside)}
        chosen, words = use_channels_last(student, candidates, True, nothing, on_cpu)
        assert chosen == {"it": not on_cpu}
    assert words.startswith("on in it (")
