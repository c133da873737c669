"""TinyImageNet's folders and annotation files, in small."""

import cv2
import numpy as np
import pytest
from mmengine.dataset import default_collate

from pckd_mm.datasets import TinyImageNet
from pckd_mm.registry import DATASETS

# Neither in alphabetical order nor in that of words.txt.
IDS = ["n03", "n01", "n02"]
VAL = [("val_0.JPEG", "n02"), ("val_1.JPEG", "n03"), ("val_2.JPEG", "n02")]


@pytest.fixture
def root(tmp_path):
    root = tmp_path / "tiny-imagenet-200"
    images = {f"train/{i}/images/{i}_{n}.JPEG" for i in IDS for n in range(2)}
    images |= {f"val/images/{name}" for name, _ in VAL}
    for number, name in enumerate(sorted(images)):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        image = np.full((64, 64), 20 * number, dtype=np.uint8)
        # As in the data set, some images are grey.
        if number % 2:
            image = cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)
        cv2.imwrite(str(root / f"{name}.jpg"), image)
        (root / f"{name}.jpg").rename(root / name)
    (root / "wnids.txt").write_text("\n".join(IDS))
    (root / "words.txt").write_text(
        "n00\tentity\nn01\tgoldfish, carp\nn02\tnail\nn03\tplunger, plumber's helper\n"
    )
    rows = [f"{name}\t{wnid}\t0\t32\t44\t62\n" for name, wnid in VAL]
    (root / "val" / "val_annotations.txt").write_text("".join(rows))
    return root


def listed(dataset):
    infos = [dataset.get_data_info(index) for index in range(len(dataset))]
    return [(info["img_path"].rsplit("/", 1)[1], info["gt_label"]) for info in infos]


def test_images_and_labels_in_the_order_of_the_ids(root):
    train, val = TinyImageNet(root), TinyImageNet(str(root), "val")
    assert listed(train) == [
        ("n03_0.JPEG", 0),
        ("n03_1.JPEG", 0),
        ("n01_0.JPEG", 1),
        ("n01_1.JPEG", 1),
        ("n02_0.JPEG", 2),
        ("n02_1.JPEG", 2),
    ]
    assert listed(val) == [("val_0.JPEG", 2), ("val_1.JPEG", 0), ("val_2.JPEG", 2)]
    assert train.CLASSES == ("plunger, plumber's helper", "goldfish, carp", "nail")
    assert val.test_mode and not train.test_mode
    assert f"val of {root}" in repr(val)


def test_shrinks_into_batches(root):
    dataset = DATASETS.build(
        dict(
            type="pckd_mm.TinyImageNet",
            data_root=str(root),
            split="val",
            pipeline=[
                dict(type="mmpretrain.LoadImageFromFile"),
                dict(type="mmpretrain.Resize", scale=32, backend="pillow"),
                dict(type="mmpretrain.PackInputs"),
            ],
        )
    )
    inputs = default_collate([dataset[0], dataset[1], dataset[2]])["inputs"]
    assert inputs.shape == (3, 3, 32, 32)
    # Behind the six training images, of brightness 20 each more.
    means = inputs.float().mean((1, 2, 3)).tolist()
    assert means == pytest.approx([120, 140, 160], abs=1)


@pytest.mark.parametrize("name", ["wnids.txt", "words.txt", "val/val_annotations.txt"])
def test_names_a_missing_file(root, name):
    (root / name).unlink()
    with pytest.raises(FileNotFoundError, match=f"{name}; expected the files of"):
        TinyImageNet(root, "val")


def test_names_a_class_without_images(root):
    for path in (root / "train" / "n01" / "images").iterdir():
        path.unlink()
    with pytest.raises(FileNotFoundError, match="train/n01/images; expected"):
        TinyImageNet(root)


def test_refuses_repeated_ids(root):
    (root / "wnids.txt").write_text("n01\nn02\nn01\n")
    with pytest.raises(ValueError, match="wnids.txt has 3 lines, 2 of them different"):
        TinyImageNet(root)


def test_refuses_ids_without_a_name(root):
    (root / "words.txt").write_text("n01\tgoldfish\nn0")
    with pytest.raises(ValueError, match="no name for n03 and 2 of 3 ids"):
        TinyImageNet(root)


@pytest.mark.parametrize(
    "line", ["val_2.JPEG", "val_2.JPEG\tn09", "", "val_2.JPEG\tn0"]
)
def test_refuses_damaged_annotations(root, line):
    path = root / "val" / "val_annotations.txt"
    rows = path.read_text().splitlines()[:2]
    path.write_text("\n".join([*rows, line, ""]))
    with pytest.raises(ValueError, match="Line 3 of .*val_annotations.txt is"):
        TinyImageNet(root, "val")


def test_refuses_annotations_of_other_images(root):
    path = root / "val" / "val_annotations.txt"
    rows = path.read_text().splitlines()
    path.write_text("\n".join(rows[:2]))
    with pytest.raises(ValueError, match="lists 2 images .* 3; .* found val_2.JPEG"):
        TinyImageNet(root, "val")
    path.write_text("\n".join([*rows, rows[0]]))
    with pytest.raises(ValueError, match="lists 4 images .* found one image twice"):
        TinyImageNet(root, "val")


def test_refuses_an_unknown_split(root):
    message = "^TinyImageNet found split='test'; expected 'train' or 'val'\\.$"
    with pytest.raises(ValueError, match=message):
        TinyImageNet(root, "test")


@pytest.mark.parametrize("name", ["wnids.txt", "words.txt", "val/val_annotations.txt"])
def test_names_a_file_that_is_no_utf8(root, name):
    with open(root / name, "ab") as file:
        file.write(b"caf\xe9")
    with pytest.raises(ValueError, match=f"{name} is no text in UTF-8"):
        TinyImageNet(root, "val")


def test_refuses_or_skips_broken_images(root):
    path = root / "train" / "n01" / "images" / "n01_0.JPEG"
    path.write_bytes(path.read_bytes()[:-20])
    pipeline = [dict(type="LoadImageFromFile"), dict(type="PackInputs")]
    message = "n01_0.JPEG, an image of the class goldfish, carp, does not decode"
    with pytest.raises(ValueError, match=message):
        TinyImageNet(root, pipeline=pipeline)[2]
    sample = TinyImageNet(root, pipeline=pipeline, skip_broken=True)[2]["data_samples"]
    assert sample.sample_idx == 3 and list(sample.broken_files) == [str(path)]
    with pytest.raises(ValueError, match="skip_broken=True with test_mode=True"):
        TinyImageNet(root, "val", skip_broken=True)
