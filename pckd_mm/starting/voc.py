"""What is in a folder in the layout of Pascal VOC."""

import xml.etree.ElementTree as ET
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Dict, List, NamedTuple, Optional

from pckd_mm.datasets.broken_files import read_lines
from pckd_mm.datasets.voc_annotations import annotated_ids
from pckd_mm.deployment.images import ENDINGS

from .boxes import Boxes, count_boxes
from .found import SPLITS, UnknownLayoutError

__all__ = ["VOCBoxes", "look_at_voc"]

_ANNOTATIONS, _IMAGES = "Annotations", ("JPEGImages", "images", "Images")
_LISTS = "ImageSets/Main"


@dataclass
class VOCBoxes(Boxes):
    """Images with boxes in the layout of Pascal VOC."""

    layout: ClassVar[str] = "Pascal VOC"
    dataset: ClassVar[str] = "pckd_mm.CheckedVOCDataset"


class _Home(NamedTuple):
    """Annotations and the images that they are of.

    Attributes:
        folder (Path): Where they are.
        annotations (str): Folder of the annotations in it; empty where they lie there.
        images (str): Folder of the images in it.
    """

    folder: Path
    annotations: str
    images: str


def look_at_voc(root: Path) -> Optional[VOCBoxes]:
    """Look at a folder in the layout of Pascal VOC.

    Args:
        root (Path): The folder, with ``JPEGImages`` and ``Annotations`` in it or below,
            or with images and their annotations beside each other.

    Returns:
        VOCBoxes, optional: What is there; None where it is laid out otherwise.

    Raises:
        UnknownLayoutError: Where there are several such folders, or no annotations.
    """
    homes = _homes(root)
    if not homes:
        return None
    splits: Dict[str, Dict[str, Any]] = {}
    by_split = {split: home for home in homes if (split := _split_of(home.folder.name))}
    if len(homes) == 1:
        splits, notes = _listed(root, homes[0])
    elif len(by_split) == len(homes) and "train" in by_split:
        splits, notes = {s: _settings(root, h) for s, h in by_split.items()}, []
    else:
        folders = ", ".join(str(home.folder.relative_to(root)) for home in homes[:5])
        raise UnknownLayoutError(
            f"{root} has {len(homes)} folders in the layout of Pascal VOC ({folders}); "
            f"expected one, or one for each of train, val and test: give --data "
            f"{homes[0].folder}, or put them together."
        )
    counts = {split: _names(root, settings) for split, settings in splits.items()}
    classes = sorted(counts["train"])
    found = VOCBoxes(root, classes, splits, notes=notes)
    others = sorted({n for counter in counts.values() for n in counter} - set(classes))
    if others:
        found.notes.append(
            f"Boxes of {', '.join(others)} are not used: none of them is to train on."
        )
    found.notes += filter(None, map(_images_alone, homes))
    count_boxes(found)
    return found


def _split_of(name: str) -> Optional[str]:
    return next((s for s, names in SPLITS.items() if name.lower() in names), None)


def _homes(root: Path) -> List[_Home]:
    """Where annotations are, each folder once."""
    homes: Dict[Path, _Home] = {}
    for path in sorted(root.rglob("*.xml")):
        parts = path.relative_to(root).parts[:-1]
        if _ANNOTATIONS in parts:
            folder = root.joinpath(*parts[: parts.index(_ANNOTATIONS)])
            homes.setdefault(folder, _Home(folder, _ANNOTATIONS, _image_folder(folder)))
        elif path.parent not in homes and _is_annotation(path):
            homes[path.parent] = _Home(path.parent, "", "")
    if not homes:
        for folder in sorted(root.rglob(_ANNOTATIONS)):
            if folder.is_dir() and _image_folder(folder.parent):
                raise UnknownLayoutError(
                    f"{folder} has no annotations; expected a file *.xml for each "
                    "image in the layout of Pascal VOC: annotate them."
                )
    return list(homes.values())


def _image_folder(folder: Path) -> str:
    return next((name for name in _IMAGES if (folder / name).is_dir()), "")


def _is_annotation(path: Path) -> bool:
    """Whether a file beside others is an annotation of VOC."""
    with open(path, "rb") as file:
        return b"<annotation" in file.read(1000)


def _listed(root: Path, home: _Home) -> tuple:
    """Splits by the lists that VOC has, and what is to be said of them."""
    paths = {
        name: home.folder / _LISTS / f"{name}.txt"
        for name in ("train", "val", "trainval", "test")
    }
    lists = {name: set(read_lines(str(p))) for name, p in paths.items() if p.is_file()}
    lists = {name: ids - {""} for name, ids in lists.items() if ids - {""}}
    annotated = set(annotated_ids(home.folder / home.annotations))
    if not lists:
        return {"train": _settings(root, home)}, []
    notes, names = [], {}
    if "train" in lists:
        names["train"] = "train"
        if "val" in lists:
            names["val"] = "val"
    elif "trainval" in lists:
        names["train"] = "trainval"
    else:
        raise UnknownLayoutError(
            f"{home.folder / _LISTS} has lists of {', '.join(lists)} alone; expected "
            "train.txt, with one image id a line: write it, or remove the lists to "
            "train on all that is annotated."
        )
    # VOC's own test has no annotations of some years.
    if "test" in lists and lists["test"] & annotated:
        names["test"] = "test"
    left = annotated.difference(*(lists[name] for name in names.values()))
    if left:
        notes.append(
            f"{len(left)} annotated images are in none of the lists "
            f"{', '.join(f'{name}.txt' for name in names.values())}, and are not used."
        )
    splits = {
        split: _settings(root, home, paths[name].relative_to(root).as_posix())
        for split, name in names.items()
    }
    return splits, notes


def _settings(root: Path, home: _Home, ann_file: str = "") -> Dict[str, Any]:
    """Settings of the data set."""
    folder = home.folder.relative_to(root).as_posix()
    settings: Dict[str, Any] = {}
    if ann_file:
        settings["ann_file"] = ann_file
    settings["data_prefix"] = dict(sub_data_root="" if folder == "." else f"{folder}/")
    if home.images != _IMAGES[0]:
        settings["img_subdir"] = home.images
    if home.annotations != _ANNOTATIONS:
        settings["ann_subdir"] = home.annotations
    return settings


def _names(root: Path, settings: Dict[str, Any]) -> Counter:
    """Names of the objects of a split, of the files that can be read."""
    folder = root / settings["data_prefix"]["sub_data_root"]
    folder = folder / settings.get("ann_subdir", _ANNOTATIONS)
    ann_file = settings.get("ann_file")
    ids = read_lines(str(root / ann_file)) if ann_file else annotated_ids(folder)
    names: Counter = Counter()
    for name in ids:
        try:
            things = ET.parse(folder / f"{name}.xml").getroot().findall("object")
        except (OSError, ET.ParseError, LookupError, ValueError):
            continue  # the data set says what is wrong with it
        names.update(n for n in (t.findtext("name") or "" for t in things) if n.strip())
    return names


def _images_alone(home: _Home) -> str:
    """What is said about images that have no annotation."""
    folder = home.folder / home.images
    annotated = set(annotated_ids(home.folder / home.annotations))
    alone = [
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in ENDINGS
        and path.relative_to(folder).with_suffix("").as_posix() not in annotated
    ]
    return f"{len(alone)} images in {folder} have no annotation." if alone else ""
