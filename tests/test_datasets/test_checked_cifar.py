"""No file but the official ones is unpickled."""

import hashlib
import pickle

import numpy as np
import pytest
from mmpretrain.datasets import CIFAR100

from pckd_mm.datasets import CheckedCIFAR100
from pckd_mm.registry import DATASETS
from tests.fuzz import payloads


@pytest.fixture
def small(tmp_path):
    """The class for small files, and its folder."""
    folder = tmp_path / "cifar-100-python"
    folder.mkdir()
    lists = {}
    for split in ("train", "test"):
        content = {"data": np.eye(3, 3072, dtype=np.uint8), "fine_labels": [0, 99, 5]}
        (folder / split).write_bytes(pickle.dumps(content))
        md5 = hashlib.md5((folder / split).read_bytes()).hexdigest()
        lists[f"{split}_list"] = [[split, md5]]
    return type("Small", (CheckedCIFAR100,), lists), tmp_path


def test_official_files_are_those_of_mmpretrain():
    assert CheckedCIFAR100.train_list == CIFAR100.train_list
    assert CheckedCIFAR100.test_list == CIFAR100.test_list
    config = dict(type="pckd_mm.CheckedCIFAR100", data_root="x", lazy_init=True)
    assert isinstance(DATASETS.build(config), CheckedCIFAR100)


def test_official_files_are_read(small):
    kind, root = small
    dataset = kind(data_root=str(root), split="test")
    labels = [dataset.get_data_info(index)["gt_label"] for index in range(3)]
    assert labels == [0, 99, 5]
    assert dataset.get_data_info(1)["img"][0, 1].tolist() == [1, 0, 0]


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize("download", [False, True])
def test_other_files_are_refused_unread(small, split, download):
    kind, root = small
    canary = root / "canary"
    path = root / "cifar-100-python" / split
    path.write_bytes(b"\x80\x02" + payloads(str(canary))[0] + b".")
    message = f"cifar-100-python/{split} is not the official file of CIFAR-100, whose"
    with pytest.raises(ValueError, match=message):
        kind(data_root=str(root), split="train", download=download)
    assert not canary.exists()


@pytest.mark.parametrize("folders", [False, True])
def test_what_cannot_be_fetched_is_named(small, monkeypatch, folders):
    kind, root = small
    (root / "cifar-100-python" / "test").unlink()
    if folders:
        (root / "train").mkdir()
    monkeypatch.setattr(kind, "url", f"file://{root}/gone.tar.gz")
    with pytest.raises(ConnectionError) as error:
        kind(data_root=str(root), split="train")
    message = str(error.value)
    assert message.startswith(f"{root}/cifar-100-python lacks files, and file://{root}")
    assert ("cifar100_folder.py" in message) == folders


def test_missing_files(small):
    kind, root = small
    (root / "cifar-100-python" / "test").unlink()
    with pytest.raises(RuntimeError, match="download"):
        kind(data_root=str(root), split="train", download=False)
