"""Which layout a folder has."""

from pathlib import Path

from .coco import look_at_coco
from .folders import look_at_photos
from .found import Found
from .voc import look_at_voc

__all__ = ["look_at"]


def look_at(root: Path) -> Found:
    """Look at a folder of images.

    Args:
        root (Path): A folder with a folder for each category, or with ``train``,
            ``val`` and ``test`` folders of such; or one in the layout of Pascal VOC or
            COCO, with boxes.

    Returns:
        Found: What is there; broken files are listed, and not counted.

    Raises:
        FileNotFoundError: Where there is no such folder.
        UnknownLayoutError: Where it is laid out as none of them.
    """
    if root.is_file():
        raise FileNotFoundError(f"{root} is a file; expected the folder of the images.")
    if not root.is_dir():
        raise FileNotFoundError(
            f"There is no folder {root}; expected that of the images."
        )
    return look_at_voc(root) or look_at_coco(root) or look_at_photos(root)
