"""What is in a folder of images with boxes, laid out as Pascal VOC or COCO."""

import json
import re
from collections import Counter

import pytest
from PIL import Image

pytest.importorskip("mmdet.datasets", exc_type=ImportError)

from pckd_mm.registry import DATASETS
from pckd_mm.starting import boxes as module
from pckd_mm.starting.found import UnknownLayoutError, classes_with_few
from pckd_mm.starting.looking import look_at
from tests.boxes import CLASSES, draw, write_coco, write_voc, xml

NAMES = [f"bild {index}" for index in range(6)]
FILES = [f"bild {index}.jpg" for index in range(6)]


@pytest.mark.parametrize("home", ["", "VOC2007", "VOCdevkit/VOC2012"])
def test_all_that_is_annotated(tmp_path, home):
    write_voc(tmp_path / home, [*NAMES, "sommer/straße 1"])
    found = look_at(tmp_path)
    assert found.kind == "detectors" and found.classes == sorted(CLASSES)
    prefix = f"{home}/" if home else ""
    assert found.splits == {"train": dict(data_prefix=dict(sub_data_root=prefix))}
    assert found.counts["train"] == dict.fromkeys(CLASSES, 7) and not found.broken
    words = "Pascal VOC, 2 classes; train: 7 images, 14 boxes, 7 of a class"
    assert found.in_words() == words and found.images == 7
    assert found.size() == 320 and classes_with_few(found, 8) == sorted(CLASSES)


def test_larger_images_are_seen_larger(tmp_path):
    path = tmp_path / "Annotations" / "a.xml"
    path.parent.mkdir()
    path.write_text(
        xml(draw(tmp_path / "JPEGImages" / "a.jpg", 0, (900, 500)), (900, 500))
    )
    assert look_at(tmp_path).size() == 512  # 500, in steps of 32


def test_lists_of_voc(tmp_path):
    lists = dict(train=NAMES[:3], val=NAMES[3:4], test=NAMES[4:5], cat_train=["x -1"])
    write_voc(tmp_path / "VOC2007", NAMES, **lists)
    found = look_at(tmp_path)
    assert {split: found.images_of(split) for split in found.splits} == dict(
        train=3, val=1, test=1
    )
    ann_file = "VOC2007/ImageSets/Main/val.txt"
    assert found.settings("val")["ann_file"] == ann_file
    assert found.notes == [
        "1 annotated images are in none of the lists train.txt, val.txt, test.txt, and "
        "are not used."
    ]


def test_a_list_of_both_leaves_the_other_two(tmp_path):
    # VOC's own test lists of some years have no annotations.
    lists = dict(trainval=NAMES, val=NAMES[:2], test=["elsewhere"])
    write_voc(tmp_path, NAMES, **lists)
    found = look_at(tmp_path)
    assert list(found.splits) == ["train"] and found.images == 6 and not found.notes


def test_images_and_annotations_beside_each_other(tmp_path):
    for begin, split in enumerate(("train", "valid")):
        write_voc(tmp_path / split, NAMES[: 4 - begin], "", "", begin=10 * begin)
    found = look_at(tmp_path)
    assert (found.images_of("train"), found.images_of("val")) == (4, 3)
    assert found.settings("val") == dict(
        data_prefix=dict(sub_data_root="valid/"), img_subdir="", ann_subdir=""
    )


def test_broken_files_of_voc(tmp_path):
    write_voc(tmp_path, [*NAMES, "sub/b 7"])
    annotations, images = tmp_path / "Annotations", tmp_path / "JPEGImages"
    (annotations / "bild 0.xml").write_text("<annotation><object>")
    (images / "bild 1.jpg").write_bytes(b"no image")
    (images / "bild 2.jpg").unlink()
    (annotations / "bild 3.xml").write_text(xml([("straße", 50, 2, 70, 9)]))
    (images / "sub" / "b 7.jpg").write_bytes((images / "bild 4.jpg").read_bytes()[:-2])
    draw(images / "alone.png", 3)
    found = look_at(tmp_path)
    assert found.counts["train"] == dict.fromkeys(CLASSES, 2)
    reasons = [
        "bild 0.xml is no well-formed XML",
        "finds no .*bild 2.jpg, the image of",
        "bild 3.xml has the <bndbox> xmin=50, ymin=2, xmax=70",
        "bild 1.jpg, the image of .* does not decode",
        "b 7.jpg, the image of .* does not decode",
    ]
    assert len(found.broken) == 5
    for reason, message in zip(reasons, found.broken, strict=True):
        assert re.search(reason, message)
    assert found.notes == [f"1 images in {images} have no annotation."]


def test_names_that_are_only_elsewhere(tmp_path):
    write_voc(tmp_path, NAMES, train=NAMES[:4], val=NAMES[4:])
    text = xml([("crack", 1, 1, 20, 20), ("straße", 5, 5, 30, 30)])
    (tmp_path / "Annotations" / "bild 5.xml").write_text(text, encoding="utf-8")
    found = look_at(tmp_path)
    assert found.classes == sorted(CLASSES) and found.counts["val"]["straße"] == 2
    assert found.notes == ["Boxes of crack are not used: none of them is to train on."]


def coco(root):
    for split, files in (("train", FILES), ("val", FILES[:2])):
        path = root / "annotations" / f"instances_{split}2017.json"
        write_coco(path, root / f"{split}2017", files, begin=len(split))
    (root / "annotations" / "captions_val2017.json").write_text('{"images": []}')


def beside(root):
    write_coco(root / "boxes.json", root, [*FILES, "sub folder/ä.png"])


def in_images(root):
    write_coco(root / "annotations" / "instances_default.json", root / "images", FILES)


def roboflow(root):
    for split, files in (("train", FILES), ("valid", FILES[:2]), ("test", FILES[:1])):
        folder = root / split
        write_coco(folder / "_annotations.coco.json", folder, files, begin=len(split))


@pytest.mark.parametrize(
    "make, images, settings",
    [
        (
            coco,
            dict(train=6, val=2),
            ("annotations/instances_train2017.json", "train2017/"),
        ),
        (beside, dict(train=7), ("boxes.json", "")),
        (in_images, dict(train=6), ("annotations/instances_default.json", "images/")),
        (
            roboflow,
            dict(train=6, val=2, test=1),
            ("train/_annotations.coco.json", "train/"),
        ),
    ],
)
def test_layouts_of_coco(tmp_path, make, images, settings):
    make(tmp_path)
    found = look_at(tmp_path)
    assert found.layout == "COCO" and found.classes == list(CLASSES)
    assert {split: found.images_of(split) for split in found.splits} == images
    ann_file, folder = settings
    assert found.settings("train") == dict(
        ann_file=ann_file, data_prefix=dict(img=folder)
    )
    assert found.counts["train"] == dict.fromkeys(CLASSES, images["train"])
    assert found.notes == ["Categories without a box to train on are left out: things."]


@pytest.mark.parametrize("annotated", ["stored", "shown"])
def test_images_that_their_exif_orientation_turns(tmp_path, annotated):
    """Boxes of images as they are stored are elsewhere in those that are shown."""
    write_coco(tmp_path / "a.json", tmp_path, FILES)
    path = tmp_path / FILES[2]
    image = Image.open(path).copy()
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save(path, exif=exif)
    if annotated == "shown":
        content = json.loads((tmp_path / "a.json").read_text())
        content["images"][2].update(width=image.height, height=image.width)
        (tmp_path / "a.json").write_text(json.dumps(content))
    broken = [each for each in look_at(tmp_path).broken if "its EXIF" in each]
    assert len(broken) == (annotated == "stored")
    assert all("bild 2.jpg" in each for each in broken)


def test_broken_files_of_coco(tmp_path):
    content = write_coco(tmp_path / "a.json", tmp_path / "images", FILES)
    content["annotations"][0]["bbox"] = [40, 2, 30, 9]
    (tmp_path / "a.json").write_text(json.dumps(content), encoding="utf-8")
    (tmp_path / "images" / "bild 1.jpg").write_bytes(b"no image")
    (tmp_path / "images" / "bild 2.jpg").unlink()
    draw(tmp_path / "images" / "alone.png", 3)
    found = look_at(tmp_path)
    assert found.counts["train"] == dict.fromkeys(CLASSES, 3)
    starts = ("a.json: bild 0.jpg .blue whale. has the bbox", "no .*bild 2.jpg, an im")
    starts = (*starts, "bild 1.jpg, an image of .*a.json, does not decode")
    for reason, message in zip(starts, found.broken, strict=True):
        assert re.search(reason, message)
    assert f"1 images in {tmp_path / 'images'} are in no annotations." in found.notes


def test_a_test_set_without_annotations_is_not_used(tmp_path):
    write_coco(tmp_path / "train.json", tmp_path / "train", FILES)
    content = write_coco(tmp_path / "test.json", tmp_path / "test", FILES, begin=50)
    content["annotations"] = []
    (tmp_path / "test.json").write_text(json.dumps(content))
    found = look_at(tmp_path)
    assert list(found.splits) == ["train"]
    assert f"{tmp_path / 'test.json'} has no annotations, and is not used." in (
        found.notes
    )


@pytest.mark.parametrize("make", ["voc", "coco"])
def test_how_many_are_held_out_is_what_the_data_set_holds_out(tmp_path, make):
    if make == "voc":
        write_voc(tmp_path, NAMES)
    else:
        write_coco(tmp_path / "a.json", tmp_path, FILES)
    found = look_at(tmp_path)
    images = dict(
        type=found.dataset,
        data_root=str(tmp_path),
        metainfo=dict(classes=found.classes),
        **found.settings("train"),
    )
    for share in (0.3, 0.6):
        part = dict(type="held_out_part", part="val", share=share, by="content")
        held = DATASETS.build(dict(part, dataset=images))
        expected = Counter(dict.fromkeys(CLASSES, len(held)))  # both are in each
        assert found.held_out(share) == (len(held), expected) and len(held) > 0


def several_years(root):
    for year in ("VOC2007", "VOC2012"):
        write_voc(root / year, NAMES[:1])


def no_annotations(root):
    write_voc(root, NAMES[:1])
    (root / "Annotations" / "bild 0.xml").unlink()


def only_a_test(root):
    write_voc(root, NAMES, test=NAMES)


def no_boxes(root):
    write_voc(root, NAMES[:1])
    (root / "Annotations" / "bild 0.xml").write_text(xml([]))


def unprintable(root):
    write_voc(root, NAMES[:1])
    text = xml([("two\nlines", 1, 1, 20, 20)])
    (root / "Annotations" / "bild 0.xml").write_text(text)


def all_of_a_class_broken(root):
    write_voc(root, NAMES[:2])
    text = xml([("crack", 1, 1, 90, 20)])
    (root / "Annotations" / "bild 1.xml").write_text(text)


def corrupt(root):
    in_images(root)
    (root / "annotations" / "instances_default.json").write_text('{"images": [')


def empty_folder(root):
    (root / "annotations").mkdir()


def unclear(root):
    for name in ("one", "two"):
        write_coco(root / f"{name}.json", root, FILES[:1])


def without_train(root):
    write_coco(root / "val.json", root, FILES[:1])
    write_coco(root / "test.json", root, FILES[1:2])


def of_one_name(root):
    content = write_coco(root / "a.json", root, FILES)
    content["categories"][1]["name"] = "straße"
    (root / "a.json").write_text(json.dumps(content))


def without_names(root):
    content = write_coco(root / "a.json", root, FILES)
    del content["images"][1]["file_name"]
    (root / "a.json").write_text(json.dumps(content))


def nowhere(root):
    write_coco(root / "a.json", root, FILES)
    for name in FILES:
        (root / name).unlink()


@pytest.mark.parametrize(
    "make, reason",
    [
        (
            several_years,
            "2 folders .*VOC2007, VOC2012.; expected one, .* --data .*2007",
        ),
        (
            no_annotations,
            "Annotations has no annotations; expected a file .*xml for ea",
        ),
        (only_a_test, "has lists of test alone; expected train.txt"),
        (no_boxes, "Pascal VOC and has no boxes to train on; expected some"),
        (unprintable, "has a class named two.nlines; expected printable"),
        (
            all_of_a_class_broken,
            "has no box of crack to train on, but for those of brok",
        ),
        (corrupt, "instances_default.json is no JSON .*; expected annotations as COCO"),
        (empty_folder, "annotations has no file of boxes; expected"),
        (unclear, "has the annotations one.json, two.json; expected one file, or one"),
        (without_train, "has annotations of test, val alone; expected those to train"),
        (of_one_name, "a.json has several categories of the name straße; expected one"),
        (without_names, "annotations with category_id, and images with file_name"),
        (nowhere, "a.json has images that are nowhere in .*, such as bild 0.jpg; exp"),
    ],
)
def test_what_is_refused(tmp_path, make, reason):
    make(tmp_path)
    with pytest.raises(UnknownLayoutError, match=reason):
        look_at(tmp_path)


def test_without_mmdetection(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "has_detection", lambda: False)
    in_images(tmp_path)
    with pytest.raises(
        UnknownLayoutError, match="COCO, data of detectors; expected MMD"
    ):
        look_at(tmp_path)
