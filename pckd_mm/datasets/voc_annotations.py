"""What an annotation of Pascal VOC may be."""

import math
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Container, List, Union

from pckd_mm.utils.printable import printable

from .broken_files import BrokenFileError

__all__ = ["BOX_SLACK", "annotated_ids", "broken", "check_annotation"]

_CORNERS = ("xmin", "ymin", "xmax", "ymax")
# VOC counts pixels from 1, and both corners of a box belong to it. Annotation tools
# that count from 0, or write the first pixel behind a box as its end, are one off:
# harmless in training, and not told apart from VOC by the numbers. More is a mistake.
BOX_SLACK = 1


def broken(message: str, path: str, error: type = BrokenFileError) -> BrokenFileError:
    """A defect of a file, in words that can be printed.

    Args:
        message (str): What is wrong, in one sentence that names the file.
        path (str): The file.
        error (type): Kind of the error. Defaults to ``BrokenFileError``.
    """
    return error(printable(message), path)


def _text(parent: ET.Element, path: str) -> str:
    return (parent.findtext(path) or "").strip()


def _check_size(root: ET.Element, path: str) -> List[int]:
    size = [_text(root, f"size/{name}") or "missing" for name in ("width", "height")]
    try:
        width, height = map(int, size)
    except ValueError:
        width = height = 0
    if min(width, height) < 1:
        raise broken(
            f"{path} has the <size> width={size[0]}, height={size[1]}; expected the "
            "width and the height of the image in whole pixels: correct them.",
            path,
        )
    return [width, height]


def check_annotation(
    annotation: "ET.ElementTree[ET.Element]", path: str, classes: Container[str]
) -> List[str]:
    """Check what mmdet reads of a VOC annotation.

    Args:
        annotation (ElementTree): The parsed file.
        path (str): Its name, for messages.
        classes (Container[str]): Names of the data set. Objects of other names are
            skipped in loading, and only need a name.

    Returns:
        list[str]: Name of every object.

    Raises:
        BrokenFileError: Names the first defect: a size, name, box or ``difficult``
            that is missing or no number, a box turned around or outside of the image.
            An annotation without objects is none: its image is all background.
    """
    root, names = annotation.getroot(), []
    width, height = _check_size(root, path)
    for number, item in enumerate(root.findall("object"), start=1):
        # Not stripped: mmdet compares the name as it stands.
        name = item.findtext("name") or ""
        if not name.strip():
            raise broken(
                f"{path} has no <name> in object {number}; expected that of a class: "
                "add it.",
                path,
            )
        names.append(name)
        if name not in classes:
            continue
        thing = f"object {number} ({name})"
        difficult = item.findtext("difficult", "0")
        try:
            int(difficult)
        except ValueError:
            raise broken(
                f"{path} has <difficult> {difficult!r} in {thing}; expected 0 or 1: "
                "correct it, or leave it out for 0.",
                path,
            ) from None
        corners = [_text(item, f"bndbox/{corner}") for corner in _CORNERS]
        found = ", ".join(
            f"{corner}={value or 'missing'}"
            for corner, value in zip(_CORNERS, corners, strict=True)
        )
        try:
            box = [float(value) for value in corners]
        except ValueError:
            box = [math.nan]
        if not all(map(math.isfinite, box)):
            raise broken(
                f"{path} has the <bndbox> {found} in {thing}; expected four numbers: "
                "correct it.",
                path,
            )
        # As mmdet does.
        left, top, right, bottom = map(int, box)
        if not (
            1 - BOX_SLACK <= left <= right <= width + BOX_SLACK
            and 1 - BOX_SLACK <= top <= bottom <= height + BOX_SLACK
        ):
            raise broken(
                f"{path} has the <bndbox> {found} in {thing}; expected 1 <= xmin <= "
                f"xmax <= {width} and 1 <= ymin <= ymax <= {height} for its image of "
                f"{width}x{height} pixels: correct the box or the <size>.",
                path,
            )
    return names


def annotated_ids(folder: Union[str, Path]) -> List[str]:
    """Names of the images that are annotated in a folder, and in those below it.

    Args:
        folder (str | Path): Of annotations, ``*.xml``.

    Returns:
        list[str]: Their paths in it, without the ending, in order.
    """
    paths = Path(folder).rglob("*.xml")
    return sorted(path.relative_to(folder).with_suffix("").as_posix() for path in paths)
