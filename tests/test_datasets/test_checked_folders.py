"""Damaged folders of images and lists of them, one defect each."""

import logging
import os
import struct

import cv2
import numpy as np
import pytest
import torch
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from mmpretrain.datasets import CustomDataset, ImageNet

from pckd_mm.datasets import (
    BrokenFileError,
    CheckedCustomDataset,
    CheckedImageNet,
    InMemoryDataset,
    MissingFileError,
)
from pckd_mm.datasets.checked_folders import parse_line
from pckd_mm.registry import DATASETS
from pckd_mm.utils.printable import printable
from tests.builders import image_folder

LOAD = dict(type="mmpretrain.LoadImageFromFile")
PACK = dict(type="mmpretrain.PackInputs")


@pytest.fixture
def root(tmp_path):
    """Three classes of four images, the same for training and testing."""
    return image_folder(tmp_path / "images", images=4)


def build(root, cls=CheckedCustomDataset, pipeline=(LOAD, PACK), **settings):
    settings = {"data_prefix": "train", **settings}
    return cls(data_root=str(root), pipeline=list(pipeline), **settings)


def write_list(root, *lines, name="list.txt"):
    (root / name).write_text("".join(f"{line}\n" for line in lines))
    return dict(ann_file=name, metainfo=dict(classes=("a", "b", "c")))


def image_of(root, label=0, name="1.png"):
    return root / "train" / f"class_{label}" / name


def assert_same(checked, plain):
    assert len(checked) == len(plain) > 0
    assert checked.metainfo == plain.metainfo
    for index in range(len(plain)):
        one, other = checked[index], plain[index]
        assert torch.equal(one["inputs"], other["inputs"])
        one, other = one["data_samples"], other["data_samples"]
        assert one.gt_label == other.gt_label
        assert one.metainfo == other.metainfo


@pytest.mark.parametrize("test_mode", [False, True])
def test_items_are_those_of_mmpretrain(root, test_mode):
    settings = dict(test_mode=test_mode)
    assert_same(build(root, **settings), build(root, CustomDataset, **settings))
    names = ("class_0/1.png 2", "class_2/0.png 0", "  class_1/3.png 1 ")
    settings.update(write_list(root, *names))
    assert_same(build(root, **settings), build(root, CustomDataset, **settings))
    settings.update(with_label=False, ann_file="", metainfo=None)
    assert len(build(root, **settings)) == 12


def test_imagenet_reads_its_list(root):
    (root / "meta").mkdir()
    (root / "meta" / "train.txt").write_text("class_0/0.png 999\nclass_1/0.png 0\n")
    settings = dict(split="train", data_prefix="")
    assert_same(
        build(root, CheckedImageNet, **settings), build(root, ImageNet, **settings)
    )
    (root / "meta" / "train.txt").write_text("class_0/0.png 1000\n")
    with pytest.raises(ValueError, match="Line 1 of .*meta/train.txt is .*0 to 999"):
        build(root, CheckedImageNet, **settings)


def test_registered():
    for name in ("CheckedCustomDataset", "CheckedImageNet"):
        config = dict(type=f"pckd_mm.{name}", data_root="x", lazy_init=True)
        assert type(DATASETS.build(config)).__name__ == name


@pytest.mark.parametrize(
    "line, expected",
    [
        ("a.png 0", ("a.png", 0)),
        ("my cat.png 2", ("my cat.png", 2)),
        (" a.png  1 ", ("a.png", 1)),
        ("a.png", None),
        ("a.png ", None),
        ("3", None),
        ("", None),
        ("a.png -1", None),
        ("a.png +1", None),
        ("a.png 1.0", None),
        ("a.png 1_0", None),
        ("a.png \u0663", None),
        ("a.png cat", None),
        ("a.png 3", None),
        ("a.png 99999999999999999999", None),
    ],
)
def test_lines(line, expected):
    if expected is not None:
        assert parse_line(line, 7, "list.txt", 3) == expected
        return
    with pytest.raises(ValueError) as caught:
        parse_line(line, 7, "list.txt", 3)
    message = str(caught.value)
    assert message.startswith(f"Line 7 of list.txt is '{printable(line)}'; expected")
    assert "0 to 2" in message
    assert parse_line("a.png 3", 7, "list.txt", 0) == ("a.png", 3)


def test_lists(root):
    with pytest.raises(ValueError, match=r"Line 2 of .*list.txt is 'b'; expected the"):
        build(root, **write_list(root, "class_0/1.png 0", "b"))
    with pytest.raises(ValueError, match="list.txt is empty; expected the path"):
        build(root, **write_list(root))
    contradicting = ("x.png 0", "y.png 1", "x.png 2")
    message = "Line 3 of .*list.txt gives x.png the label 2 and a line before it 0;"
    with pytest.raises(ValueError, match=message):
        build(root, **write_list(root, *contradicting))
    (root / "list.txt").write_bytes(b"caf\xe9.png 0\n")
    with pytest.raises(ValueError, match="list.txt is no text in UTF-8 .*at byte 3"):
        build(root, ann_file="list.txt")
    with pytest.raises(FileNotFoundError, match="finds no .*none.txt; expected a text"):
        build(root, ann_file="none.txt")


@pytest.fixture
def warned(monkeypatch):
    """What is logged as a warning."""
    messages = []

    def note(message, logger, level):
        assert level == logging.WARNING
        messages.append(message)

    monkeypatch.setattr("pckd_mm.datasets.checked_folders.print_log", note)
    return messages


def test_images_that_are_there_twice(root, warned):
    build(root)
    build(root, **write_list(root, "x.png 0", "y.png 0"))
    assert warned == []
    assert len(build(root, **write_list(root, "x.png 0", "y.png 0", "x.png 0"))) == 3
    assert "list.txt lists images more than once: x.png; expected" in warned.pop()
    cv2.imwrite(str(image_of(root, name="1.jpg")), np.zeros((16, 16, 3), np.uint8))
    # Another class, so another image.
    cv2.imwrite(str(image_of(root, 1, "4.jpg")), np.zeros((16, 16, 3), np.uint8))
    assert len(build(root)) == 14
    assert "differ in the ending only: class_0/1.png; expected" in warned.pop()


def test_folders(root, tmp_path):
    with pytest.raises(FileNotFoundError, match="finds no folder .*images/none; expec"):
        build(root, data_prefix="none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="finds no folder in .*empty/; expected one f"):
        build(tmp_path / "empty", data_prefix="")
    (tmp_path / "empty" / "class").mkdir()
    with pytest.raises(ValueError, match="finds no image in .*empty/ or the folde"):
        build(tmp_path / "empty", data_prefix="")
    with pytest.raises(ValueError, match="train has 3 folders and the data set 2 c"):
        build(root, metainfo=dict(classes=("a", "b")))
    # Names that are no folder's say the classes in other words.
    assert build(root, metainfo=dict(classes=tuple("abc"))).CLASSES == tuple("abc")
    for classes, found in (
        (
            ("class_0", "dog", "class_2"),
            "3 classes .class_1 is no class; dog has no folder.; expected one for each",
        ),
        (
            ("class_0", "class_2", "class_1"),
            "class 1 is class_2, and folder 1 class_1.; expected .* folders' order",
        ),
    ):
        with pytest.raises(ValueError, match=found):
            build(root, metainfo=dict(classes=classes))
    (root / "train" / "class_3").mkdir()
    (root / "train" / "class_4").mkdir()
    message = "train/class_3 has no image, as 2 of the 5 folders of classes; expected"
    with pytest.raises(ValueError, match=message):
        build(root)
    assert build(root, allow_empty=True).metainfo["classes"][4] == "class_4"


def jpeg(size=64):
    image = np.random.RandomState(0).randint(0, 255, (size, size, 3)).astype(np.uint8)
    return cv2.imencode(".jpg", image)[1].tobytes()


def with_size(content, width, height):
    """A JPEG file whose header declares another size."""
    place = content.index(b"\xff\xc0") + 5
    return content[:place] + struct.pack(">HH", height, width) + content[place + 4 :]


DAMAGED = {
    "empty": (b"", "is empty \\("),
    "text": (b"<html>not found</html>", "does not decode \\("),
    "png that is cut off": (
        cv2.imencode(".png", np.arange(3072, dtype=np.uint8).reshape(32, 32, 3))[1][
            :-40
        ].tobytes(),
        "does not decode \\(",
    ),
    "jpeg that is cut off": (jpeg()[:-600], "does not decode \\("),
    "jpeg without its last two bytes": (jpeg()[:-2], "does not decode \\("),
    "jpeg cut off behind a preview": (
        jpeg()[:2] + b"\xff\xe1\x00\x08" + b"ab\xff\xd9cd" + jpeg()[2:-600],
        "does not decode \\(",
    ),
    "jpeg of 30000x30000 pixels": (
        with_size(jpeg(), 30000, 30000),
        "does not decode \\(ValueError: .*pixels",
    ),
}


@pytest.mark.parametrize("name", DAMAGED)
@pytest.mark.parametrize("test_mode", [False, True])
def test_image_that_does_not_decode(root, name, test_mode):
    content, reason = DAMAGED[name]
    path = image_of(root, 2)
    path.write_bytes(content)
    dataset = build(root, test_mode=test_mode)
    dataset[8], dataset[10]
    with pytest.raises(ValueError) as caught:
        dataset[9]
    message = str(caught.value)
    assert message.startswith(f"{path}, an image of the class class_2, ")
    pytest.raises(ValueError, dataset.__getitem__, 9).match(reason)
    assert "\n" not in message and message.count("; expected an image: ") == 1
    assert ("--skip-broken" in message) != test_mode
    assert isinstance(caught.value, BrokenFileError)
    assert caught.value.path == str(path)


@pytest.mark.parametrize("name", [name for name in DAMAGED if "jpeg" in name][:3])
def test_decoders_that_make_up_what_is_cut_off(root, monkeypatch, name):
    monkeypatch.setattr("PIL.ImageFile.LOAD_TRUNCATED_IMAGES", True)
    image_of(root).write_bytes(DAMAGED[name][0])
    load = dict(LOAD, imdecode_backend="pillow")
    with pytest.raises(BrokenFileError, match="its end is missing"):
        build(root, pipeline=(load, PACK))[1]


def test_images_with_more_behind_their_end(root):
    for rest in (b"rest", bytes(5000), jpeg()):
        image_of(root).write_bytes(jpeg(16) + rest)
        assert build(root)[1]["inputs"].shape == (3, 16, 16)


def test_missing_image(root):
    dataset = build(root)
    image_of(root).unlink()
    message = "train/class_0/1.png, an image of the class class_0, is missing; expected"
    with pytest.raises(FileNotFoundError, match=message) as caught:
        dataset[1]
    assert isinstance(caught.value, MissingFileError)


def fail(results):
    raise KeyError("of another transform")


def test_errors_of_other_transforms_pass(root):
    for pipeline in ((fail, LOAD), (LOAD, fail)):
        with pytest.raises(KeyError, match="of another transform"):
            build(root, pipeline=pipeline, skip_broken=True)[0]


def odd(path):
    """The path with a byte that is no UTF-8 in its name."""
    return os.path.join(os.fsencode(path.parent), b"caf\xe9\n" + os.fsencode(path.name))


def test_names_that_are_no_utf8(root):
    path = odd(image_of(root))
    try:
        os.rename(image_of(root), path)
    except OSError:
        pytest.skip("this file system takes UTF-8 only")
    dataset = build(root)
    names = [dataset.get_data_info(index)["img_path"] for index in range(4)]
    place = [os.fsencode(name) for name in names].index(path)
    expected = cv2.imdecode(np.frombuffer(open(path, "rb").read(), np.uint8), 1)
    found = dataset[place]["inputs"].permute(1, 2, 0).numpy()
    np.testing.assert_array_equal(found, expected)
    with open(path, "wb"):
        pass
    with pytest.raises(ValueError, match=r"class_0/caf\\udce9\\n1.png, an image"):
        dataset[place]


def test_folders_that_are_no_utf8(root):
    folder = odd(root / "train" / "class_0")
    try:
        os.rename(root / "train" / "class_0", folder)
    except OSError:
        pytest.skip("this file system takes UTF-8 only")
    message = r"finds a folder named caf\\udce9\\nclass_0 in .*train; expected printa"
    with pytest.raises(ValueError, match=message):
        build(root)


# Images 0 to 3 are of class 0, 4 to 7 of class 1, 8 to 11 of class 2.
def broken(root, *places):
    for place in places:
        image_of(root, place // 4, f"{place % 4}.png").write_bytes(b"broken")


def test_skipping(root):
    broken(root, 1, 2, 11)
    good = build(root)
    dataset = build(root, skip_broken=True)
    assert len(dataset) == 12
    for place, taken in ((0, 0), (1, 3), (2, 3), (3, 3), (10, 10), (11, 0)):
        for _ in range(2):
            item, expected = dataset[place], good[taken]
            assert torch.equal(item["inputs"], expected["inputs"])
            sample = item["data_samples"]
            assert sample.sample_idx == taken
            assert sample.gt_label == expected["data_samples"].gt_label
            skipped = sample.get("broken_files") or {}
            assert len(skipped) == {1: 2, 2: 1, 11: 1}.get(place, 0)
            for path, why in skipped.items():
                assert why.startswith(f"{path}, an image of") and "decode" in why
                assert "--skip-broken" not in why
    paths = [image_of(root, 0), image_of(root, 0, "2.png"), image_of(root, 2, "3.png")]
    assert list(dataset.broken_files) == [str(path) for path in paths]
    broken(root, *range(12))
    with pytest.raises(ValueError, match="no good one among the 12 images of Checked"):
        dataset[5]


@pytest.mark.parametrize("workers", [0, 2])
def test_skipped_files_travel_with_the_batch(root, workers):
    broken(root, 5)
    with DefaultScope.overwrite_default_scope("mmpretrain"):
        loader = Runner.build_dataloader(
            dict(
                batch_size=4,
                num_workers=workers,
                persistent_workers=False,
                sampler=dict(type="DefaultSampler", shuffle=False),
                collate_fn=dict(type="default_collate"),
                dataset=build(root, skip_broken=True),
            )
        )
    told = [
        [sample.get("broken_files") for sample in batch["data_samples"]]
        for batch in loader
    ]
    assert list(told[1][1]) == [str(image_of(root, 1))]
    assert sum(files is not None for batch in told for files in batch) == 1


def test_workers_tell_what_is_broken(root):
    broken(root, 5)
    loader = torch.utils.data.DataLoader(build(root), num_workers=1, batch_size=None)
    with pytest.raises(BrokenFileError, match="class_1/1.png, an image of the class"):
        list(loader)


def test_skipping_in_memory(root):
    broken(root, 1)
    dataset = InMemoryDataset(build(root, skip_broken=True))
    batch = dataset.__getitems__([0, 1, 2])
    assert batch["data_samples"][0].sample_idx.tolist() == [0, 2, 2]
    assert torch.equal(batch["inputs"][1], batch["inputs"][2])
    assert list(dataset.dataset.broken_files) == [str(image_of(root))]
    with pytest.raises(BrokenFileError, match="class_0/1.png"):
        InMemoryDataset(build(root)).full_init()


def test_nothing_is_skipped_unsaid(root):
    broken(root, 0)
    with pytest.raises(ValueError, match="skip_broken=True with test_mode=True; expec"):
        build(root, skip_broken=True, test_mode=True)
    with pytest.raises(ValueError, match="makes no data sample, in which a skipped"):
        build(root, skip_broken=True, pipeline=(LOAD,))[0]
