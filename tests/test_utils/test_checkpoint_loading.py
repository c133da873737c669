"""Networks that load what fits, and say what does not."""

import copy
import logging

import pytest
import torch
from mmengine.model import BaseModule
from mmengine.runner import load_checkpoint
from torch import nn

from pckd_mm.utils.checkpoint import fit_on_load, naming_source


class Net(BaseModule):
    def __init__(self, classes=2, part="backbone", **kwargs):
        super().__init__(**kwargs)
        self.add_module(part, nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)))
        self.head = nn.Linear(4, classes)


def net(*args, fits=True, exact=False, **kwargs) -> Net:
    torch.manual_seed(len(args))
    network = Net(*args, **kwargs)
    if fits:
        fit_on_load(network, exact=exact)
    return network


def saved(tmp_path, state, prefix=""):
    path = tmp_path / "net.pth"
    torch.save({prefix + name: value for name, value in state.items()}, path)
    return str(path)


@pytest.fixture
def said(monkeypatch):
    """What the log has, with its levels."""
    found = []

    def keep(text, logger, level=logging.INFO):
        assert logger == "current"
        found.append((logging.getLevelName(level), text))

    monkeypatch.setattr("pckd_mm.utils.checkpoint.loading.print_log", keep)
    return found


# The two that load: MMEngine's, and torch's own.
def by_mmengine(network, path):
    load_checkpoint(network, path, map_location="cpu")


def by_torch(network, path):
    network.load_state_dict(torch.load(path, weights_only=True), strict=False)


@pytest.mark.parametrize("load", [by_mmengine, by_torch])
class TestLoading:
    def test_the_same_network_without_a_word(self, tmp_path, said, load):
        other, network = net(2), net()
        load(network, saved(tmp_path, other.state_dict()))
        for name, value in network.state_dict().items():
            assert torch.equal(value, other.state_dict()[name])
        assert not said

    @pytest.mark.parametrize("prefix", ["student.", "architecture.", "_orig_mod."])
    def test_a_prefix_is_taken_away_and_told(self, tmp_path, said, load, prefix):
        other, network = net(2), net()
        load(network, saved(tmp_path, other.state_dict(), prefix))
        for name, value in network.state_dict().items():
            assert torch.equal(value, other.state_dict()[name])
        ((level, text),) = said
        assert level == "INFO"
        assert text.startswith("The checkpoint is loaded into the Net: names without")
        assert prefix.rstrip(".") in text

    def test_another_head_is_named_in_a_warning(self, tmp_path, said, load):
        other, network = net(5), net()
        before = copy.deepcopy(network.state_dict())
        state = {**other.state_dict(), "extra.weight": torch.zeros(1)}
        path = saved(tmp_path, state)
        naming_source(network, "load_from=x.pth")
        if load is by_torch:  # which raises for shapes, after it loaded the others
            with pytest.raises(RuntimeError, match="size mismatch for head.weight"):
                load(network, path)
        else:
            load(network, path)
        (warning,) = [text for level, text in said if level == "WARNING"][:1]
        assert warning == (
            "load_from=x.pth does not wholly fit the Net: 2 tensors stay as they were: "
            "head.bias is (5,) instead of (2,); head.weight is (5, 4) instead of "
            "(2, 4); 1 are not used: extra.weight is unknown."
        )
        for name, value in network.state_dict().items():
            kept = before if name.startswith("head") else other.state_dict()
            assert torch.equal(value, kept[name]), name
        if load is by_mmengine:  # the name was for one checkpoint
            load(network, path)
            assert said[-1][1].startswith("The checkpoint does not wholly")

    def test_what_fits_nothing_is_refused(self, tmp_path, load):
        path = saved(tmp_path, {"a.weight": torch.zeros(2), "head.bias": torch.ones(2)})
        with pytest.raises(
            ValueError,
            match="The checkpoint does not fit the Net: of the 4 weights of its "
            "backbone 4 are not in it, backbone.0.bias is missing; .*; expected a "
            "checkpoint of this network",
        ):
            load(net(), path)

    def test_part_of_a_backbone_is_refused(self, tmp_path, load):
        state = net(2).state_dict()
        del state["backbone.1.bias"]
        with pytest.raises(
            ValueError, match="backbone 1 are not in it, backbone.1.bias"
        ):
            load(net(), saved(tmp_path, state))

    def test_buffers_of_a_backbone_may_lack(self, tmp_path, said, load):
        state = net(2).state_dict()
        del state["backbone.1.running_var"], state["backbone.1.num_batches_tracked"]
        load(net(), saved(tmp_path, state))
        ((level, text),) = [each for each in said if "wholly" in each[1]]
        assert "1 tensors stay as they were: backbone.1.running_var is missing." in text

    def test_without_a_backbone_more_than_half_of_the_weights_must_fit(
        self, tmp_path, said, load
    ):
        state = net(2, part="body").state_dict()
        for name in ("head.weight", "head.bias"):
            del state[name]
        load(net(part="body"), saved(tmp_path, state))
        assert any("2 tensors stay as they were" in text for _, text in said)
        del state["body.0.bias"]
        with pytest.raises(
            ValueError, match="of the 6 weights of its network 3 are not"
        ):
            load(net(part="body"), saved(tmp_path, state))

    def test_what_has_no_weights_lacks_none(self, tmp_path, load):
        network = nn.BatchNorm1d(2, affine=False)
        fit_on_load(network)
        load(network, saved(tmp_path, {"running_mean": torch.ones(2)}))
        assert network.running_mean.tolist() == [1, 1]

    def test_exactly_means_every_tensor(self, tmp_path, load):
        state = dict(net(2).state_dict(), extra=torch.zeros(1))
        with pytest.raises(
            ValueError, match="fit the Net in 1 tensors: extra is unknown; expected"
        ):
            load(net(exact=True), saved(tmp_path, state))

    def test_other_names_of_the_file(self, tmp_path, said, load):
        other, network = net(2), net()
        path = tmp_path / "net.pth"
        torch.save({"model": other.state_dict(), "epoch": 3}, path)
        load(network, str(path))
        assert torch.equal(network.head.weight, other.head.weight)
        assert "taken from model in the file" in said[0][1]

    def test_part_of_a_larger_network_is_that_ones_affair(self, tmp_path, said, load):
        class Outer(nn.Module):
            def __init__(self):
                super().__init__()
                self.inner = net()

        other, network = Outer(), Outer()
        nn.init.ones_(other.inner.head.weight)
        load(network, saved(tmp_path, other.state_dict()))
        assert torch.equal(network.inner.head.weight, other.inner.head.weight)
        assert not said


def test_without_it_nothing_of_all_that():
    """The tests above can fail."""
    network = net(fits=False)
    before = network.head.weight.clone()
    state = {
        f"student.{name}": value + 1 for name, value in network.state_dict().items()
    }
    network.load_state_dict(state, strict=False)
    assert torch.equal(network.head.weight, before)


def test_copies_fit_too():
    network = copy.deepcopy(net())
    other = net(2)
    state = {f"student.{name}": value for name, value in other.state_dict().items()}
    network.load_state_dict(state)
    assert torch.equal(network.head.weight, other.head.weight)


def test_twice_is_once(said):
    network = net()
    fit_on_load(network)
    state = {f"student.{name}": value for name, value in network.state_dict().items()}
    network.load_state_dict(state)
    assert len(said) == 1


@pytest.mark.parametrize("inner", [False, True])
def test_an_init_cfg_is_named(tmp_path, said, inner):
    other = net(2)
    path = saved(tmp_path, other.state_dict(), "architecture.")
    init_cfg = dict(type="Pretrained", checkpoint=path)
    if inner:  # a module of a larger network
        outer = BaseModule()
        outer.network = network = net(fits=False, init_cfg=init_cfg)
        fit_on_load(outer)
        outer.init_weights()
    else:
        network = net(init_cfg=[dict(type="Normal", layer="Linear"), init_cfg])
        network.init_weights()
    assert torch.equal(network.head.weight, other.head.weight)
    assert f"init_cfg.checkpoint={path} is loaded into the Net: names" in str(said)


def test_optional_parts_may_lack_all_together(tmp_path, said):
    network = Net()
    fit_on_load(network, optional=("head.",))
    state = {k: v for k, v in Net().state_dict().items() if k.startswith("backbone")}
    network.load_state_dict(state, strict=True)
    load_checkpoint(network, saved(tmp_path, state), strict=True)
    assert said == 2 * [
        (
            "INFO",
            "The checkpoint is loaded into the Net: without head.*, which stays as it "
            "was.",
        )
    ]
    with pytest.raises(RuntimeError, match="Missing key.*head.bias"):
        network.load_state_dict({**state, "head.weight": network.head.weight})
