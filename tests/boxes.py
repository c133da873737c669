"""Small images with boxes of one's own classes, in both layouts that are read."""

import json
from pathlib import Path
from typing import Dict, List, Sequence, Tuple

import cv2
import numpy as np

CLASSES = ("blue whale", "straße")
SIZE = (64, 48)  # width and height
Box = Tuple[str, int, int, int, int]


def draw(path: Path, seed: int, size: Tuple[int, int] = SIZE) -> List[Box]:
    """Write an image of noise with a bright box of each class.

    Returns:
        list: Name, left, top, right and bottom of each, in pixels from 1, both in.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.RandomState(seed)
    image = rng.randint(0, 60, (size[1], size[0], 3)).astype(np.uint8)
    boxes = []
    for index, name in enumerate(CLASSES):
        left, top = rng.randint(1, size[0] // 2 - 16), rng.randint(1, size[1] - 20)
        left += index * size[0] // 2
        box = (left, top, left + 15, top + 17)
        image[box[1] - 1 : box[3], box[0] - 1 : box[2], index] = 250
        boxes.append((name, *box))
    path.write_bytes(cv2.imencode(path.suffix, image)[1].tobytes())
    return boxes


def xml(boxes: Sequence[Box], size: Tuple[int, int] = SIZE) -> str:
    """An annotation of Pascal VOC."""
    corners = ("xmin", "ymin", "xmax", "ymax")
    things = "".join(
        f"<object><name>{name}</name><bndbox>"
        + "".join(f"<{c}>{v}</{c}>" for c, v in zip(corners, box, strict=True))
        + "</bndbox></object>"
        for name, *box in boxes
    )
    of_image = f"<size><width>{size[0]}</width><height>{size[1]}</height></size>"
    return f"<annotation>{of_image}{things}</annotation>"


def write_voc(
    home: Path,
    stems: Sequence[str],
    images: str = "JPEGImages",
    annotations: str = "Annotations",
    begin: int = 0,
    **lists: Sequence[str],
) -> Path:
    """Write images and annotations, and ``ImageSets/Main`` where there are lists."""
    for seed, stem in enumerate(stems, begin):
        boxes = draw(home / images / f"{stem}.jpg", seed)
        path = home / annotations / f"{stem}.xml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(xml(boxes), encoding="utf-8")
    for name, ids in lists.items():
        path = home / "ImageSets" / "Main" / f"{name}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"{each}\n" for each in ids), encoding="utf-8")
    return home


def write_coco(
    path: Path,
    folder: Path,
    names: Sequence[str],
    begin: int = 0,
    categories: Sequence[str] = ("things", *CLASSES),
) -> Dict:
    """Write images and their file of annotations; returns what it holds."""
    numbers = {name: 10 * index for index, name in enumerate(categories)}
    images, annotations = [], []
    for seed, name in enumerate(names, begin):
        boxes = draw(folder / name, seed)
        images.append(dict(id=seed, file_name=name, width=SIZE[0], height=SIZE[1]))
        for kind, left, top, right, bottom in boxes:
            box = [left - 1, top - 1, right - left + 1, bottom - top + 1]
            annotations.append(
                dict(
                    id=len(annotations),
                    image_id=seed,
                    category_id=numbers[kind],
                    bbox=box,
                    area=box[2] * box[3],
                    iscrowd=0,
                )
            )
    content = dict(
        images=images,
        annotations=annotations,
        categories=[dict(id=number, name=name) for name, number in numbers.items()],
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
    return content
