"""The perceptron in front of feature alignment and the two embeddings."""

import pytest
import torch
from torch import nn

from pckd_mm.models.connectors import EmbedConnector, HintConnector, MLPConnector
from pckd_mm.registry import MODELS
from tests.reference import assert_near


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())


class TestMLPConnector:
    def test_layers(self):
        layers = list(MLPConnector(3, out_channels=2).mlp)
        assert [type(layer) for layer in layers] == [
            nn.Linear,
            nn.BatchNorm1d,
            nn.ReLU,
            nn.Linear,
        ]
        first, norm, _, last = layers
        assert (first.in_features, first.out_features) == (3, 32)
        assert norm.num_features == 32
        assert (last.in_features, last.out_features) == (32, 2)

    def test_parameters(self):
        # 3 * 32 + 32, 2 * 32, 32 * 2 + 2; that of WRN-40-2 -> WRN-16-2, 128 wide both.
        assert count(MLPConnector(3, out_channels=2)) == 258
        hidden = 16 * 128
        expected = 129 * hidden + 2 * hidden + (hidden + 1) * 128
        assert count(MLPConnector(128, out_channels=128)) == expected
        # 3 * 5 + 5, 2 * 5, 5 * 2 + 2
        assert count(MLPConnector(3, hidden_channels=5, out_channels=2)) == 42

    def test_values_by_hand(self):
        connector = MLPConnector(2, hidden_channels=1, out_channels=1)
        first, norm, _, last = connector.mlp
        with torch.no_grad():
            first.weight.copy_(torch.tensor([[1.0, -1.0]]))
            first.bias.fill_(10.0)
            norm.weight.fill_(2.0)
            norm.bias.fill_(0.5)
            last.weight.fill_(3.0)
            last.bias.fill_(0.25)
        feature = torch.tensor([[200.0, 0.0], [0.0, 200.0]])
        # 210 and -190 normalised are 1 and -1, scaled 2.5 and -1.5, after ReLU 2.5, 0.
        expected = torch.tensor([[3 * 2.5 + 0.25], [0.25]])
        assert_near(connector(feature).detach(), expected, 1e-6)

    def test_single_row_in_training_is_an_error(self):
        connector = MLPConnector(3, out_channels=2)
        with pytest.raises(ValueError, match="found 1 feature in a training batch"):
            connector(torch.ones(1, 3))
        assert connector.eval()(torch.ones(1, 3)).shape == (1, 2)
        assert connector.train()(torch.ones(2, 3)).shape == (2, 2)

    @pytest.mark.parametrize("rows", [0, 1])
    def test_few_rows_by_running_statistics(self, rows):
        connector = MLPConnector(3, out_channels=2, allow_few_rows=True)
        norm = connector.mlp[1]
        norm.running_mean.normal_()
        norm.running_var.uniform_(0.5, 2)
        statistics = norm.running_mean.clone(), norm.running_var.clone()
        feature = torch.randn(rows, 3)
        found = connector(feature)
        found.sum().backward()
        assert all(parameter.grad is not None for parameter in connector.parameters())
        assert torch.equal(norm.running_mean, statistics[0])
        assert torch.equal(norm.running_var, statistics[1])
        # In evaluation a BatchNorm takes the running statistics anyway.
        torch.testing.assert_close(found, connector.eval()(feature))
        # With two rows it takes those of the batch.
        connector.train()(torch.randn(2, 3))
        assert not torch.equal(norm.running_mean, statistics[0])

    def test_rows_of_all_processes_count_for_sync_bn(self, monkeypatch):
        connector = MLPConnector(3, out_channels=2, allow_few_rows=True)
        connector.mlp = nn.SyncBatchNorm.convert_sync_batchnorm(connector.mlp)
        elsewhere = 0

        def all_reduce(number, group=None):
            number += elsewhere

        monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
        monkeypatch.setattr(torch.distributed, "all_reduce", all_reduce)
        assert connector(torch.ones(1, 3)).shape == (1, 2)
        elsewhere = 1  # two rows in all: SyncBatchNorm, which needs a GPU
        with pytest.raises(ValueError, match="SyncBatchNorm expected"):
            connector(torch.ones(1, 3))

    def test_missing_width_is_an_error(self):
        with pytest.raises(ValueError, match="no out_channels"):
            MLPConnector(3)

    def test_built_from_registry(self):
        cfg = dict(type="pckd_mm.MLPConnector", in_channels=4, out_channels=3)
        connector = MODELS.build(cfg)
        assert isinstance(connector, MLPConnector)
        assert connector(torch.randn(5, 4)).shape == (5, 3)


class TestEmbedConnector:
    def test_layer(self):
        connector = EmbedConnector(4, 7)
        assert count(connector) == 4 * 7 + 7
        assert [type(m) for m in connector.children()] == [nn.Linear]

    def test_rows_have_length_one(self):
        torch.manual_seed(0)
        embed = EmbedConnector(4, 7)(10 * torch.randn(6, 4))
        assert embed.shape == (6, 7)
        assert_near(embed.detach().norm(dim=1), torch.ones(6), 1e-6)

    def test_values_by_hand(self):
        connector = EmbedConnector(1, 2)
        with torch.no_grad():
            connector.linear.weight.copy_(torch.tensor([[1.0], [2.0]]))
            connector.linear.bias.copy_(torch.tensor([1.0, 0.0]))
        # 2 * (1, 2) + (1, 0)
        embed = connector(torch.tensor([[2.0]])).detach()
        assert_near(embed, torch.tensor([[0.6, 0.8]]), 1e-6)

    def test_row_of_zeros(self):
        connector = EmbedConnector(3, 4)
        nn.init.zeros_(connector.linear.bias)
        feature = torch.zeros(2, 3, requires_grad=True)
        embed = connector(feature)
        assert not embed.any()
        embed.sum().backward()
        for gradient in (
            feature.grad,
            connector.linear.weight.grad,
            connector.linear.bias.grad,
        ):
            assert torch.equal(gradient, torch.zeros_like(gradient))

    @pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
    def test_autocast_returns_float32(self, dtype):
        torch.manual_seed(0)
        connector = EmbedConnector(4, 7)
        with torch.autocast("cpu", torch.bfloat16):
            embed = connector(torch.randn(6, 4).to(dtype))
        assert embed.dtype == torch.float32
        # bfloat16 would be off by 1e-3.
        assert_near(embed.detach().norm(dim=1), torch.ones(6), 1e-6)

    def test_built_from_registry(self):
        cfg = dict(type="pckd_mm.EmbedConnector", in_channels=4, out_channels=3)
        connector = MODELS.build(cfg)
        assert isinstance(connector, EmbedConnector)
        assert connector(torch.randn(1, 4)).shape == (1, 3)


class TestHintConnector:
    @pytest.mark.parametrize(
        ("in_shape", "out_shape", "kind", "kernel", "stride"),
        [
            ((3, 8, 8), (5, 8, 8), nn.Conv2d, (1, 1), (1, 1)),
            ((3, 8, 8), (5, 4, 4), nn.Conv2d, (3, 3), (2, 2)),
            ((3, 4, 4), (5, 8, 8), nn.ConvTranspose2d, (4, 4), (2, 2)),
            ((3, 8, 8), (5, 6, 6), nn.Conv2d, (3, 3), (1, 1)),
            ((3, 8, 8), (5, 2, 2), nn.Conv2d, (7, 7), (1, 1)),
        ],
        ids=["equal", "twice", "half", "larger", "four times"],
    )
    def test_each_size(self, in_shape, out_shape, kind, kernel, stride):
        connector = HintConnector(in_shape, out_shape)
        conv, norm, relu = connector.regressor
        assert type(conv) is kind
        assert (conv.kernel_size, conv.stride) == (kernel, stride)
        assert isinstance(norm, nn.BatchNorm2d) and isinstance(relu, nn.ReLU)
        mapped = connector(torch.randn(2, *in_shape))
        assert mapped.shape == (2, *out_shape)
        assert (mapped >= 0).all() and mapped.any()
        # The convolution with its bias, and the norm.
        assert count(connector) == 15 * kernel[0] * kernel[1] + 5 + 2 * 5

    def test_map_smaller_than_half_is_an_error(self):
        with pytest.raises(ValueError, match="3 x 3 and a teacher feature of 8 x 8"):
            HintConnector((3, 3, 3), (5, 8, 8))

    def test_vector_is_an_error(self):
        with pytest.raises(ValueError, match=r"in_shape=\(64,\)"):
            HintConnector((64,), (5, 8, 8))

    def test_built_from_registry(self):
        cfg = dict(
            type="pckd_mm.HintConnector", in_shape=(3, 4, 4), out_shape=[5, 4, 4]
        )
        assert isinstance(MODELS.build(cfg), HintConnector)


@pytest.mark.parametrize(
    "cfg, layer",
    [
        (dict(type="HintConnector", in_shape=(3, 4, 4), out_shape=(5, 4, 4)), "Conv2d"),
        (dict(type="MLPConnector", in_channels=4, out_channels=3), "Linear"),
        (dict(type="EmbedConnector", in_channels=4, out_channels=3), "Linear"),
    ],
)
def test_initialisation_that_is_asked_for(cfg, layer):
    init = dict(type="Constant", layer=layer, val=0.5, bias=0.25)
    connector = MODELS.build(dict(cfg, init_cfg=init))
    connector.init_weights()
    layers = [m for m in connector.modules() if isinstance(m, getattr(nn, layer))]
    assert layers
    for each in layers:
        assert (each.weight == 0.5).all() and (each.bias == 0.25).all()
