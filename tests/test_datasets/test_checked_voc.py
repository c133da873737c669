"""Damaged Pascal VOC data, on small folders with one defect each."""

import re
import tarfile

import cv2
import numpy as np
import pytest

pytest.importorskip("mmdet.datasets", exc_type=ImportError)

from mmdet.datasets import VOCDataset
from PIL import Image

from pckd_mm.datasets.checked_voc import CheckedVOCDataset
from pckd_mm.datasets.image_checks import turned_size
from pckd_mm.registry import DATASETS
from tests.builders import SHARED

WIDTH, HEIGHT = 60, 40
SIZE = f"<size><width>{WIDTH}</width><height>{HEIGHT}</height></size>"
LOADING = [
    dict(type="mmdet.LoadImageFromFile"),
    dict(type="mmdet.LoadAnnotations", with_bbox=True),
]


def thing(name="dog", box=(11, 12, 30, 31), difficult="<difficult>0</difficult>"):
    corners = "".join(
        f"<{corner}>{value}</{corner}>"
        for corner, value in zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True)
    )
    return f"<object><name>{name}</name>{difficult}<bndbox>{corners}</bndbox></object>"


def annotation(*objects, size=SIZE):
    return f"<annotation>{size}{''.join(objects)}</annotation>"


def add(root, stem, text=None, size=(HEIGHT, WIDTH)):
    """Write an image and its annotation, and list it in the split."""
    year = root / "VOC2007"
    for name in ("JPEGImages", "Annotations", "ImageSets/Main"):
        (year / name).mkdir(parents=True, exist_ok=True)
    image = np.random.RandomState(0).randint(0, 255, (*size, 3)).astype(np.uint8)
    cv2.imwrite(str(year / "JPEGImages" / f"{stem}.jpg"), image)
    xml = year / "Annotations" / f"{stem}.xml"
    xml.write_text(annotation(thing()) if text is None else text)
    with (year / "ImageSets" / "Main" / "train.txt").open("a") as split:
        split.write(f"{stem}\n")


def build(root, cls=CheckedVOCDataset, year="VOC2007", split="train", **settings):
    return cls(
        data_root=str(root),
        ann_file=f"{year}/ImageSets/Main/{split}.txt",
        data_prefix=dict(sub_data_root=f"{year}/"),
        **{"pipeline": LOADING, **settings},
    )


def assert_same(checked, plain):
    assert len(checked) == len(plain) > 0
    assert {**checked.metainfo, "dataset_type": 0} == {
        **plain.metainfo,
        "dataset_type": 0,
    }
    for index in range(len(plain)):
        assert checked.get_data_info(index) == plain.get_data_info(index)
        one, other = checked[index], plain[index]
        assert one.keys() == other.keys()
        assert np.array_equal(one["img"], other["img"])
        assert np.array_equal(one["gt_bboxes"].tensor, other["gt_bboxes"].tensor)
        for name in ("gt_bboxes_labels", "gt_ignore_flags"):
            assert np.array_equal(one[name], other[name])


@pytest.mark.parametrize(
    "settings",
    [
        {},
        dict(test_mode=True),
        dict(filter_cfg=dict(filter_empty_gt=True, min_size=32, bbox_min_size=15)),
        dict(metainfo=dict(classes=("cat", "dog"))),
    ],
)
def test_items_are_those_of_mmdet(tmp_path, settings):
    add(tmp_path, "a")
    add(
        tmp_path,
        "b",
        annotation(
            thing("cat", ("1.0", 1, WIDTH, HEIGHT), ""),
            thing("dog", (1, 2, 9, 9), "<difficult>1</difficult>"),
            # Of no class of the data set, so mmdet does not look at its box.
            thing("unicorn", ("", 99, 1, 1)),
        ),
    )
    add(tmp_path, "background", annotation())
    assert_same(build(tmp_path, **settings), build(tmp_path, VOCDataset, **settings))


def test_registered(tmp_path):
    add(tmp_path, "a")
    config = dict(type="pckd_mm.CheckedVOCDataset", ann_file="x", lazy_init=True)
    assert isinstance(DATASETS.build(config), CheckedVOCDataset)


@pytest.mark.parametrize(
    "box", [(0, 0, WIDTH - 1, HEIGHT - 1), (1, 1, WIDTH + 1, HEIGHT + 1)]
)
def test_boxes_one_pixel_off_pass(tmp_path, box):
    add(tmp_path, "a", annotation(thing(box=box)))
    assert_same(build(tmp_path), build(tmp_path, VOCDataset))


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "is no well-formed XML .*no element found"),
        ("<annotation><size>", "is no well-formed XML .*expected an annotation"),
        ("\x00", "is no well-formed XML"),
        (
            annotation(thing(), size=""),
            "has the <size> width=missing, height=missing; expected the width",
        ),
        (
            annotation(thing(), size="<size><width>60</width></size>"),
            "width=60, height=missing",
        ),
        (
            annotation(thing(), size=SIZE.replace("60", "sixty")),
            "width=sixty, height=40",
        ),
        (annotation(thing(), size=SIZE.replace("60", "0")), "width=0, height=40"),
        (annotation(thing(), thing("")), "has no <name> in object 2"),
        (
            annotation(thing().replace("name>", "title>")),
            "has no <name> in object 1; expected that of a class",
        ),
        (
            annotation(thing(), thing("cat").replace("bndbox", "polygon")),
            "<bndbox> xmin=missing, .*, ymax=missing in object 2 \\(cat\\); expected "
            "four numbers",
        ),
        (
            annotation(thing().replace("ymin", "top")),
            "xmin=11, ymin=missing, xmax=30, ymax=31 in object 1 \\(dog\\)",
        ),
        (annotation(thing(box=(1, 2, "wide", 4))), "xmax=wide, ymax=4"),
        (annotation(thing(box=(1, 2, "nan", 4))), "xmax=nan.*four numbers"),
        (annotation(thing(box=(1, 2, 3, "inf"))), "ymax=inf.*four numbers"),
        (
            annotation(thing(difficult="<difficult>hard</difficult>")),
            "<difficult> 'hard' in object 1 \\(dog\\); expected 0 or 1",
        ),
        (annotation(thing(difficult="<difficult/>")), "<difficult> '' in object 1"),
        *[
            (
                annotation(thing(box=box)),
                f"<bndbox> xmin={box[0]}, ymin={box[1]}, xmax={box[2]}, ymax={box[3]} "
                "in object 1 \\(dog\\); expected 1 <= xmin <= xmax <= 60 and 1 <= ymin "
                "<= ymax <= 40 .*correct the box or the <size>",
            )
            for box in (
                (-1, 2, 3, 4),
                (1, -1, 3, 4),
                (1, 2, WIDTH + 2, 4),
                (1, 2, 3, HEIGHT + 2),
                (5, 2, 4, 4),
                (1, 5, 3, 4),
            )
        ],
    ],
)
@pytest.mark.parametrize("test_mode", [False, True])
def test_damaged_annotation(tmp_path, text, message, test_mode):
    add(tmp_path, "good")
    add(tmp_path, "bad", text)
    with pytest.raises(ValueError, match=f"Annotations/bad.xml .*{message}") as caught:
        build(tmp_path, test_mode=test_mode)
    assert "have a defect" not in str(caught.value)


def test_missing_annotation(tmp_path):
    add(tmp_path, "good")
    add(tmp_path, "bad")
    xml = tmp_path / "VOC2007" / "Annotations" / "bad.xml"
    xml.unlink()
    message = f"finds no {re.escape(str(xml))}, the annotation of image 'bad'; .*train"
    with pytest.raises(FileNotFoundError, match=message):
        build(tmp_path)


def test_blank_line_in_split(tmp_path):
    add(tmp_path, "good")
    with (tmp_path / "VOC2007/ImageSets/Main/train.txt").open("a") as split:
        split.write("\n")
    with pytest.raises(FileNotFoundError, match="of image ''; .*no blank ones"):
        build(tmp_path)


def test_counts_defects(tmp_path):
    for index in range(9):
        add(tmp_path, f"a{index}", None if index in (0, 4) else annotation(size=""))
    (tmp_path / "VOC2007" / "JPEGImages" / "a4.jpg").unlink()
    message = (
        "a1.xml has the <size> .* Of the 9 images of .*Main/train.txt, 8 have a "
        "defect: a1, a2, a3, a4, a5 and 3 more\\.$"
    )
    with pytest.raises(ValueError, match=message):
        build(tmp_path)


def test_errors_that_are_not_of_the_file_pass(tmp_path):
    add(tmp_path, "a")
    # mmdet's own assertion.
    with pytest.raises(AssertionError):
        build(tmp_path, test_mode=True, filter_cfg=dict(bbox_min_size=1))


@pytest.mark.parametrize("box, extent", [((5, 2, 5, 9), "1x8"), ((2, 9, 7, 9), "6x1")])
def test_box_without_extent(tmp_path, box, extent):
    add(tmp_path, "a")
    add(tmp_path, "b", annotation(thing(box=box)))
    message = f"b.xml has a box of {extent} pixels \\(dog, xmin={box[0]}, .*bbox_min_si"
    with pytest.raises(ValueError, match=message):
        build(tmp_path)
    ignoring = dict(filter_cfg=dict(bbox_min_size=1))
    for settings in (ignoring, dict(test_mode=True)):
        assert_same(
            build(tmp_path, **settings), build(tmp_path, VOCDataset, **settings)
        )


@pytest.mark.parametrize("test_mode", [False, True])
def test_split_file(tmp_path, test_mode):
    add(tmp_path, "a")
    with pytest.raises(
        FileNotFoundError, match="no split file '.*Main/val.txt'; expected a text file"
    ):
        build(tmp_path, split="val", test_mode=test_mode)
    (tmp_path / "VOC2007/ImageSets/Main/val.txt").write_text("")
    with pytest.raises(ValueError, match="Main/val.txt is empty; expected one image"):
        build(tmp_path, split="val", test_mode=test_mode)


@pytest.mark.parametrize("test_mode", [False, True])
def test_damaged_split_file(tmp_path, test_mode):
    for stem in ("a", "b", "a", "c", "b", "a"):
        add(tmp_path, stem)
    message = "Main/train.txt lists 2 of its 3 ids more than once: a, b; expected each"
    with pytest.raises(ValueError, match=message):
        build(tmp_path, test_mode=test_mode)
    (tmp_path / "VOC2007/ImageSets/Main/train.txt").write_bytes(b"a\nb\xe9\n")
    with pytest.raises(ValueError, match="train.txt is no text in UTF-8 .*at byte 3"):
        build(tmp_path, test_mode=test_mode)


@pytest.mark.parametrize(
    "classes, kind",
    [
        (None, "VOC2007"),
        (("dog", "cat"), None),
        (("crack", "blue whale", "straße"), None),
    ],
)
def test_voc_is_what_has_its_classes(tmp_path, classes, kind):
    name = classes[0] if classes else "dog"
    add(tmp_path, "a", annotation(thing(name)))
    metainfo = dict(classes=classes) if classes else {}
    assert build(tmp_path, metainfo=metainfo).metainfo["dataset_type"] == kind
    # By the folder alone, mmdet's own would have VOC's names in its tables.
    plain = build(tmp_path, VOCDataset, metainfo=metainfo)
    assert plain.metainfo["dataset_type"] == "VOC2007"


def test_all_that_is_annotated_without_a_split_file(tmp_path):
    for stem in ("b", "a", "sommer/straße 1"):
        add(tmp_path, "x")
        year = tmp_path / "VOC2007"
        (year / "Annotations" / stem).parent.mkdir(parents=True, exist_ok=True)
        (year / "JPEGImages" / stem).parent.mkdir(parents=True, exist_ok=True)
        ending = ".JPG" if stem == "a" else ".png"
        (year / "JPEGImages" / "x.jpg").rename(year / f"JPEGImages/{stem}{ending}")
        (year / "Annotations" / "x.xml").rename(year / "Annotations" / f"{stem}.xml")
    settings = dict(data_root=str(tmp_path), pipeline=LOADING)
    prefix = dict(sub_data_root="VOC2007/")
    dataset = CheckedVOCDataset(data_prefix=prefix, **settings)
    infos = [dataset.get_data_info(index) for index in range(len(dataset))]
    assert [info["img_id"] for info in infos] == ["a", "b", "sommer/straße 1"]
    assert [info["img_path"][-4:] for info in infos] == [".JPG", ".png", ".png"]
    assert dataset[0]["img"].shape == (HEIGHT, WIDTH, 3)
    with pytest.raises(ValueError, match="Annotations has no annotations; expected"):
        CheckedVOCDataset(data_prefix=dict(sub_data_root="VOC2012/"), **settings)


PACK = dict(type="mmdet.PackDetInputs", meta_keys=("img_id",))


def test_skipping(tmp_path):
    for stem in "abcdefgh":
        add(tmp_path, stem)
    year = tmp_path / "VOC2007"
    (year / "Annotations" / "b.xml").write_text("<annotation>")
    (year / "Annotations" / "c.xml").unlink()
    (year / "JPEGImages" / "d.jpg").unlink()
    (year / "JPEGImages" / "f.jpg").write_bytes(b"")
    message = "b.xml is no well-.* With --skip-broken such files are left out of train"
    with pytest.raises(ValueError, match=message):
        build(tmp_path)
    with pytest.raises(ValueError) as caught:
        build(tmp_path, test_mode=True)
    assert "--skip-broken" not in str(caught.value)
    with pytest.raises(ValueError, match="skip_broken=True with test_mode=True"):
        build(tmp_path, test_mode=True, skip_broken=True)

    dataset = build(tmp_path, skip_broken=True, pipeline=[*LOADING, PACK])
    left_out = ["Annotations/b.xml", "Annotations/c.xml", "JPEGImages/d.jpg"]
    assert list(dataset.broken_files) == [str(year / name) for name in left_out]
    ids = [dataset.get_data_info(index)["img_id"] for index in range(len(dataset))]
    assert ids == ["a", "e", "f", "g", "h"]
    found = [dataset[index]["data_samples"] for index in range(5)]
    assert [sample.img_id for sample in found] == ["a", "e", "g", "g", "h"]
    skipped = [list(sample.get("broken_files") or ()) for sample in found]
    assert skipped == [[], [], [str(year / "JPEGImages" / "f.jpg")], [], []]
    assert len(dataset.broken_files) == 4


def test_skipping_all(tmp_path):
    add(tmp_path, "a", "<annotation>")
    with pytest.raises(ValueError, match="a.xml is no well-formed XML") as caught:
        build(tmp_path, skip_broken=True)
    assert "--skip-broken" not in str(caught.value)


@pytest.mark.parametrize("test_mode", [False, True])
def test_names_of_classes(tmp_path, test_mode):
    add(tmp_path, "a", annotation(thing("seven"), thing("three")))
    add(tmp_path, "b", annotation(thing("seven")))
    message = (
        "2 annotations of .*train.txt have objects of the classes seven, three; "
        "expected some of aeroplane, .*, tvmonitor: set metainfo"
    )
    with pytest.raises(ValueError, match=message):
        build(tmp_path, test_mode=test_mode)
    with pytest.raises(ValueError, match="classes='seven'; expected a tuple of names"):
        build(tmp_path, test_mode=test_mode, metainfo=dict(classes="seven"))
    assert len(build(tmp_path, metainfo=dict(classes=("three",)))) == 2


def test_only_background(tmp_path):
    add(tmp_path, "a", annotation())
    message = "1 annotations of .*train.txt have no <object>; expected objects"
    with pytest.raises(ValueError, match=message):
        build(tmp_path)
    assert len(build(tmp_path, test_mode=True)) == 1


def test_filtered_to_nothing(tmp_path):
    add(tmp_path, "a")
    add(tmp_path, "b", annotation())
    filter_cfg = dict(filter_empty_gt=True, min_size=41)
    message = (
        "'min_size': 41.* leaves none of the 2 images of .*train.txt: 1 have no object "
        ".* shorter sides are 40 to 40 pixels"
    )
    with pytest.raises(ValueError, match=message):
        build(tmp_path, filter_cfg=filter_cfg)
    assert len(build(tmp_path, filter_cfg=dict(filter_cfg, min_size=40))) == 1
    assert len(build(tmp_path, filter_cfg=filter_cfg, test_mode=True)) == 2


def test_missing_image(tmp_path):
    add(tmp_path, "good")
    add(tmp_path, "bad")
    image = tmp_path / "VOC2007" / "JPEGImages" / "bad.jpg"
    image.unlink()
    message = f"finds no {re.escape(str(image))}, the image of .*Annotations/bad.xml;"
    with pytest.raises(FileNotFoundError, match=message):
        build(tmp_path)
    # Where images come from elsewhere, or may be missing, nobody looks for the file.
    for loading in (
        dict(type="mmdet.LoadImageFromFile", ignore_empty=True),
        dict(type="mmdet.LoadImageFromFile", backend_args=dict(backend="petrel")),
    ):
        assert len(build(tmp_path, pipeline=[loading])) == 2


def test_skips_images_that_may_be_missing(tmp_path):
    add(tmp_path, "good")
    add(tmp_path, "bad")
    (tmp_path / "VOC2007" / "JPEGImages" / "bad.jpg").write_bytes(b"")
    loading = dict(type="mmdet.LoadImageFromFile", ignore_empty=True)
    dataset = build(tmp_path, pipeline=[loading, LOADING[1]])
    # MMEngine draws others in place of it.
    assert dataset.prepare_data(1) is None
    assert dataset[1]["img_id"] == "good"


@pytest.mark.parametrize(
    "content, message",
    [(b"", "is empty \\(error: "), (b"<html>", "does not decode \\(AssertionError: ")],
)
@pytest.mark.parametrize("test_mode", [False, True])
def test_image_that_does_not_decode(tmp_path, content, message, test_mode):
    add(tmp_path, "good")
    add(tmp_path, "bad")
    image = tmp_path / "VOC2007" / "JPEGImages" / "bad.jpg"
    image.write_bytes(content)
    dataset = build(tmp_path, test_mode=test_mode)
    assert dataset[0]["img"].shape == (HEIGHT, WIDTH, 3)
    message = (
        f"{re.escape(str(image))}, the image of .*Annotations/bad.xml \\(id 'bad'\\), "
        f"{message}.*; expected a JPEG"
    )
    with pytest.raises(ValueError, match=message) as caught:
        dataset[1]
    assert isinstance(caught.value.__cause__, cv2.error if not content else Exception)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("width, height", [(WIDTH // 2, HEIGHT), (HEIGHT, WIDTH)])
def test_image_of_another_size(tmp_path, width, height):
    full = annotation(thing(box=(1, 1, WIDTH, HEIGHT)))
    add(tmp_path, "a", full, size=(height, width))
    with pytest.raises(ValueError) as caught:
        build(tmp_path)[0]
    message = str(caught.value)
    assert "JPEGImages/a.jpg" in message and "Annotations/a.xml" in message
    assert f"has {width}x{height} pixels" in message
    assert f"expected {WIDTH}x{HEIGHT}, the <size>" in message
    assert "color_ignore_orientation" not in message


@pytest.mark.parametrize("orientation", [None, 1, 3, 6, 8])
@pytest.mark.parametrize("full", [False, True])
def test_an_image_that_its_exif_orientation_turns(tmp_path, orientation, full):
    """Its boxes, which are not turned, would be elsewhere, outside of it or not."""
    box = (1, 1, WIDTH, HEIGHT) if full else (1, 1, 3, 3)
    add(tmp_path, "a", annotation(thing(box=box)))
    image = tmp_path / "VOC2007" / "JPEGImages" / "a.jpg"
    exif = Image.Exif()
    if orientation is not None:
        exif[0x0112] = orientation
    Image.open(image).copy().save(image, exif=exif)
    if orientation not in (6, 8):
        assert build(tmp_path)[0]["ori_shape"] == (HEIGHT, WIDTH)
        return
    assert turned_size(str(image)) == (HEIGHT, WIDTH)
    with pytest.raises(ValueError) as caught:
        build(tmp_path)[0]
    message = str(caught.value)
    assert f"has {HEIGHT}x{WIDTH} pixels (width x height), since its EXIF" in message
    assert ("a box outside" in message) == full
    # The advice.
    steps = [dict(LOADING[0], color_type="color_ignore_orientation"), LOADING[1]]
    assert build(tmp_path, pipeline=steps)[0]["ori_shape"] == (HEIGHT, WIDTH)


def test_image_of_another_size_that_holds_its_boxes(tmp_path):
    # mmdet goes by the image itself, so nothing is lost.
    add(tmp_path, "a", size=(HEIGHT + 1, WIDTH))
    assert build(tmp_path)[0]["ori_shape"] == (HEIGHT + 1, WIDTH)


def fail(results):
    raise KeyError("of another transform")


def test_errors_of_other_transforms_pass(tmp_path):
    add(tmp_path, "a")
    for pipeline in ([fail, *LOADING], [*LOADING, fail]):
        with pytest.raises(KeyError, match="of another transform"):
            build(tmp_path, pipeline=pipeline)[0]


def real(archive, folder, year, splits):
    path = SHARED / "data" / archive
    if not path.is_file():
        pytest.skip("no real photos here")
    with tarfile.open(path) as archive:
        archive.extractall(folder, filter="data")
    for split in splits:
        settings = dict(year=year, split=split)
        devkit = folder / "VOCdevkit"
        yield build(devkit, **settings), build(devkit, VOCDataset, **settings)


@pytest.mark.parametrize(
    "archive, year, splits",
    [
        ("voc2012_100.tar", "VOC2012", ["trainval"]),
        ("voc_mini_5_5.tar", "VOC2007", ["trainval", "test"]),
        ("voc_mini_5_5.tar", "VOC2012", ["trainval", "test"]),
    ],
)
def test_real_photos(tmp_path, archive, year, splits):
    for checked, plain in real(archive, tmp_path, year, splits):
        assert_same(checked, plain)
