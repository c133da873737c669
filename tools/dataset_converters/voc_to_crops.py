"""Cut the objects of a Pascal VOC devkit into folders of classes.

python tools/dataset_converters/voc_to_crops.py data/VOCdevkit data/transfer

writes OUT/{train,test}/<class>/<year>_<image>_<object>.png, trainval for training, so
that configs/transfer/folder_resnet20.py can be tried on photos.
"""

import argparse
import shutil
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Dict, List, NamedTuple, Sequence

import cv2
import numpy as np

from pckd_mm.datasets.broken_files import read_lines


class Box(NamedTuple):
    """An object: its class and its box, in pixels counted from 1, ends included."""

    name: str
    left: int
    top: int
    right: int
    bottom: int


def read_boxes(path: Path, with_difficult: bool = False) -> Dict[int, Box]:
    """Read the objects of an annotation file.

    Args:
        path (Path): The XML file.
        with_difficult (bool): Whether to take objects marked as difficult. Defaults to
            False.

    Returns:
        dict[int, Box]: Objects by their place in the file, counted from 0.

    Raises:
        ValueError: Names the file, and what is wrong with it.
    """
    try:
        root = ElementTree.parse(path).getroot()
    except ElementTree.ParseError as error:
        raise ValueError(
            f"{path} is no XML ({error}); expected an annotation of Pascal VOC: unpack "
            "it again."
        ) from None
    boxes = {}
    for index, item in enumerate(root.findall("object")):
        if item.findtext("difficult", "0").strip() == "1" and not with_difficult:
            continue
        name = item.findtext("name", "").strip()
        corners = [
            item.findtext(f"bndbox/{side}", "").strip()
            for side in ("xmin", "ymin", "xmax", "ymax")
        ]
        try:
            # Some files of VOC2011 and later give fractions of pixels.
            boxes[index] = Box(name, *[round(float(corner)) for corner in corners])
        except (ValueError, OverflowError):
            name = ""
        if not name or "/" in name or name.startswith("."):
            raise ValueError(
                f"Object {index} of {path} has the name "
                f"{item.findtext('name')!r} and the corners {corners}; expected a "
                "class and four numbers: unpack it again."
            )
    return boxes


def crop(image: np.ndarray, box: Box, path: Path) -> np.ndarray:
    """Cut an object out.

    Args:
        image (np.ndarray): The photo, shape (H, W, 3).
        box (Box): The object.
        path (Path): Annotation file, for the message.

    Returns:
        np.ndarray: The object, shape (h, w, 3).

    Raises:
        ValueError: For a box that is not inside of the photo.
    """
    height, width = image.shape[:2]
    inside = 1 <= box.left <= box.right <= width
    if not (inside and 1 <= box.top <= box.bottom <= height):
        raise ValueError(
            f"{path} has the box {box[1:]} in a photo of {width}x{height} pixels; "
            "expected 1 <= left <= right <= width and 1 <= top <= bottom <= height: "
            "unpack annotation and photo again."
        )
    return image[box.top - 1 : box.bottom, box.left - 1 : box.right]


def split_file(year: Path, split: str) -> Path:
    """Where the names of the photos of a split are."""
    return year / "ImageSets" / "Main" / f"{split}.txt"


def read_split(year: Path, split: str) -> List[str]:
    """Names of the photos of a split.

    Raises:
        FileNotFoundError: Where the split file is missing.
        ValueError: For a file that is no text in UTF-8.
    """
    path = split_file(year, split)
    if not path.is_file():
        raise FileNotFoundError(
            f"There is no {path}; expected a file with the name of a photo a line: "
            "name another split or other --years."
        )
    return [line.split()[0] for line in read_lines(str(path)) if line.strip()]


def convert(
    devkit: Path,
    out: Path,
    years: Sequence[str] = (),
    splits: Sequence[str] = ("trainval", "test"),
    with_difficult: bool = False,
) -> Dict[str, int]:
    """Write the crops of a devkit.

    Each class has a folder in both splits, with or without images, so that the folders
    in alphabetical order mean the same labels.

    Args:
        devkit (Path): Folder with ``VOC2007`` and the like.
        out (Path): Folder to write.
        years (Sequence[str]): Such as ``['2007']``. Defaults to all that are there;
            one may then lack a split, as VOC2012 lacks ``test``.
        splits (Sequence[str]): Split files for training and for testing. Defaults to
            ``('trainval', 'test')``.
        with_difficult (bool): Whether to take objects marked as difficult. Defaults to
            False.

    Returns:
        dict[str, int]: Crops for ``train`` and ``test``.

    Raises:
        FileNotFoundError: Names the file or folder that is missing.
        FileExistsError: Where ``out`` has crops already.
        ValueError: Names the file that is damaged, or splits that share a photo.
    """
    folders = [devkit / f"VOC{year}" for year in years] or sorted(devkit.glob("VOC2*"))
    if not folders:
        raise FileNotFoundError(
            f"There is no VOC2* in {devkit}; expected a devkit with VOC2007 or VOC2012."
        )
    photos = {}
    for part, split in zip(("train", "test"), splits, strict=True):
        having = [year for year in folders if split_file(year, split).is_file()]
        having = folders if years else having or folders
        photos[part] = [(y, stem) for y in having for stem in read_split(y, split)]
    shared = sorted(set(photos["train"]) & set(photos["test"]))
    if shared:
        raise ValueError(
            f"{shared[0][1]} of {shared[0][0]} and {len(shared)} photos in all are "
            f"both in {splits[0]} and in {splits[1]}; expected splits without a common "
            "photo: name others, such as --splits train val."
        )
    for part in photos:
        if (out / part).exists():
            raise FileExistsError(
                f"{out / part} is there already; expected an empty folder to write: "
                "remove it or name another."
            )
    annotations = {
        photo: read_boxes(_annotation(*photo), with_difficult)
        for part in photos.values()
        for photo in part
    }
    names = {box.name for boxes in annotations.values() for box in boxes.values()}
    # Renamed when they are whole.
    partial = {part: out / f"{part}.partial" for part in photos}
    for folder in partial.values():
        shutil.rmtree(folder, ignore_errors=True)
        for name in names:
            (folder / name).mkdir(parents=True)
    counts = dict.fromkeys(photos, 0)
    for part, photos_of_part in photos.items():
        for year, stem in photos_of_part:
            boxes = annotations[year, stem]
            image = _read_photo(year, stem)
            for index, box in boxes.items():
                file = f"{year.name.removeprefix('VOC')}_{stem}_{index}.png"
                content = crop(image, box, _annotation(year, stem))
                path = partial[part] / box.name / file
                if not cv2.imwrite(str(path), content):
                    raise OSError(f"{path} cannot be written; is the disk full?")
                counts[part] += 1
    for part, folder in partial.items():
        folder.rename(out / part)
    return counts


def _annotation(year: Path, stem: str) -> Path:
    path = year / "Annotations" / f"{stem}.xml"
    if not path.is_file():
        raise FileNotFoundError(
            f"There is no {path}; expected an annotation for each photo of the splits: "
            "unpack the devkit again."
        )
    return path


def _read_photo(year: Path, stem: str) -> np.ndarray:
    path = year / "JPEGImages" / f"{stem}.jpg"
    if not path.is_file():
        raise FileNotFoundError(
            f"There is no {path}; expected the photo of each annotation: unpack the "
            "devkit again."
        )
    image = cv2.imread(str(path))
    if image is None:
        raise ValueError(f"{path} is no image; expected a photo: unpack it again.")
    return image


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("devkit", type=Path, help="folder with VOC2007, VOC2012, ...")
    parser.add_argument("out", type=Path, help="folder to write")
    parser.add_argument(
        "--years", nargs="+", default=[], help="such as 2007 [all that are there]"
    )
    parser.add_argument(
        "--splits",
        nargs=2,
        default=["trainval", "test"],
        metavar=("TRAIN", "TEST"),
        help="split files for training and for testing [trainval test]",
    )
    parser.add_argument(
        "--with-difficult", action="store_true", help="take difficult objects too"
    )
    args = parser.parse_args()
    try:
        counts = convert(
            args.devkit, args.out, args.years, args.splits, args.with_difficult
        )
    except (OSError, ValueError) as error:
        raise SystemExit(str(error)) from None
    print(f"{counts['train']} crops for training, {counts['test']} for testing")


if __name__ == "__main__":
    main()
