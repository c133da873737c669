"""The digits: a fixed split, checked against the file's own order."""

import builtins

import numpy as np
import pytest
from mmengine.dataset import default_collate
from sklearn.datasets import load_digits

from pckd_mm.datasets import DigitsDataset
from pckd_mm.registry import DATASETS

PIPELINE = [dict(type="mmpretrain.PackInputs")]


def test_split_takes_the_first_of_each_digit():
    digits = load_digits()
    train, test = DigitsDataset(split="train"), DigitsDataset(split="test")
    seen, expected = {digit: 0 for digit in range(10)}, ([], [])
    for image, label in zip(digits.images, digits.target.tolist(), strict=True):
        if label == 9:
            continue
        expected[seen[label] >= 50].append((image * 255 / 16, label))
        seen[label] += 1
    for dataset, rows in zip((train, test), expected, strict=True):
        assert len(dataset) == len(rows)
        for index, (image, label) in enumerate(rows):
            info = dataset.get_data_info(index)
            assert info["gt_label"] == label
            assert np.abs(info["img"][..., 0] - image).max() <= 0.5
    assert (len(train), len(test)) == (450, 1167)


def test_images_and_categories():
    dataset = DigitsDataset(split="train", train_per_class=3)
    info = dataset.get_data_info(0)
    assert info["img"].dtype == np.uint8 and info["img"].shape == (8, 8, 1)
    assert max(dataset.get_data_info(i)["img"].max() for i in range(27)) == 255
    assert dataset.CLASSES == ("0", "1", "2", "3", "4", "5", "6", "7", "8")
    assert np.bincount(dataset.get_gt_labels()).tolist() == [3] * 9
    assert "train, 3 per digit" in repr(dataset)


def test_loads_by_name_into_batches():
    dataset = DATASETS.build(
        dict(type="pckd_mm.DigitsDataset", split="test", pipeline=PIPELINE)
    )
    batch = default_collate([dataset[0], dataset[1]])
    assert batch["inputs"].shape == (2, 1, 8, 8)
    assert [len(sample.gt_label) for sample in batch["data_samples"]] == [1, 1]
    assert dataset.test_mode


@pytest.mark.parametrize("number", [0, 174])
def test_refuses_a_split_without_images(number):
    with pytest.raises(ValueError, match=f"train_per_class={number}; expected 1 to 17"):
        DigitsDataset(train_per_class=number)


def test_refuses_an_unknown_split():
    message = "^DigitsDataset found split='val'; expected 'train' or 'test'\\.$"
    with pytest.raises(ValueError, match=message):
        DigitsDataset(split="val")


def test_says_how_to_install_scikit_learn(monkeypatch):
    real_import = builtins.__import__

    def without_sklearn(name, *args, **kwargs):
        if name.startswith("sklearn"):
            raise ImportError(name)
        return real_import(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_sklearn)
    with pytest.raises(ImportError, match="pip install scikit-learn"):
        DigitsDataset()
