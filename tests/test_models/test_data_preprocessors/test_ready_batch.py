"""Batches that another process has prepared."""

import pickle
from multiprocessing.reduction import ForkingPickler

import pytest
import torch
from mmpretrain.structures import DataSample, MultiTaskDataSample

from pckd_mm.models.data_preprocessors import ReadyBatch, RotatedViewsDataPreprocessor
from pckd_mm.models.data_preprocessors.ready_batch import first_views


@pytest.mark.parametrize(
    "taken, expected",
    [(1, [0, 4]), (2, [0, 1, 4, 5]), (4, [0, 1, 2, 3, 4, 5, 6, 7])],
)
def test_the_first_views_of_each_image(taken, expected):
    rows = torch.arange(8.0)[:, None].expand(8, 3)
    assert first_views(rows, 4, taken)[:, 0].tolist() == expected


def test_it_is_the_same_in_other_processes():
    sample = DataSample(metainfo=dict(sample_idx=torch.tensor([4, 2])))
    sample.set_gt_label(torch.tensor([1, 0]))
    of_tasks = MultiTaskDataSample()
    of_tasks.set_field(DataSample().set_gt_label(3), "colour")
    batch = ReadyBatch(torch.ones(2, 1), [sample, of_tasks], {"logits": [sample]})
    batch.records = {"logits": [torch.zeros(2)]}
    for _ in range(2):  # each of the students gets it
        sent = pickle.loads(ForkingPickler.dumps(batch))
        assert torch.equal(sent["inputs"], torch.ones(2, 1))
        assert torch.equal(sent.records["logits"][0], torch.zeros(2))
        one, other = sent["data_samples"]
        assert one.gt_label.tolist() == [1, 0] and one.sample_idx.tolist() == [4, 2]
        assert other.colour.gt_label.tolist() == [3]
    assert isinstance(sample.gt_label, torch.Tensor)


def test_it_is_not_prepared_again():
    batch = ReadyBatch(torch.rand(4, 3, 5, 5), [])
    preprocessor = RotatedViewsDataPreprocessor(mean=[1, 2, 3], std=[4, 5, 6])
    assert preprocessor(batch, True) is batch
