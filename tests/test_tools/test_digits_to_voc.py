"""Scenes of digits, read by mmdet and checked pixel by pixel."""

import importlib.util
import json
import sys
import xml.etree.ElementTree as ElementTree

import cv2
import numpy as np
import pytest
from sklearn.datasets import load_digits

from tests.builders import ROOT
from tests.preloaded import preloaded

TOOL = ROOT / "tools" / "dataset_converters" / "digits_to_voc.py"
spec = importlib.util.spec_from_file_location("digits_to_voc", TOOL)
digits_to_voc = importlib.util.module_from_spec(spec)
spec.loader.exec_module(digits_to_voc)
write_scenes = digits_to_voc.write_scenes

COUNTS = dict(train=12, val=3, test=5)


@pytest.fixture(scope="module")
def devkit(tmp_path_factory):
    return write_scenes(tmp_path_factory.mktemp("scenes"), **COUNTS)


@pytest.fixture(scope="module")
def scenes():
    """More scenes than are written, for what is rare."""
    return list(digits_to_voc.compose_scenes("train", 80, 160, 0))


def stems(devkit, split):
    path = devkit / "VOC2007" / "ImageSets" / "Main" / f"{split}.txt"
    return path.read_text().splitlines()


def files(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def sources(devkit, stem):
    """The digits of a scene, by their index in ``load_digits``."""
    root = ElementTree.parse(devkit / "VOC2007" / "Annotations" / f"{stem}.xml")
    name, *indices = root.findtext("source/image").split()
    assert name == "sklearn.datasets.load_digits"
    return [int(index) for index in indices]


def test_layout(devkit):
    numbers = [f"{number:06d}" for number in range(1, 21)]
    assert stems(devkit, "train") == numbers[:12]
    assert stems(devkit, "val") == numbers[12:15]
    assert stems(devkit, "trainval") == numbers[:15]
    assert stems(devkit, "test") == numbers[15:]
    year = devkit / "VOC2007"
    for folder, suffix in (("JPEGImages", "jpg"), ("Annotations", "xml")):
        names = sorted(path.name for path in (year / folder).iterdir())
        assert names == [f"{number}.{suffix}" for number in numbers]
    assert [path.name for path in devkit.parent.iterdir()] == ["VOCdevkit"]


def test_annotation_has_what_voc_has(devkit):
    path = devkit / "VOC2007" / "Annotations" / "000002.xml"
    root = ElementTree.parse(path).getroot()
    assert root.tag == "annotation"
    assert root.findtext("folder") == "VOC2007"
    assert root.findtext("filename") == "000002.jpg"
    assert [(side.tag, side.text) for side in root.find("size")] == [
        ("width", "160"),
        ("height", "160"),
        ("depth", "3"),
    ]
    for item in root.findall("object"):
        tags = [child.tag for child in item]
        assert tags == ["name", "pose", "truncated", "difficult", "bndbox"]
        assert [c.tag for c in item.find("bndbox")] == ["xmin", "ymin", "xmax", "ymax"]


@pytest.mark.parametrize("split", COUNTS)
def test_mmdet_reads_what_was_drawn(devkit, split):
    pytest.importorskip("mmdet")
    from mmdet.datasets import VOCDataset

    dataset = VOCDataset(
        data_root=f"{devkit}/",
        ann_file=f"VOC2007/ImageSets/Main/{split}.txt",
        data_prefix=dict(sub_data_root="VOC2007/"),
        metainfo=dict(classes=digits_to_voc.CLASSES),
        test_mode=True,
        pipeline=[],
    )
    scenes = digits_to_voc.compose_scenes(split, COUNTS[split], 160, 0)
    target = load_digits().target
    assert len(dataset) == COUNTS[split]
    for index, (scene, stem) in enumerate(
        zip(scenes, stems(devkit, split), strict=True)
    ):
        info = dataset.get_data_info(index)
        assert (info["width"], info["height"]) == (160, 160)
        photo = cv2.imread(info["img_path"]).astype(int)
        assert np.abs(photo - scene.image).mean() < 10  # JPEG
        labels = [item["bbox_label"] for item in info["instances"]]
        assert labels == [target[source] for source in sources(devkit, stem)]
        assert set(np.unique(scene.owner)) == {-1, *range(len(labels))}
        for place, item in enumerate(info["instances"]):
            rows, columns = np.nonzero(scene.owner == place)
            box = [columns.min(), rows.min(), columns.max(), rows.max()]
            assert item["bbox"] == box
            assert item["ignore_flag"] == scene.digits[place].difficult


def test_ink_is_drawn_where_it_is_said(scenes):
    """A digit's ink is of one colour, which its close surroundings do not have."""
    tiles = load_digits().images.astype(np.float32)
    for scene in scenes[:20]:
        image = scene.image.astype(float)
        for place, digit in enumerate(scene.digits):
            left, top, right, bottom = digit.box
            part = image[top - 1 : bottom, left - 1 : right]
            owner = scene.owner[top - 1 : bottom, left - 1 : right]
            if digit.visible < 1 or (owner == place).mean() > 0.8:
                continue
            tile = cv2.resize(tiles[digit.source], (40, 40))
            rows, columns = np.nonzero(tile >= 8)
            tile = tile[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
            tile = cv2.resize(tile, owner.shape[::-1])
            # The handwriting is that of scikit-learn's digit,
            mask = (owner == place).astype(float)
            assert np.corrcoef(mask.ravel(), tile.ravel())[0, 1] > 0.5
            # and can be seen in the picture.
            ink, rest = part[owner == place], part[owner == -1]
            assert np.linalg.norm(np.median(ink, 0) - np.median(rest, 0)) > 15


def test_boxes(scenes):
    for scene in scenes:
        boxes = [digit.box for digit in scene.digits]
        for left, top, right, bottom in boxes:
            assert 1 <= left and right - left >= 3 and right <= 160
            assert 1 <= top and bottom - top >= 3 and bottom <= 160
        for place, (left, top, right, bottom) in enumerate(boxes):
            mask = np.zeros((160, 160), bool)
            mask[top - 1 : bottom, left - 1 : right] = True
            for other in boxes[:place]:
                common = mask[other[1] - 1 : other[3], other[0] - 1 : other[2]]
                assert common.sum() <= 0.5 * min(mask.sum(), common.size)


def test_overlap():
    # 2x10 of 10x10 and 4x10 pixels are common.
    assert digits_to_voc.overlap((1, 1, 10, 10), (9, 1, 12, 10)) == 0.5
    assert digits_to_voc.overlap((1, 1, 10, 10), (11, 1, 12, 10)) == 0
    assert digits_to_voc.overlap((1, 1, 10, 10), (3, 3, 4, 4)) == 1


def test_difficult_and_truncated(scenes):
    digits = [digit for scene in scenes for digit in scene.digits]
    hidden = [digit for digit in digits if digit.visible < 0.5]
    tiny = [
        digit
        for digit in digits
        if digit.box[2] - digit.box[0] < 15 and digit.box[3] - digit.box[1] < 15
    ]
    assert hidden and tiny
    difficult = {id(digit) for digit in digits if digit.difficult}
    assert difficult == {id(digit) for digit in hidden + tiny}
    assert 0.25 <= min(digit.visible for digit in digits)
    assert max(digit.visible for digit in digits) == 1
    # What leaves the image touches its border, and is not seen as a whole.
    truncated = [digit for digit in digits if digit.truncated]
    assert truncated
    for digit in truncated:
        assert digit.visible < 1
    bordering = [d for d in truncated if {1, 160} & set(d.box)]
    assert len(bordering) >= 0.9 * len(truncated)


def test_flags_are_written(tmp_path):
    devkit = write_scenes(tmp_path, train=40, val=1, test=1)
    scenes = digits_to_voc.compose_scenes("train", 40, 160, 0)
    for scene, stem in zip(scenes, stems(devkit, "train"), strict=True):
        root = ElementTree.parse(devkit / "VOC2007" / "Annotations" / f"{stem}.xml")
        for tag in ("truncated", "difficult"):
            flags = [item.findtext(tag) for item in root.findall("object")]
            assert flags == [str(int(getattr(d, tag))) for d in scene.digits]


def test_visible_share(scenes):
    """A lone digit is enlarged, and covered or cut by nothing."""
    whole = [d for scene in scenes for d in scene.digits if d.visible == 1]
    assert not any(digit.truncated for digit in whole)
    lower = [
        (scene, place)
        for scene in scenes
        for place, digit in enumerate(scene.digits)
        if digit.visible < 0.9 and not digit.truncated
    ]
    assert lower
    for scene, place in lower:  # what covers it was drawn later
        assert place < len(scene.digits) - 1


def test_crowded_and_sparse_scenes(scenes):
    counts = [len(scene.digits) for scene in scenes]
    assert min(counts) == 2 and max(counts) == 9
    assert {digit.label for scene in scenes for digit in scene.digits} == set(range(10))
    assert 0.15 < np.mean([count >= 6 for count in counts]) < 0.6


def test_splits_share_no_digit(devkit):
    parts = digits_to_voc.split_digits(0)
    assert [len(parts[split]) for split in COUNTS] == [1078, 270, 449]
    assert sorted(np.concatenate(list(parts.values()))) == list(range(1797))
    for split in COUNTS:
        drawn = {s for stem in stems(devkit, split) for s in sources(devkit, stem)}
        assert drawn and drawn <= set(parts[split].tolist())
    others = digits_to_voc.split_digits(1)
    assert set(others["train"].tolist()) != set(parts["train"].tolist())


def test_the_seed_decides(devkit, tmp_path):
    again = write_scenes(tmp_path / "again", **COUNTS)
    assert files(again) == files(devkit)
    other = write_scenes(tmp_path / "other", **COUNTS, seed=1)
    name = "VOC2007/JPEGImages/000001.jpg"
    assert files(other)[name] != files(devkit)[name]
    # Not only the digits differ, the backgrounds do too.
    colours = [
        [np.median(scene.image, (0, 1)) for scene in scenes]
        for scenes in (
            digits_to_voc.compose_scenes("train", 5, 160, seed) for seed in (0, 1)
        )
    ]
    assert np.abs(np.subtract(*colours)).max(axis=1).min() > 8
    # More scenes leave the first ones as they are.
    more = write_scenes(tmp_path / "more", train=13, val=3, test=5)
    assert files(more)[name] == files(devkit)[name]


def test_size(tmp_path):
    devkit = write_scenes(tmp_path, 2, 1, 1, 96)
    photo = cv2.imread(str(devkit / "VOC2007" / "JPEGImages" / "000001.jpg"))
    assert photo.shape == (96, 96, 3)


def test_same_settings_are_not_written_again(tmp_path):
    devkit = write_scenes(tmp_path, 1, 1, 1)
    photo = devkit / "VOC2007" / "JPEGImages" / "000001.jpg"
    photo.write_text("mark")
    assert write_scenes(tmp_path, 1, 1, 1) == devkit
    assert photo.read_text() == "mark"


@pytest.mark.parametrize("settings", [None, "{", '{"train": 1}', "other seed"])
def test_refuses_what_was_made_otherwise(tmp_path, settings):
    devkit = tmp_path / "VOCdevkit"
    if settings == "other seed":
        write_scenes(tmp_path, 1, 1, 1, seed=1)
    else:
        devkit.mkdir()
        if settings:
            (devkit / "digits_to_voc.json").write_text(settings)
    before = files(tmp_path)
    with pytest.raises(FileExistsError, match="VOCdevkit/digits_to_voc.json has") as e:
        write_scenes(tmp_path, 1, 1, 1)
    assert "'seed': 0}, or no" in str(e.value) and "remove that folder" in str(e.value)
    assert files(tmp_path) == before


def test_records_settings(devkit):
    found = json.loads((devkit / "digits_to_voc.json").read_text())
    assert found == {"recipe": 1, **COUNTS, "size": 160, "seed": 0}


def test_a_failure_leaves_nothing(tmp_path, monkeypatch):
    written = []

    def fail_late(path, *args):
        written.append(path)
        return len(written) < 3

    killed = tmp_path / "VOCdevkit.partial" / "VOC2007" / "JPEGImages"
    killed.mkdir(parents=True)
    with monkeypatch.context() as patch:
        patch.setattr(digits_to_voc.cv2, "imwrite", fail_late)
        with pytest.raises(OSError, match="000003.jpg cannot be written"):
            write_scenes(tmp_path, 4, 1, 1)
    assert len(written) == 3 and not list(tmp_path.iterdir())
    assert write_scenes(tmp_path, 1, 1, 1).is_dir()


@pytest.mark.parametrize(
    "settings, message",
    [
        (dict(train=0), "train is 0; expected at least 1"),
        (dict(val=0), "val is 0; expected at least 1"),
        (dict(test=-1), "test is -1; expected at least 1"),
        (dict(size=95), "size is 95; expected at least 96"),
        (dict(seed=-1), "seed is -1; expected at least 0"),
    ],
)
def test_settings_out_of_range(tmp_path, settings, message):
    with pytest.raises(ValueError, match=message):
        write_scenes(tmp_path / "out", **settings)
    assert not (tmp_path / "out").exists()


def test_command(tmp_path, monkeypatch, capsys):
    counts = ["--train", "2", "--val", "1", "--test", "1"]
    command = [str(TOOL), str(tmp_path), *counts]
    done = preloaded().call(command)
    assert done.stdout.endswith("VOCdevkit: 2 train, 1 val, 1 test scenes\n")
    monkeypatch.setattr(sys, "argv", command)
    digits_to_voc.main()
    assert "nothing to do" in capsys.readouterr().out
    monkeypatch.setattr(sys, "argv", [*command, "--seed", "1"])
    with pytest.raises(SystemExit, match="remove that folder, name another"):
        digits_to_voc.main()
