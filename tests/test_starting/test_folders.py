"""What is in a folder of photos."""

import cv2
import numpy as np
import pytest

from pckd_mm.datasets import CheckedCustomDataset
from pckd_mm.registry import DATASETS
from pckd_mm.starting.found import UnknownLayoutError, classes_with_few
from pckd_mm.starting.looking import look_at
from tests.test_datasets.test_checked_folders import DAMAGED


def photos(folder, count, size=(40, 30), begin=0):
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.RandomState(begin)
    for index in range(begin, begin + count):
        image = rng.randint(0, 256, (*size, 3)).astype(np.uint8)
        (folder / f"{index}.png").write_bytes(cv2.imencode(".png", image)[1].tobytes())
    return folder


def test_a_folder_for_each_class(tmp_path):
    for index, name in enumerate(["cat", "dog", "blue whale", "straße"]):
        photos(tmp_path / name, 3 + index, size=(50 + index, 70))
    found = look_at(tmp_path)
    assert found.classes == ["blue whale", "cat", "dog", "straße"]
    assert found.splits == {"train": ""} and found.images == 18
    assert found.counts["train"] == {"cat": 3, "dog": 4, "blue whale": 5, "straße": 6}
    assert found.smallest == 50 and not found.broken
    assert found.in_words() == "4 classes; .: 18 images, 3 to 6 of a class"
    assert classes_with_few(found, 5) == ["cat", "dog"]


def test_folders_in_folders_are_of_the_class(tmp_path):
    photos(tmp_path / "cat" / "2024" / "summer", 2)
    photos(tmp_path / "cat", 1)
    photos(tmp_path / "dog", 2)
    assert look_at(tmp_path).counts["train"] == {"cat": 3, "dog": 2}


def test_images_are_those_that_a_training_reads(tmp_path):
    """It follows links, and leaves out names with a dot, such as those of macOS."""
    photos(tmp_path / "data" / "cat", 2)
    photos(tmp_path / "data" / "dog", 2)
    (tmp_path / "data" / "dog" / "._0.png").write_bytes(b"of macOS")
    photos(tmp_path / "elsewhere", 3)
    (tmp_path / "data" / "cat" / "linked").symlink_to(tmp_path / "elsewhere")
    found = look_at(tmp_path / "data")
    assert found.counts["train"] == {"cat": 5, "dog": 2}
    assert not found.broken and not found.notes
    trained = CheckedCustomDataset(data_root=str(tmp_path / "data"), data_prefix="")
    assert {info["img_path"] for info in trained.load_data_list()} == set(
        found.labels["train"]
    )


def test_images_that_no_class_has_are_told(tmp_path):
    for split in ("train", "val", "2024"):
        for name in ("cat", "dog"):
            photos(tmp_path / split / name, 1)
    photos(tmp_path / "train", 2)
    (tmp_path / "documents").mkdir()
    first, second = look_at(tmp_path).notes
    assert first.startswith(f"{tmp_path / 'train'}: images beside the folders") and (
        "(2)" in first
    )
    assert second.startswith(f"{tmp_path / '2024'}: its images are left out, since it")


def test_folders_that_are_called_like_one_that_is_used(tmp_path):
    for split in ("train", "training"):
        for name in ("cat", "dog"):
            photos(tmp_path / split / name, 2)
    photos(tmp_path / "test", 2)  # as competitions have it
    first, second = look_at(tmp_path).notes
    assert "test: its images are left out, since it has no folders of classes" in first
    assert "training: its images are left out, since another folder is used" in second


def test_how_many_are_held_out_is_what_the_data_set_holds_out(tmp_path):
    for name, count in dict(cat=9, dog=5, cow=2).items():
        photos(tmp_path / name, count, begin=len(name) * count)
    found = look_at(tmp_path)
    settings = dict(type="CheckedCustomDataset", data_root=str(tmp_path))
    part = dict(type="held_out_part", part="val", share=0.3, by="content")
    held = DATASETS.build(dict(part, dataset=dict(settings, data_prefix="")))
    labels = [held.get_data_info(index)["gt_label"] for index in range(len(held))]
    expected = {name: labels.count(place) for place, name in enumerate(found.classes)}
    assert found.held_out(0.3) == (len(held), expected) and len(held) > 0


@pytest.mark.parametrize(
    "names",
    [("train", "val", "test"), ("Training", "valid"), ("train", "validate")],
)
def test_folders_of_splits(tmp_path, names):
    for split, count in zip(names, (4, 2, 1), strict=False):
        for name in ("cat", "dog"):
            photos(tmp_path / split / name, count)
    found = look_at(tmp_path)
    assert list(found.splits.values()) == list(names) and len(found.classes) == 2
    assert sum(found.counts["train"].values()) == 8
    assert f"{names[1]}: 4 images, 2 of a class" in found.in_words()


def test_files_that_cannot_be_read(tmp_path):
    photos(tmp_path / "cat", 2)
    photos(tmp_path / "dog", 2)
    (tmp_path / "cat" / "broken.jpg").write_bytes(b"no image")
    (tmp_path / "cat" / "empty.png").touch()
    (tmp_path / "dog" / "notes.txt").write_text("no image either")
    found = look_at(tmp_path)
    names = ["broken.jpg", "empty.png"]
    assert found.broken == [str(tmp_path / "cat" / name) for name in names]
    assert found.counts["train"]["cat"] == 2


@pytest.mark.parametrize("name", DAMAGED)
def test_what_a_training_refuses_is_not_counted(tmp_path, name):
    photos(tmp_path / "cat", 2)
    photos(tmp_path / "dog", 1)
    path = tmp_path / "dog" / "damaged.jpg"
    path.write_bytes(DAMAGED[name][0])
    found = look_at(tmp_path)
    assert found.broken == [str(path)]
    assert found.counts["train"] == {"cat": 2, "dog": 1}


def other_classes(root):
    photos(root / "train" / "cat", 1)
    photos(root / "train" / "dog", 1)
    photos(root / "val" / "cat", 1)
    photos(root / "val" / "cow", 1)


def an_empty_class(root):
    photos(root / "cat", 1)
    (root / "dog").mkdir()


def a_hidden_folder(root):
    for name in ("cat", "dog", ".ipynb_checkpoints"):
        photos(root / name, 1)


def test_a_class_may_be_called_as_a_split(tmp_path):
    for name in ("train", "bus", "car"):
        photos(tmp_path / name, 1)
    assert look_at(tmp_path).classes == ["bus", "car", "train"]


@pytest.mark.parametrize(
    "make, reason",
    [
        (lambda root: None, "has no images and no folders; expected a folder for"),
        (
            lambda root: photos(root, 3),
            "has 3 images and no folders; expected a folder",
        ),
        (
            lambda root: photos(root / "cat", 1),
            "has 1 folders of classes; expected two",
        ),
        (an_empty_class, "dog has no image that can be read, as 1 of 2 classes"),
        (
            other_classes,
            "val lacks dog and .*train lacks cow; expected the same",
        ),
        (a_hidden_folder, "has a folder .ipynb_checkpoints, which would be a class"),
    ],
)
def test_what_is_no_folder_of_classes(tmp_path, make, reason):
    make(tmp_path)
    with pytest.raises(UnknownLayoutError, match=reason):
        look_at(tmp_path)


def test_no_folder_at_all(tmp_path):
    with pytest.raises(FileNotFoundError, match="no folder .*nowhere; expected that"):
        look_at(tmp_path / "nowhere")
