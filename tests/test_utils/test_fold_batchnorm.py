"""BatchNorms are folded where the data flows, and nothing else changes."""

import copy

import pytest
import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.registry import DefaultScope
from torch import nn

from pckd_mm.registry import MODELS
from pckd_mm.utils.fold_batchnorm import fold_batchnorm
from tests.builders import CONFIGS

NETWORKS = Config.fromfile(CONFIGS / "_base_" / "networks" / "cifar100.py")


def with_statistics(model: nn.Module) -> nn.Module:
    """In evaluation, in float64, with BatchNorms that do something."""
    generator = torch.Generator().manual_seed(0)
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            for name in ("running_mean", "running_var", "weight", "bias"):
                values = getattr(module, name).data
                values.copy_(0.5 + torch.rand(values.shape, generator=generator))
    return model.double().eval().requires_grad_(False)


def fold(model: nn.Module, x: torch.Tensor, **settings) -> tuple:
    """A folded copy, and how many it folded."""
    folded = copy.deepcopy(model)
    with torch.inference_mode():
        number = fold_batchnorm(folded, lambda: folded(x), **settings)
    return folded, number


class Sequence(nn.Sequential):
    """A convolution and a BatchNorm in this order."""

    def __init__(self, conv=None) -> None:
        super().__init__(conv or nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4))
        with_statistics(self)


IMAGES = torch.randn(2, 3, 8, 8, dtype=torch.float64)


# Counted by hand: stem, two of each block, projections; pre-activation has one in each
# block, and the stem's where the first block's shortcut begins behind its BatchNorm.
@pytest.mark.parametrize(
    "name, expected",
    [
        ("resnet20", 1 + 18 + 2),
        ("resnet8x4", 1 + 6 + 3),
        ("wrn_16_1", 6),
        ("wrn_16_2", 6 + 1),
        ("vgg8", 5),
        ("resnet50", 1 + 3 * 16 + 4),
        ("mobilenetv2", None),
        ("shufflev1", None),
        ("shufflev2", None),
    ],
)
def test_networks_give_the_same_logits(name, expected):
    with DefaultScope.overwrite_default_scope("mmpretrain"):
        model = with_statistics(MODELS.build(NETWORKS[name]))
    x = torch.randn(2, 3, 32, 32, dtype=torch.float64)
    folded, number = fold(model, x)
    norms = [isinstance(m, nn.BatchNorm2d) for m in model.modules()]
    left = [isinstance(m, nn.BatchNorm2d) for m in folded.modules()]
    assert sum(norms) - sum(left) == number > 0
    if expected is not None:
        assert number == expected
    plain, found = model(x), folded(x)
    torch.testing.assert_close(found, plain, rtol=1e-10, atol=1e-10 * plain.abs().max())


def test_values_are_those_of_the_formula():
    model = Sequence(nn.Conv2d(3, 4, 1, bias=True))
    conv, norm = model
    scale = norm.weight / (norm.running_var + norm.eps).sqrt()
    weight = conv.weight * scale[:, None, None, None]
    bias = (conv.bias - norm.running_mean) * scale + norm.bias
    folded, number = fold(model, IMAGES)
    assert number == 1
    torch.testing.assert_close(folded[0].weight.data, weight)
    torch.testing.assert_close(folded[0].bias.data, bias)
    assert isinstance(folded[1], nn.Identity)
    assert not folded[0].weight.requires_grad
    assert isinstance(model[1], nn.BatchNorm2d)


class TakenTwice(Sequence):
    def forward(self, x):
        x = self[0](x)
        return self[1](x) + x


class ChangedBefore(Sequence):
    def forward(self, x):
        return self[1](F.relu_(self[0](x)))


class RunTwice(Sequence):
    def forward(self, x):
        return self[1](self[0](x)) + self[0](x)


class NormRunTwice(Sequence):
    def forward(self, x):
        return self[1](self[1](self[0](x)))


class Standardised(nn.Conv2d):
    def forward(self, x):
        weight = self.weight / self.weight.norm()
        return F.conv2d(x, weight)


class NormWithReLU(nn.BatchNorm2d):
    def forward(self, x):
        return F.relu(super().forward(x))


class PreActivation(Sequence):
    def forward(self, x):
        return self[0](self[1](torch.cat([x, x[:, :1]], dim=1)))


@pytest.mark.parametrize(
    "model",
    [
        TakenTwice(),
        ChangedBefore(),
        RunTwice(),
        NormRunTwice(),
        Sequence(Standardised(3, 4, 3)),
        PreActivation(nn.Conv2d(4, 4, 3)),
        Sequence(nn.ConvTranspose2d(3, 4, 3)),
        nn.Sequential(nn.Conv2d(3, 4, 3), NormWithReLU(4)),
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, track_running_stats=False)),
    ],
    ids=lambda model: type(model).__name__,
)
def test_what_cannot_be_folded_stays(model):
    model = model.double().eval()
    folded, number = fold(model, IMAGES)
    assert number == 0
    torch.testing.assert_close(folded(IMAGES), model(IMAGES), rtol=0, atol=0)


@pytest.mark.parametrize("place", [0, 1])
def test_what_is_recorded_stays(place):
    model = Sequence()
    recorded = []
    model[place].register_forward_hook(lambda *parts: recorded.append(parts[-1]))
    with torch.no_grad():
        assert fold_batchnorm(model, lambda: model(IMAGES)) == 0
    assert len(recorded) == 1


@pytest.mark.parametrize("name", ["0.weight", "1.weight", "1.bias"])
def test_parameters_that_are_asked_for_stay(name):
    model = Sequence()
    folded, number = fold(model, IMAGES, keep=[name])
    assert number == 0
    torch.testing.assert_close(folded.get_parameter(name), model.get_parameter(name))


def test_a_norm_of_two_names_is_replaced_under_both():
    class Named(Sequence):
        def forward(self, x):
            return self.again(self[0](x))

    model = Named()
    model.again = model[1]
    folded, number = fold(model, IMAGES)
    assert number == 1
    assert isinstance(folded.again, nn.Identity) and isinstance(folded[1], nn.Identity)
    torch.testing.assert_close(folded(IMAGES), model(IMAGES))


def test_hooks_of_the_search_go():
    folded, _ = fold(TakenTwice(), IMAGES)
    for module in folded.modules():
        assert not module._forward_hooks and not module._forward_pre_hooks


def test_a_network_in_training_is_refused():
    model = Sequence().train()
    with pytest.raises(ValueError, match="found 1 of the Sequence in training"):
        fold_batchnorm(model, lambda: model(IMAGES))
