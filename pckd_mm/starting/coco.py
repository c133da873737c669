"""What is in a folder in COCO's layout."""

import json
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Dict, Optional

from pckd_mm.deployment.images import ENDINGS

from .boxes import Boxes, count_boxes
from .found import SPLITS, UnknownLayoutError

__all__ = ["COCOBoxes", "look_at_coco"]

_FOLDER = "annotations"
_KEYS = {"images", "annotations", "categories"}
# Where a file of boxes has others beside it, of captions and keypoints.
_OF_BOXES = "instances"
# Files that are looked for in each folder that may be that of the images.
_TRIED = 20


@dataclass
class COCOBoxes(Boxes):
    """Images with boxes in COCO's layout."""

    layout: ClassVar[str] = "COCO"
    dataset: ClassVar[str] = "pckd_mm.CheckedCocoDataset"


def look_at_coco(root: Path) -> Optional[COCOBoxes]:
    """Look at a folder in COCO's layout.

    Args:
        root (Path): The folder, with ``annotations/*.json``, or with a file of
            annotations in it or in the folders of its splits.

    Returns:
        COCOBoxes, optional: What is there; None where it is laid out otherwise.

    Raises:
        UnknownLayoutError: For a file that is no JSON, files of which it is not clear
            what they are for, two categories of one name, and images that are nowhere.
    """
    files = _files(root)
    if not files:
        return None
    by_split = _by_split(root, files)
    others = [split for split in by_split if split != "train"]
    bare = [split for split in others if not files[by_split[split]]["annotations"]]
    notes = [f"{by_split[s]} has no annotations, and is not used." for s in bare]
    by_split = {s: path for s, path in by_split.items() if s not in bare}
    counts = {split: _names(path, files[path]) for split, path in by_split.items()}
    classes = list(counts["train"])
    splits = {s: _settings(root, p, s, files[p]) for s, p in by_split.items()}
    found = COCOBoxes(root, classes, splits, notes=notes)
    listed = {c["name"] for content in files.values() for c in content["categories"]}
    others = sorted(listed - set(classes))
    if others:
        found.notes.append(
            f"Categories without a box to train on are left out: {', '.join(others)}."
        )
    folders = dict.fromkeys(root / s["data_prefix"]["img"] for s in splits.values())
    found.notes += filter(None, (_images_alone(folder, files) for folder in folders))
    count_boxes(found)
    return found


def _files(root: Path) -> Dict[Path, Any]:
    """Files of annotations, and what they hold."""
    found: Dict[Path, Any] = {}
    for pattern in (f"{_FOLDER}/*.json", "*.json", "*/*.json"):
        for path in sorted(root.glob(pattern)):
            certain = path.parent.name == _FOLDER or "coco" in path.name.lower()
            if path.parent != root and not certain and not _split_of(path.parent.name):
                continue  # of a class's photos, one file each
            content = _read(path, certain)
            if isinstance(content, dict) and content.keys() >= _KEYS:
                found.setdefault(path, content)
    of_boxes = {p: c for p, c in found.items() if _OF_BOXES in p.name.lower()}
    if not found and (root / _FOLDER).is_dir():
        raise UnknownLayoutError(
            f"{root / _FOLDER} has no file of boxes; expected *.json with images, "
            "annotations and categories, as COCO has them: annotate the images."
        )
    return of_boxes or found


def _read(path: Path, certain: bool) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        if not certain:
            return None
        raise UnknownLayoutError(
            f"{path} is no JSON ({error}); expected annotations as COCO has them: "
            "write it again, or fetch it again."
        ) from error


def _by_split(root: Path, files: Dict[Path, Any]) -> Dict[str, Path]:
    """Which file is for what, by its name or that of its folder."""
    splits: Dict[str, Path] = {}
    for path in files:
        names = [path.stem]
        if path.parent not in (root, root / _FOLDER):
            names.append(path.parent.name)
        split = next(filter(None, map(_split_of, names)), None)
        if split is None and len(files) == 1:
            split = "train"
        if split is None or split in splits:
            raise UnknownLayoutError(
                f"{root} has the annotations {', '.join(p.name for p in files)}; "
                "expected one file, or one for each of train, val and test, with that "
                "in its name: rename them, or put them together."
            )
        splits[split] = path
    if "train" not in splits:
        raise UnknownLayoutError(
            f"{root} has annotations of {', '.join(splits)} alone; expected those to "
            "train on, with train in the file's name: rename it."
        )
    return {split: splits[split] for split in SPLITS if split in splits}


def _split_of(name: str) -> Optional[str]:
    words = re.findall(r"[^\W\d_]+", name.lower())
    if "trainval" in words:
        return "train"
    return next((s for s, n in SPLITS.items() if not set(n).isdisjoint(words)), None)


def _names(path: Path, content: Any) -> Counter:
    """Names of the categories that have boxes, in the order of the file."""
    try:
        names = {each["id"]: each["name"] for each in content["categories"]}
        used = Counter(each["category_id"] for each in content["annotations"])
        for image in content["images"]:
            image["file_name"]
    except (KeyError, TypeError) as error:
        raise UnknownLayoutError(
            f"{path} is not laid out as COCO's annotations are ({error!r}); expected "
            "categories with id and name, annotations with category_id, and images "
            "with file_name: write it again."
        ) from error
    named = {number: name for number, name in names.items() if used[number]}
    double = [name for name, n in Counter(named.values()).items() if n > 1]
    if double:
        raise UnknownLayoutError(
            f"{path} has several categories of the name {double[0]}; expected one of "
            "each name: put them together."
        )
    return Counter({name: used[number] for number, name in named.items()})


def _settings(root: Path, path: Path, split: str, content: Any) -> Dict[str, Any]:
    """Settings of the data set."""
    folder = _image_folder(root, path, split, content)
    relative = folder.relative_to(root).as_posix()
    return dict(
        ann_file=path.relative_to(root).as_posix(),
        data_prefix=dict(img="" if relative == "." else f"{relative}/"),
    )


def _image_folder(root: Path, path: Path, split: str, content: Any) -> Path:
    """The folder that has most of the images."""
    name = path.stem.removeprefix(_OF_BOXES).strip("_")
    called = dict.fromkeys([name, *SPLITS[split], split])
    candidates = [path.parent]
    for parent in (root, root / "images"):
        candidates += [parent / each for each in called] + [parent]
    names = [str(each["file_name"]) for each in content["images"][:_TRIED]]

    def there(folder: Path) -> int:
        return sum((folder / name).is_file() for name in names)

    best = max(dict.fromkeys(candidates), key=there)
    if not there(best):
        raise UnknownLayoutError(
            f"{path} has images that are nowhere in {root}, such as "
            f"{names[0] if names else 'none at all'}; expected a folder of them that "
            f"is called {name or split} or images: move them there."
        )
    return best


def _images_alone(folder: Path, files: Dict[Path, Any]) -> str:
    """What is said about images that no file lists."""
    listed = {
        str(each["file_name"])
        for content in files.values()
        for each in content["images"]
    }
    alone = sum(
        each.suffix.lower() in ENDINGS
        and each.relative_to(folder).as_posix() not in listed
        for each in folder.rglob("*")
    )
    return f"{alone} images in {folder} are in no annotations." if alone else ""
