"""The official files as folders: every pixel, channel and label in its place."""

import importlib.util
import pickle

import cv2
import numpy as np
import pytest

from pckd_mm.datasets import CheckedCIFAR100
from tests.builders import ROOT

TOOL = ROOT / "tools" / "dataset_converters" / "cifar100_to_folders.py"
spec = importlib.util.spec_from_file_location("cifar100_to_folders", TOOL)
tool = importlib.util.module_from_spec(spec)
spec.loader.exec_module(tool)


@pytest.fixture
def root(tmp_path, monkeypatch):
    """Three images a split, in the layout of the official files."""
    # Those are known by their md5 sums, which small ones cannot have.
    monkeypatch.setattr(CheckedCIFAR100, "_check_integrity", lambda self: True)
    folder = tmp_path / "cifar-100-python"
    folder.mkdir()
    rng = np.random.RandomState(0)
    for split in ("train", "test"):
        rows = rng.randint(0, 256, (3, 3072)).astype(np.uint8)
        content = {"data": rows, "fine_labels": [99, 0, 99]}
        (folder / split).write_bytes(pickle.dumps(content))
    (folder / "meta").write_bytes(pickle.dumps({"fine_label_names": []}))
    return tmp_path


def test_images_and_labels(root):
    assert tool.convert(root, "train") == tool.convert(root, "test") == 3
    for split in ("train", "test"):
        content = pickle.loads((root / "cifar-100-python" / split).read_bytes())
        # The first and the last class of CIFAR-100 in alphabetical order.
        for index, name in enumerate(("worm", "apple", "worm")):
            found = cv2.imread(str(root / split / name / f"{index:05d}.png"))
            # 1,024 red values, then green, then blue, each row by row.
            red, green, blue = content["data"][index].reshape(3, 32, 32)
            np.testing.assert_array_equal(found, np.stack([blue, green, red], -1))
        assert len(list((root / split).iterdir())) == 100
        assert len(list((root / split).rglob("*.png"))) == 3


def test_whole_or_not_at_all(root, monkeypatch):
    monkeypatch.setattr(tool.cv2, "imwrite", lambda *args: False)
    with pytest.raises(OSError, match="00000.png cannot be written"):
        tool.convert(root, "train")
    assert not (root / "train").exists()
    monkeypatch.undo()
    monkeypatch.setattr(CheckedCIFAR100, "_check_integrity", lambda self: True)
    assert tool.convert(root, "train") == 3
    with pytest.raises(FileExistsError, match="train is there already"):
        tool.convert(root, "train")


def test_goes_on_behind_a_split_that_is_there(root, monkeypatch, capsys):
    """As where it was cut off between the two."""
    monkeypatch.setattr("sys.argv", ["cifar100_to_folders.py", str(root)])
    tool.convert(root, "train")
    tool.main()
    assert capsys.readouterr().out == f"{root / 'test'}: 3 images\n"
    with pytest.raises(SystemExit, match="train is there already"):
        tool.main()
