"""Precision, scale and view count, as every loss needs them."""

import pytest
import torch

from pckd_mm.models.losses.utils import (
    full_precision,
    l2_normalize,
    views_per_image,
    weight_of_rows,
)
from tests.reference import assert_near


class TestFullPrecision:
    @pytest.mark.parametrize("half", [torch.float16, torch.bfloat16])
    def test_half_inputs_become_float32(self, half):
        seen = {}

        @full_precision
        def function(a, b, c=None, d=None):
            seen.update(a=a.dtype, b=b.dtype, c=c.dtype, d=d)
            return a.sum()

        x = torch.ones(2, dtype=half)
        function(x, x.double(), c=x, d="other")
        assert seen == {
            "a": torch.float32,
            "b": torch.float64,
            "c": torch.float32,
            "d": "other",
        }

    def test_integers_stay(self):
        labels = torch.tensor([1, 2])
        assert full_precision(lambda x: x)(labels) is labels

    def test_autocast_is_off_within_and_on_after(self):
        a = torch.tensor([[1.0, 1 / 512]])
        b = torch.tensor([[1.0], [1.0]])
        with torch.autocast("cpu", torch.bfloat16):
            # bfloat16 has 8 bits: the small part would be lost.
            assert float(torch.matmul(a, b)) == 1
            product = full_precision(torch.matmul)(a, b)
            assert float(product) == 1 + 1 / 512
            assert torch.matmul(a, b).dtype == torch.bfloat16

    def test_only_keywords(self):
        assert full_precision(torch.square)(input=torch.tensor([3.0])).item() == 9

    def test_gradient_returns_in_the_type_of_the_input(self):
        x = torch.full((2,), 300.0, dtype=torch.float16, requires_grad=True)
        total = full_precision(lambda x: x.square().sum())(x)
        assert float(total.detach()) == 2 * 90000
        total.backward()
        assert x.grad.dtype == torch.float16
        assert x.grad.tolist() == [600, 600]


class TestL2Normalize:
    def test_by_hand(self):
        rows = torch.tensor([[3.0, 4.0], [-5.0, 12.0]])
        expected = torch.tensor([[0.6, 0.8], [-5 / 13, 12 / 13]])
        assert_near(l2_normalize(rows), expected, 1e-6)

    def test_gradient(self):
        torch.manual_seed(0)
        rows = torch.randn(5, 4, dtype=torch.float64, requires_grad=True)
        assert torch.autograd.gradcheck(l2_normalize, rows)

    @pytest.mark.parametrize("scale", [1e-38, 1e-30, 1e-20, 1e20, 1e30, 1e37])
    def test_tiny_and_huge_rows(self, scale):
        rows = scale * torch.tensor([[3.0, 4.0]])
        rows.requires_grad_()
        unit = l2_normalize(rows)
        assert_near(unit, torch.tensor([[0.6, 0.8]]), 1e-6)
        unit[0, 0].backward()
        # d(x / |x|) / d(x, y) = (y^2, -x y) / |x|^3
        expected = torch.tensor([[16.0, -12.0]], dtype=torch.float64) / 125 / scale
        assert not rows.grad.isnan().any()
        if expected.abs().max() < torch.finfo(torch.float32).max:
            assert torch.allclose(rows.grad.double() * scale, expected * scale)

    def test_row_of_zeros_stays_with_gradient_zero(self):
        rows = torch.tensor([[0.0, 0.0], [3.0, 4.0]], requires_grad=True)
        unit = l2_normalize(rows)
        assert unit[0].tolist() == [0, 0]
        unit.sum().backward()
        assert rows.grad[0].tolist() == [0, 0]
        assert_near(rows.grad[1], torch.tensor([4.0, -3.0]) / 125, 1e-5)


class TestViewsPerImage:
    @pytest.mark.parametrize(("images", "views"), [(3, 4), (5, 1), (1, 4)])
    def test_views(self, images, views):
        rows, labels = torch.ones(images * views, 2), torch.zeros(images)
        assert views_per_image(rows, labels, None, "Loss") == views
        assert views_per_image(rows, labels, torch.ones(images), "Loss") == views

    @pytest.mark.parametrize("rows", [0, 2, 7])
    def test_incomplete_images(self, rows):
        with pytest.raises(ValueError, match=f"^Loss found {rows} rows for 3 labels"):
            views_per_image(torch.ones(rows, 2), torch.zeros(3), None, "Loss")

    def test_weights_of_another_shape(self):
        with pytest.raises(ValueError, match=r"^Loss found .*\(6, 1\).*\(6,\)"):
            views_per_image(torch.ones(6, 2), torch.zeros(6), torch.ones(6, 1), "Loss")


class TestWeightOfRows:
    def test_views_share_the_weight_of_their_image(self):
        weight = torch.tensor([0.5, 2.0], requires_grad=True)
        found = weight_of_rows(weight, torch.ones(6, 3), "Loss")
        assert found.tolist() == [0.5, 0.5, 0.5, 2.0, 2.0, 2.0]
        assert not found.requires_grad
        assert weight_of_rows(weight, torch.ones(2), "Loss").tolist() == [0.5, 2.0]
        assert weight_of_rows(torch.ones(0), torch.ones(0, 3), "Loss").shape == (0,)

    @pytest.mark.parametrize("shape", [(4,), (12,), (0,), (6, 1)])
    def test_weights_that_are_not_one_for_each_image(self, shape):
        with pytest.raises(ValueError, match=r"^Loss found .* for 6 rows; expected"):
            weight_of_rows(torch.ones(shape), torch.ones(6, 3), "Loss")
