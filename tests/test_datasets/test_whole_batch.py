"""Places of images in the training set."""

import torch
from mmpretrain.structures import DataSample

from pckd_mm.datasets.whole_batch import places_of


def sample(**metainfo):
    return DataSample(metainfo=metainfo)


def test_places_of_a_sample_each_or_of_one_for_all():
    each = [sample(sample_idx=4), sample(sample_idx=torch.tensor(2))]
    assert places_of(each).tolist() == [4, 2]
    assert places_of([sample(sample_idx=torch.tensor([4, 2]))]).tolist() == [4, 2]


def test_without_places_there_are_none():
    assert places_of([sample(sample_idx=4), sample()]) is None
    assert places_of([]) is None
