"""STL-10's binary files, written byte by byte."""

import numpy as np
import pytest
from mmengine.dataset import default_collate

from pckd_mm.datasets import STL10
from pckd_mm.registry import DATASETS

NAMES = "airplane bird car cat deer dog horse monkey ship truck".split()


@pytest.fixture
def root(tmp_path):
    """Three images for training, two for testing; every pixel tells its place."""
    folder = tmp_path / "stl10_binary"
    folder.mkdir()
    (folder / "class_names.txt").write_text("\n".join(NAMES) + "\n")
    for split, labels in (("train", (1, 10, 4)), ("test", (2, 2))):
        content = bytearray()
        for index in range(len(labels)):
            for channel in range(3):
                for column in range(96):
                    for row in range(96):
                        content.append(pixel(index, channel, row, column))
        (folder / f"{split}_X.bin").write_bytes(content)
        (folder / f"{split}_y.bin").write_bytes(bytes(labels))
    return tmp_path


def pixel(index, channel, row, column):
    return (100 * index + 70 * channel + 2 * row + column * column) % 256


def test_images_and_labels(root):
    train, test = STL10(root, "train"), STL10(str(root), "test")
    assert (len(train), len(test)) == (3, 2)
    assert train.get_gt_labels().tolist() == [0, 9, 3]
    assert test.get_gt_labels().tolist() == [1, 1]
    image = train.get_data_info(2)["img"]
    assert image.shape == (96, 96, 3) and image.dtype == np.uint8
    for row, column, channel in ((0, 0, 0), (95, 0, 1), (3, 77, 2), (40, 41, 0)):
        assert image[row, column, channel] == pixel(2, channel, row, column)
    assert train.CLASSES == tuple(NAMES)
    assert test.test_mode and not train.test_mode
    assert f"train of {root}" in repr(train)


def test_shrinks_into_batches(root):
    dataset = DATASETS.build(
        dict(
            type="pckd_mm.STL10",
            data_root=str(root),
            pipeline=[
                dict(type="mmpretrain.Resize", scale=32, backend="pillow"),
                dict(type="mmpretrain.PackInputs"),
            ],
        )
    )
    batch = default_collate([dataset[0], dataset[1]])
    assert batch["inputs"].shape == (2, 3, 32, 32)


@pytest.mark.parametrize("name", ["train_X.bin", "train_y.bin", "class_names.txt"])
def test_names_a_missing_file(root, name):
    (root / "stl10_binary" / name).unlink()
    with pytest.raises(FileNotFoundError, match=f"{name}; expected the files of"):
        STL10(root)


@pytest.mark.parametrize("size", [0, 27647, 3 * 27648 - 1])
def test_refuses_truncated_images(root, size):
    path = root / "stl10_binary" / "train_X.bin"
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(ValueError, match=f"train_X.bin has {size} bytes; expected a m"):
        STL10(root)


def test_refuses_images_without_labels(root):
    path = root / "stl10_binary" / "train_X.bin"
    path.write_bytes(path.read_bytes()[: 2 * 27648])
    with pytest.raises(ValueError, match="train_y.bin has 3 labels and train_X.bin 2"):
        STL10(root)


@pytest.mark.parametrize("labels", [(0, 1, 2), (1, 2, 11)])
def test_refuses_wrong_labels(root, labels):
    (root / "stl10_binary" / "train_y.bin").write_bytes(bytes(labels))
    low, high = min(labels), max(labels)
    with pytest.raises(ValueError, match=f"y.bin has labels from {low} to {high}"):
        STL10(root)


def test_refuses_other_classes(root):
    path = root / "stl10_binary" / "class_names.txt"
    path.write_text("\n".join(reversed(NAMES)))
    with pytest.raises(ValueError, match="class_names.txt names the classes truck,"):
        STL10(root)


def test_names_a_file_that_is_no_utf8(root):
    (root / "stl10_binary" / "class_names.txt").write_bytes(b"caf\xe9")
    with pytest.raises(ValueError, match="class_names.txt is no text in UTF-8"):
        STL10(root)


def test_refuses_an_unknown_split(root):
    message = "^STL10 found split='val'; expected 'train' or 'test'\\.$"
    with pytest.raises(ValueError, match=message):
        STL10(root, "val")
