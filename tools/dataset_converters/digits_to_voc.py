"""Compose scenes of handwritten digits, as a devkit of Pascal VOC.

python tools/dataset_converters/digits_to_voc.py data/digits

writes OUT/VOCdevkit/VOC2007/{JPEGImages,Annotations,ImageSets/Main}, which mmdet's
VOCDataset reads with the ten classes "zero" to "nine". The digits are the 1797 of
scikit-learn (8x8 pixels).

Digits: shuffled once by the seed and cut into 60 % for train, 15 % for val, 25 % for
test, so that no handwriting of a split occurs in another. <source><image> of an
annotation lists the digits of its objects, by their index in load_digits.

Scenes: 2 to 9 digits, half of the scenes sparse (2 to 5, anywhere), half crowded (5 to
9 around one or two centers), 14 pixels to 0.35 of the image high; a digit that finds no
place is left out. Light on dark or dark on light in any colour, a third on a plate that
hides what lies below; the background is textured, the whole is slightly noisy.

Boxes: tight around what can be seen of the ink, inside of the image, at least 4 pixels
on each side; the intersection of two is at most 0.5 of the smaller. At least a quarter
of each digit's ink can be seen.
truncated: ink leaves the image.
difficult: less than half of the ink can be seen, the rest is covered or outside; or the
box's longer side is below 16 pixels.
"""

import argparse
import json
import shutil
import xml.etree.ElementTree as ElementTree
from functools import lru_cache
from pathlib import Path
from typing import Dict, Iterator, List, NamedTuple, Optional, Tuple

import cv2
import numpy as np
from sklearn.datasets import load_digits

CLASSES = (
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
)
SPLITS = {"train": 0.6, "val": 0.15, "test": 0.25}  # share of the digits
RECIPE = 1  # to be raised when other scenes come from the same settings
SMALLEST_IMAGE = 96  # pixels
HEIGHTS = (14, 0.35)  # of digits: pixels, share of the image
MIN_SIDE = 4  # of a box, pixels
MAX_OVERLAP = 0.5  # intersection over the smaller box
MIN_VISIBLE = 0.25  # share of a digit's ink
DIFFICULT_VISIBLE = 0.5
DIFFICULT_SIDE = 16  # pixels


class Digit(NamedTuple):
    """A digit of a scene.

    Attributes:
        source (int): Index in ``load_digits``.
        label (int): 0 to 9, an index of ``CLASSES``.
        box (tuple[int]): Left, top, right, bottom of the ink that can be seen, in
            pixels counted from 1, ends included, as VOC has it.
        visible (float): Share of the ink that can be seen.
        truncated (bool): Whether ink leaves the image.
    """

    source: int
    label: int
    box: Tuple[int, int, int, int]
    visible: float
    truncated: bool

    @property
    def difficult(self) -> bool:
        """Whether VOC's evaluation shall leave the digit out."""
        left, top, right, bottom = self.box
        longer = max(right - left, bottom - top) + 1
        return self.visible < DIFFICULT_VISIBLE or longer < DIFFICULT_SIDE


class Scene(NamedTuple):
    """A scene.

    Attributes:
        image (np.ndarray): Shape (size, size, 3), BGR, uint8.
        owner (np.ndarray): Shape (size, size), the place in ``digits`` of the digit
            whose ink is seen at a pixel, -1 for none.
        digits (list[Digit]): From the lowest to the topmost.
    """

    image: np.ndarray
    owner: np.ndarray
    digits: List[Digit]


class _Drawn(NamedTuple):
    source: int
    window: Tuple[slice, slice]
    ink: np.ndarray  # bool, what is out of sight included


def overlap(a: Tuple[int, int, int, int], b: Tuple[int, int, int, int]) -> float:
    """Intersection of two boxes over the area of the smaller one."""
    width = min(a[2], b[2]) - max(a[0], b[0]) + 1
    height = min(a[3], b[3]) - max(a[1], b[1]) + 1
    areas = [(box[2] - box[0] + 1) * (box[3] - box[1] + 1) for box in (a, b)]
    return max(width, 0) * max(height, 0) / min(areas)


@lru_cache(maxsize=1)
def _load() -> Tuple[np.ndarray, np.ndarray]:
    digits = load_digits()
    return (digits.images / 16).astype(np.float32), digits.target


def split_digits(seed: int) -> Dict[str, np.ndarray]:
    """Share the digits of scikit-learn out to the splits.

    Args:
        seed (int): Seed of the one shuffle.

    Returns:
        dict[str, np.ndarray]: Indices in ``load_digits`` of ``train``, ``val`` and
        ``test``, disjoint, 1797 in all.
    """
    order = np.random.default_rng(seed).permutation(len(_load()[1]))
    ends = np.round(np.cumsum(list(SPLITS.values())) * len(order)).astype(int)
    return dict(zip(SPLITS, np.split(order, ends[:-1]), strict=True))


def compose_scenes(split: str, count: int, size: int, seed: int) -> Iterator[Scene]:
    """Compose the scenes of a split; the first are the same for each ``count``.

    Args:
        split (str): ``'train'``, ``'val'`` or ``'test'``.
        count (int): Scenes.
        size (int): Width and height of an image, pixels.
        seed (int): Seed of digits and scenes.

    Yields:
        Scene: One scene after the other.
    """
    sources = split_digits(seed)[split]
    for index in range(count):
        rng = np.random.default_rng([seed, list(SPLITS).index(split), index])
        yield compose(rng, sources, size)


def compose(rng: np.random.Generator, sources: np.ndarray, size: int) -> Scene:
    """Compose a scene.

    Args:
        rng (np.random.Generator): Source of all chance.
        sources (np.ndarray): Indices in ``load_digits`` of the digits to take from.
        size (int): Width and height of the image, pixels.

    Returns:
        Scene: The scene.
    """
    crowded = rng.random() < 0.5
    wanted = rng.integers(5, 10) if crowded else rng.integers(2, 6)
    centers = rng.uniform(0.25, 0.75, (rng.integers(1, 3), 2)) * size
    largest = round(HEIGHTS[1] * size)
    pad = largest  # digits may leave the image; they are cut at the end
    canvas = _background(rng, size + 2 * pad)
    owner = np.full(canvas.shape[:2], -1, np.int8)
    drawn: List[_Drawn] = []
    digits: List[Digit] = []
    for _ in range(40 * wanted):
        if len(drawn) == wanted:
            break
        source = int(rng.choice(sources))
        height = round(np.exp(rng.uniform(np.log(HEIGHTS[0]), np.log(largest))))
        width = round(height * rng.uniform(0.75, 1.1))
        if crowded:
            center = rng.normal(centers[rng.integers(len(centers))], 0.17 * size)
        else:
            center = rng.uniform(0.08, 0.92, 2) * size
        if not (0 < center.min() and center.max() < size):
            continue
        alpha = _stroke(_load()[0][source], height, width)
        ink = alpha >= 0.5
        # The tile has a margin, which a plate fills.
        top, left = np.round(center - np.array(ink.shape) / 2).astype(int) + pad
        window = (slice(top, top + len(ink)), slice(left, left + ink.shape[1]))
        plate = rng.random() < 1 / 3
        trial = owner.copy()
        trial[window][ink | plate] = -1
        trial[window][ink] = len(drawn)
        candidates = [*drawn, _Drawn(source, window, ink)]
        seen = _see(trial, candidates, pad, size)
        if seen is None:
            continue
        owner, drawn, digits = trial, candidates, seen
        _paint(rng, canvas[window], alpha, plate)
    inside = slice(pad, pad + size)
    image = canvas[inside, inside]
    noise = rng.standard_normal(image.shape, np.float32)
    image = image + np.float32(rng.uniform(2, 7)) * noise
    image = np.clip(np.round(image), 0, 255).astype(np.uint8)
    return Scene(image, owner[inside, inside], digits)


def _background(rng: np.random.Generator, size: int) -> np.ndarray:
    """Smooth patches of two grains and of a random colour, shape (size, size, 3)."""
    image = np.empty((size, size, 3), np.float32)
    image[:] = _colour(rng, rng.uniform(40, 215))
    for cells in (8, 40):
        grid = rng.normal(0, rng.uniform(2, 8), (cells, cells, 3)).astype(np.float32)
        image += cv2.resize(grid, (size, size), interpolation=cv2.INTER_CUBIC)
    return np.clip(image, 0, 255)


def _colour(rng: np.random.Generator, gray: float) -> np.ndarray:
    """A random colour, shape (3,), whose mean is ``gray`` unless it is clipped."""
    tint = rng.normal(0, 30, 3)
    return np.clip(gray + tint - tint.mean(), 0, 255).astype(np.float32)


def _stroke(tile: np.ndarray, height: int, width: int) -> np.ndarray:
    """Enlarge a tile of 8x8; returns opacity, with a margin of 1/8 on each side."""
    shape = (round(width * 10 / 8), round(height * 10 / 8))
    tile = cv2.resize(np.pad(tile, 1), shape, interpolation=cv2.INTER_CUBIC)
    return np.clip((tile - 0.3) / 0.3, 0, 1)


def _paint(
    rng: np.random.Generator, canvas: np.ndarray, alpha: np.ndarray, plate: bool
) -> None:
    """Paint a digit onto its part of the canvas, shape (h, w, 3), in place."""
    if plate:
        canvas[:] = _colour(rng, rng.uniform(20, 235))
    ground = canvas.mean()
    contrast = rng.uniform(50, 120) * (1 if rng.random() < 0.7 else -1)
    if not 0 <= ground + contrast <= 255:
        contrast = -contrast
    colour = _colour(rng, ground + contrast)
    canvas += alpha[..., None] * (colour - canvas)


def _see(
    owner: np.ndarray, drawn: List[_Drawn], pad: int, size: int
) -> Optional[List[Digit]]:
    """What is seen of the digits; None where one is too hidden or too overlapped."""
    digits: List[Digit] = []
    for place, item in enumerate(drawn):
        rows, columns = (np.arange(side.start, side.stop) - pad for side in item.window)
        inside = np.logical_and.outer(
            (rows >= 0) & (rows < size), (columns >= 0) & (columns < size)
        )
        seen = (owner[item.window] == place) & inside
        visible = seen.sum() / item.ink.sum()
        if visible < MIN_VISIBLE:
            return None
        rows, columns = rows[seen.any(axis=1)], columns[seen.any(axis=0)]
        left, right = int(columns[0]) + 1, int(columns[-1]) + 1
        box = (left, int(rows[0]) + 1, right, int(rows[-1]) + 1)
        if min(box[2] - box[0], box[3] - box[1]) + 1 < MIN_SIDE:
            return None
        if any(overlap(box, other.box) > MAX_OVERLAP for other in digits):
            return None
        label = int(_load()[1][item.source])
        truncated = bool((item.ink & ~inside).any())
        digits.append(Digit(item.source, label, box, float(visible), truncated))
    return digits


def annotation(name: str, scene: Scene) -> ElementTree.ElementTree:
    """The annotation of a scene, as VOC writes it.

    Args:
        name (str): File name of the image.
        scene (Scene): The scene.

    Returns:
        ElementTree.ElementTree: The XML.
    """
    height, width, depth = scene.image.shape
    sources = " ".join(str(digit.source) for digit in scene.digits)
    content = {
        "folder": "VOC2007",
        "filename": name,
        "source": {
            "database": "scenes of handwritten digits",
            "annotation": "digits_to_voc.py",
            "image": f"sklearn.datasets.load_digits {sources}",
        },
        "size": {"width": width, "height": height, "depth": depth},
        "segmented": 0,
        "object": [
            {
                "name": CLASSES[digit.label],
                "pose": "Unspecified",
                "truncated": int(digit.truncated),
                "difficult": int(digit.difficult),
                "bndbox": dict(
                    zip(("xmin", "ymin", "xmax", "ymax"), digit.box, strict=True)
                ),
            }
            for digit in scene.digits
        ],
    }
    root = ElementTree.Element("annotation")
    _append(root, content)
    ElementTree.indent(root, "\t")
    return ElementTree.ElementTree(root)


def _append(parent: ElementTree.Element, content: dict) -> None:
    for tag, value in content.items():
        for item in value if isinstance(value, list) else [value]:
            child = ElementTree.SubElement(parent, tag)
            if isinstance(item, dict):
                _append(child, item)
            else:
                child.text = str(item)


def write_scenes(
    out: Path,
    train: int = 400,
    val: int = 100,
    test: int = 300,
    size: int = 160,
    seed: int = 0,
) -> Path:
    """Write a devkit of scenes, whole or not at all.

    A devkit that was made with the same settings is left as it is.

    Args:
        out (Path): Folder for ``VOCdevkit``.
        train (int): Scenes of ``train``. Defaults to 400.
        val (int): Scenes of ``val``. Defaults to 100.
        test (int): Scenes of ``test``. Defaults to 300.
        size (int): Width and height of the images, pixels. Defaults to 160.
        seed (int): Seed of digits and scenes. Defaults to 0.

    Returns:
        Path: The devkit, ``out/VOCdevkit``.

    Raises:
        ValueError: For a setting out of its range.
        FileExistsError: Where ``out`` has a devkit that was made otherwise.
        OSError: Where a file cannot be written.
    """
    counts = {"train": train, "val": val, "test": test}
    settings = {"recipe": RECIPE, **counts, "size": size, "seed": seed}
    lowest = {**dict.fromkeys(counts, 1), "size": SMALLEST_IMAGE, "seed": 0}
    for name, bound in lowest.items():
        if settings[name] < bound:
            raise ValueError(
                f"{name} is {settings[name]}; expected at least {bound}: raise it."
            )
    out = Path(out)
    devkit, partial = out / "VOCdevkit", out / "VOCdevkit.partial"
    if devkit.exists():
        _check_same(devkit, settings)
        return devkit
    shutil.rmtree(partial, ignore_errors=True)
    try:
        _write_year(partial / "VOC2007", counts, size, seed)
        text = json.dumps(settings, indent=2) + "\n"
        (partial / "digits_to_voc.json").write_text(text)
        partial.rename(devkit)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return devkit


def _check_same(devkit: Path, settings: Dict[str, int]) -> None:
    path = devkit / "digits_to_voc.json"
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        found = "no settings that can be read"
    if found != settings:
        raise FileExistsError(
            f"{path} has {found}; expected {settings}, or no {devkit}: remove that "
            "folder, name another or ask for the same settings."
        )


def _write_year(year: Path, counts: Dict[str, int], size: int, seed: int) -> None:
    images, annotations = year / "JPEGImages", year / "Annotations"
    sets = year / "ImageSets" / "Main"
    for folder in (images, annotations, sets):
        folder.mkdir(parents=True)
    stems: Dict[str, List[str]] = {}
    number = 0
    for split, count in counts.items():
        stems[split] = []
        for scene in compose_scenes(split, count, size, seed):
            number += 1
            stem = f"{number:06d}"
            path = images / f"{stem}.jpg"
            if not cv2.imwrite(str(path), scene.image, [cv2.IMWRITE_JPEG_QUALITY, 92]):
                raise OSError(f"{path} cannot be written; is the disk full?")
            annotation(path.name, scene).write(annotations / f"{stem}.xml")
            stems[split].append(stem)
    stems["trainval"] = stems["train"] + stems["val"]
    for split, names in stems.items():
        (sets / f"{split}.txt").write_text("".join(f"{name}\n" for name in names))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path, help="folder for VOCdevkit")
    for option, default, text in (
        ("--train", 400, "scenes for training"),
        ("--val", 100, "scenes for validation"),
        ("--test", 300, "scenes for the test"),
        ("--size", 160, "width and height of the images, pixels"),
        ("--seed", 0, "seed of digits and scenes"),
    ):
        parser.add_argument(
            option, type=int, default=default, help=f"{text} [{default}]"
        )
    args = parser.parse_args()
    there = (args.out / "VOCdevkit").exists()
    try:
        devkit = write_scenes(**vars(args))
    except (OSError, ValueError) as error:
        raise SystemExit(str(error)) from None
    if there:
        print(f"{devkit} has been made with these settings already; nothing to do")
    else:
        print(f"{devkit}: {args.train} train, {args.val} val, {args.test} test scenes")


if __name__ == "__main__":
    main()
