"""What no decoder tells of an image file: that it is huge, or cut off."""

import warnings
from typing import Callable, Optional, Tuple, TypeVar

from PIL import Image

__all__ = ["MOST_PIXELS", "load_whole", "turned_size"]

_Loaded = TypeVar("_Loaded")
# Pixels of the largest image that is decoded: a header of a few bytes can ask for any
# number, and memory and time for them. Pillow opens none with more.
MOST_PIXELS = 178_956_970
# Enough to find the end of a JPEG file in, but for rare files with more behind it.
_TAIL = 1024
# Number of the orientation in EXIF data, and those that change width and height.
_ORIENTATION, _QUARTER_TURNS = 0x0112, (5, 6, 7, 8)
_JPEG, _SCAN, _END = b"\xff\xd8\xff", b"\xff\xda", b"\xff\xd9"


def load_whole(path: str, load: Callable[[], _Loaded]) -> _Loaded:
    """Load an image file that is not too large, and whole.

    Args:
        path (str): The file.
        load (Callable): Loads it.

    Returns:
        What ``load`` returns.

    Raises:
        ValueError: For more than :data:`MOST_PIXELS` pixels, before they are decoded,
            and for a JPEG file without its end.
    """
    _check_size(path)
    loaded = load()
    _check_end(path)
    return loaded


def turned_size(path: str) -> Optional[Tuple[int, int]]:
    """Size of an image that its EXIF orientation turns by a quarter, as it is shown.

    Args:
        path (str): The file.

    Returns:
        tuple[int, int], optional: Width and height; None for other files.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path) as image:
                if image.getexif().get(_ORIENTATION) in _QUARTER_TURNS:
                    return image.height, image.width
    except Exception:  # noqa: S110  the decoder says what it is
        pass
    return None


def _check_size(path: str) -> None:
    """Refuse what its header declares to be huge, before memory is taken for it."""
    try:
        with warnings.catch_warnings():
            # Pillow's warnings begin at half of that.
            warnings.simplefilter("ignore")
            with Image.open(path) as image:
                width, height = image.size
    except Image.DecompressionBombError as error:
        raise ValueError(str(error)) from error
    except Exception:
        return  # what it is, or is not, the decoder says
    if width * height > MOST_PIXELS:
        raise ValueError(f"{width}x{height} are more than {MOST_PIXELS} pixels")


def _check_end(path: str) -> None:
    """Refuse a JPEG file that is cut off, whose rest many decoders make up."""
    with open(path, "rb") as file:
        if file.read(len(_JPEG)) != _JPEG:
            return
        length = file.seek(0, 2)
        file.seek(max(0, length - _TAIL))
        tail = file.read()
        if _END not in tail:
            file.seek(0)
            tail = file.read()
    # Where a scan begins behind the last end, that was the end of a preview image.
    end = tail.rfind(_END)
    if end < 0 or _SCAN in tail[end:]:
        raise ValueError("its end is missing")
