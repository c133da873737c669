"""Image files as a network's inputs."""

from pathlib import Path
from typing import List, Sequence, Union

import cv2
import torch
from mmcv.transforms import Compose
from mmengine.fileio import list_dir_or_file
from torch import Tensor

from pckd_mm.registry import TRANSFORMS

__all__ = [
    "ENDINGS",
    "UnreadableImageError",
    "build_steps",
    "files_below",
    "image_files",
    "images_in",
    "read_image",
    "read_input",
    "read_inputs",
]

# Those that MMPretrain's data sets read, and some more.
ENDINGS = (".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")


class UnreadableImageError(ValueError):
    """A file that is no image."""


def files_below(folder: Path, recursive: bool = True) -> List[Path]:
    """Files in a folder and those below it, as the data sets of a training find them.

    They follow links, and leave out names that begin with a dot, such as the ``._*`` of
    macOS.

    Args:
        folder (Path): The folder.
        recursive (bool): Whether to go into the folders in it. Defaults to True.

    Returns:
        list[Path]: The files, in order.
    """
    names = list_dir_or_file(folder, list_dir=False, recursive=recursive)
    return sorted(folder / name for name in names)


def images_in(folder: Path, recursive: bool = True) -> List[Path]:
    """Those of :func:`files_below` whose names end as those of images do."""
    files = files_below(folder, recursive)
    return [path for path in files if path.suffix.lower() in ENDINGS]


def image_files(paths: Sequence[Union[str, Path]], most: int = 0) -> List[str]:
    """The image files that are named, and those below the folders that are.

    Args:
        paths (Sequence[str | Path]): Files and folders.
        most (int): No more than so many; 0 for all. Defaults to 0.

    Returns:
        list[str]: Their paths, those of a folder in order.

    Raises:
        FileNotFoundError: For a path that is not there, and a folder without images.
    """
    found: List[str] = []
    for path in map(Path, paths):
        if path.is_dir():
            inside = images_in(path)
            if not inside:
                raise FileNotFoundError(
                    f"The folder {path} has no images; expected files named "
                    f"*{', *'.join(ENDINGS)}."
                )
            found += map(str, inside)
        elif path.is_file():
            found.append(str(path))
        else:
            raise FileNotFoundError(f"There is no {path}; expected images or a folder.")
    return found[:most] if most else found


def read_inputs(files: Sequence[str], pipeline: Sequence[dict]) -> Tensor:
    """What a pipeline makes of image files.

    Args:
        files (Sequence[str]): Their paths.
        pipeline (Sequence[dict]): Configs of the steps, which give images of one size.

    Returns:
        Tensor: Images before they are normalised, shape (N, C, H, W), 0 to 255.

    Raises:
        UnreadableImageError: For a file that is no image.
        ValueError: Where no step loads a file.
    """
    steps = build_steps(pipeline)
    return torch.stack([read_input(file, steps) for file in files]).float()


def build_steps(pipeline: Sequence[dict]) -> Compose:
    """Build the steps of a pipeline, once for all files.

    Args:
        pipeline (Sequence[dict]): Their configs.

    Returns:
        Compose: The steps.
    """
    return Compose([TRANSFORMS.build(dict(step)) for step in pipeline])


def read_image(file: str, steps: Compose) -> dict:
    """What steps make of an image file.

    Args:
        file (str): Its path.
        steps (Compose): What :func:`build_steps` gives.

    Returns:
        dict: What they make of it.

    Raises:
        UnreadableImageError: For a file that is no image.
    """
    try:
        return steps(dict(img_path=file, img_id=0))
    except (AssertionError, OSError, ValueError, cv2.error) as error:
        raise UnreadableImageError(
            f"{file} cannot be read as an image; expected one: leave it out."
        ) from error


def read_input(file: str, steps: Compose) -> Tensor:
    """The input of a network that steps make of an image file.

    Args:
        file (str): Its path.
        steps (Compose): What :func:`build_steps` gives.

    Returns:
        Tensor: The image, shape (C, H, W).

    Raises:
        UnreadableImageError: For a file that is no image.
        ValueError: Where no step loads a file.
    """
    made = read_image(file, steps)
    if "inputs" not in made:
        raise ValueError(
            "The test pipeline of the config makes no input of a file; expected a step "
            "that loads it, such as LoadImageFromFile, and PackInputs at its end: add "
            "them to test_dataloader, and name that config by --config."
        )
    return made["inputs"]
