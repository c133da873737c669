"""Damaged data in COCO's layout, on small folders with one defect each."""

import json

import cv2
import numpy as np
import pytest

pytest.importorskip("mmdet.datasets", exc_type=ImportError)

from mmdet.datasets import CocoDataset

from pckd_mm.datasets import CheckedCocoDataset
from pckd_mm.registry import DATASETS

WIDTH, HEIGHT = 60, 40
CLASSES = ("straße", "blue whale")
LOADING = [
    dict(type="mmdet.LoadImageFromFile"),
    dict(type="mmdet.LoadAnnotations", with_bbox=True),
]


def box(image=1, category=7, bbox=(10, 11, 20, 21), **more):
    given = dict(image_id=image, category_id=category, bbox=list(bbox), iscrowd=0)
    return dict(given, area=bbox[2] * bbox[3] if len(bbox) == 4 else 0, **more)


def write(root, *boxes, names=("a.jpg", "sub/b 1.png"), categories=None, **changes):
    """Images and ``all.json``; categories are listed in another order than CLASSES."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.RandomState(0).randint(0, 255, (HEIGHT, WIDTH, 3))
        cv2.imwrite(str(path), pixels.astype(np.uint8))
    categories = categories or [
        dict(id=3, name="blue whale"),
        dict(id=7, name="straße"),
    ]
    content = dict(
        images=[
            dict(id=index, file_name=name, width=WIDTH, height=HEIGHT)
            for index, name in enumerate(names, 1)
        ],
        categories=categories,
        annotations=[dict(each, id=index) for index, each in enumerate(boxes, 1)],
    )
    text = json.dumps({**content, **changes}, ensure_ascii=False)
    (root / "all.json").write_text(text, encoding="utf-8")
    return root


def build(root, cls=CheckedCocoDataset, **settings):
    given = dict(metainfo=dict(classes=CLASSES), pipeline=LOADING)
    if cls is CocoDataset:
        given["data_prefix"] = dict(img="")
    return cls(data_root=str(root), ann_file="all.json", **{**given, **settings})


def labels(dataset):
    return [
        [instance["bbox_label"] for instance in dataset.get_data_info(i)["instances"]]
        for i in range(len(dataset))
    ]


def test_items_are_those_of_mmdet(tmp_path):
    write(tmp_path, box(), box(2, 3, (0, 0, WIDTH, HEIGHT)), box(2, 7, ignore=True))
    in_order = dict(metainfo=dict(classes=("blue whale", "straße")))
    checked, plain = (
        build(tmp_path, **in_order),
        build(tmp_path, CocoDataset, **in_order),
    )
    assert len(checked) == len(plain) == 2 and checked.metainfo == plain.metainfo
    for index in range(2):
        assert checked.get_data_info(index) == plain.get_data_info(index)
        one, other = checked[index], plain[index]
        assert np.array_equal(one["img"], other["img"])
        assert np.array_equal(one["gt_bboxes"].tensor, other["gt_bboxes"].tensor)


def test_labels_follow_the_classes_not_the_file(tmp_path):
    write(tmp_path, box(1, 7), box(2, 3))
    assert labels(build(tmp_path)) == [[0], [1]]
    # mmdet's go by the file: straße is category 7, the second one of it.
    assert labels(build(tmp_path, CocoDataset)) == [[1], [0]]
    # A class that this file does not have moves none of the others.
    three = dict(metainfo=dict(classes=("car", *CLASSES)))
    assert labels(build(tmp_path, **three)) == [[1], [2]]


def test_an_annotation_without_area_has_that_of_its_box(tmp_path):
    bare = box()
    del bare["area"], bare["iscrowd"]
    write(tmp_path, bare)
    assert labels(build(tmp_path)) == [[0], []]


@pytest.mark.parametrize(
    "wrong, reason",
    [
        (box(bbox=(1, 2, 3)), "a.jpg .straße. has the bbox .1, 2, 3.; expected four"),
        (box(bbox=(10, 10, 52, 5)), "has the bbox .10, 10, 52, 5. .* of 60x40 pixels"),
        (box(bbox=(-3, 0, 5, 5)), "has the bbox .-3, 0, 5, 5. .*expected one inside"),
        (box(bbox=(5, 5, -2, 5)), "has the bbox .5, 5, -2, 5. .*expected one inside"),
        (box(category=9), "has an annotation of category_id 9; expected the id of one"),
    ],
)
def test_broken_boxes(tmp_path, wrong, reason):
    write(tmp_path, wrong, box(2))
    with pytest.raises(ValueError, match=f"{reason}.* --skip-broken such files are le"):
        build(tmp_path)
    dataset = build(tmp_path, skip_broken=True)
    assert labels(dataset) == [[0]]
    assert list(dataset.broken_files) == [str(tmp_path / "a.jpg")]


def test_a_pixel_beside_the_image_is_no_defect(tmp_path):
    write(tmp_path, box(bbox=(-1, -0.5, WIDTH + 2, HEIGHT + 1.5)))
    assert labels(build(tmp_path)) == [[0], []]


def test_images(tmp_path):
    write(tmp_path, box(), box(2))
    (tmp_path / "a.jpg").write_bytes(b"no image")
    with pytest.raises(ValueError, match="a.jpg, an image of .*all.json, does not dec"):
        build(tmp_path)[0]
    (tmp_path / "a.jpg").unlink()
    with pytest.raises(FileNotFoundError, match="finds no .*a.jpg, an image of .*all"):
        build(tmp_path)
    write(tmp_path, box(bbox=(40, 2, 20, 20)))
    cv2.imwrite(str(tmp_path / "a.jpg"), np.zeros((HEIGHT, WIDTH // 2, 3), np.uint8))
    with pytest.raises(
        ValueError, match="has 30x40 pixels .* expected 60x40, the size"
    ):
        build(tmp_path)[0]


def test_an_image_without_a_size(tmp_path):
    write(tmp_path, box(), images=[dict(id=1, file_name="a.jpg", width=0)])
    with pytest.raises(ValueError, match="a.jpg has the width and height 0 and None"):
        build(tmp_path)


def test_files_of_annotations(tmp_path):
    with pytest.raises(FileNotFoundError, match="finds no .*all.json; expected a file"):
        build(tmp_path)
    (tmp_path / "all.json").write_text('{"images": [')
    with pytest.raises(
        ValueError, match="all.json is no JSON .*; expected annotations"
    ):
        build(tmp_path)
    write(tmp_path, box(), categories=[dict(id=7)])
    with pytest.raises(
        ValueError, match="not laid out as COCO's annotations are .KeyError: 'name'"
    ):
        build(tmp_path)
    write(tmp_path, box(), images=[])
    with pytest.raises(ValueError, match="all.json has no images; expected some"):
        build(tmp_path)


def test_names_of_classes(tmp_path):
    write(tmp_path, box())
    with pytest.raises(
        ValueError, match="classes straße; expected some of car: set me"
    ):
        build(tmp_path, metainfo=dict(classes=("car",)))
    write(tmp_path)
    with pytest.raises(
        ValueError, match="annotations of .*all.json have no box; expec"
    ):
        build(tmp_path)
    assert len(build(tmp_path, test_mode=True)) == 2


def test_parts_by_content(tmp_path):
    names = [f"{index}.png" for index in range(30)]
    write(tmp_path, *(box(index, 3) for index in range(1, 31)), box(9, 7), names=names)
    for index, name in enumerate(names):  # each of them another image
        image = np.full((HEIGHT, WIDTH, 3), index, np.uint8)
        cv2.imwrite(str(tmp_path / name), image)
    inner = dict(
        type="pckd_mm.CheckedCocoDataset",
        data_root=str(tmp_path),
        ann_file="all.json",
        metainfo=dict(classes=CLASSES),
    )
    config = dict(type="pckd_mm.held_out_part", dataset=inner, by="content", share=0.3)
    parts = {part: DATASETS.build(dict(config, part=part)) for part in ("train", "val")}
    paths = {
        name: {part.get_data_info(i)["img_path"] for i in range(len(part))}
        for name, part in parts.items()
    }
    assert not paths["train"] & paths["val"] and len(paths["val"]) > 3
    assert len(paths["train"] | paths["val"]) == 30
    # The only image of a class stays to train on.
    everything = [label for each in labels(parts["train"]) for label in each]
    assert everything.count(0) == 1
    with pytest.raises(ValueError, match="gt_label=None of image 0; .*by='content'"):
        DATASETS.build(dict(config, part="val", by="draw"))
    lazy = DATASETS.build(dict(config, part="val", lazy_init=True))
    assert lazy.metainfo["classes"] == CLASSES and not lazy._fully_initialized
