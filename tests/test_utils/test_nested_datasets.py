"""Data sets within wrappers, built ones and their configs."""

import pytest
from torch.utils.data import ConcatDataset, Subset

from pckd_mm.datasets import held_out_part
from pckd_mm.utils.nested_datasets import (
    inner_datasets,
    is_held_out,
    nested_datasets,
    parts_of,
)


def configs():
    inside = [dict(type="One"), dict(type="Two")]
    both = dict(type="ConcatDataset", datasets=inside)
    return dict(type="RepeatDataset", times=2, dataset=both), both, inside


def built():
    inside = [range(2), range(3)]
    both = ConcatDataset(inside)
    return Subset(both, []), both, inside


@pytest.mark.parametrize("make", [configs, built])
def test_data_sets_inside_of_wrappers(make):
    wrapped, both, inside = make()

    def same(found, expected):
        found = list(found)
        assert len(found) == len(expected)
        assert all(a is b for a, b in zip(found, expected, strict=True))

    same(inner_datasets(wrapped), inside)
    same(inner_datasets(inside[0]), inside[:1])
    same(nested_datasets(wrapped), [wrapped, both, *inside])
    same(parts_of(wrapped), [both])
    same(parts_of(both), inside)
    same(parts_of(inside[0]), [])
    same(inner_datasets(None), [None])


@pytest.mark.parametrize(
    "kind, expected",
    [
        (held_out_part, True),
        ("pckd_mm.held_out_part", True),
        ("held_out_part", True),
        ("RepeatDataset", False),
        (None, False),
    ],
)
def test_a_part_that_is_held_out(kind, expected):
    assert is_held_out(dict(type=kind)) is expected
    assert not is_held_out({})
