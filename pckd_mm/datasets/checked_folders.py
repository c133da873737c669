"""Folders of images that say what is wrong with their files."""

import logging
import os
import os.path as osp
from typing import Any, Dict, List, Sequence, Set, Tuple

from mmengine.fileio import join_path
from mmengine.logging import print_log
from mmpretrain.datasets import CustomDataset, ImageNet

from pckd_mm.registry import DATASETS
from pckd_mm.utils.printable import printable

from .broken_files import CheckedImages, is_local, read_lines, shortened

__all__ = ["CheckedCustomDataset", "CheckedImageNet", "parse_line"]


def parse_line(line: str, number: int, path: str, classes: int) -> Tuple[str, int]:
    """Read a line of an annotation file, such as ``cats/1.png 3``.

    Args:
        line (str): The line.
        number (int): Its place in the file, from 1, for the message.
        path (str): The file, for the message.
        classes (int): Number of classes, 0 where it is not known.

    Returns:
        tuple[str, int]: Path of the image and its label.

    Raises:
        ValueError: For a line without an image, or whose label is missing, no whole
            number or not that of a class.
    """
    name, _, label = line.strip().rpartition(" ")
    # int() would take "1_0", "+1" and digits of other scripts.
    good = name.strip() and label.isascii() and label.isdigit() and len(label) < 10
    if not good or (classes and int(label) >= classes):
        most = f"0 to {classes - 1}" if classes else "0 or more"
        raise ValueError(
            f"Line {number} of {printable(path)} is '{printable(line[:200])}'; "
            "expected the path of an image, a space and its label, a whole number, "
            f"{most}: correct it."
        )
    return name.strip(), int(label)


def _differing(folders: Sequence[str], classes: Sequence[str]) -> str:
    """What a set of folders has that is not in its classes, and the reverse.

    Empty where no name is in both: then the classes are said in words of their own, as
    those of ImageNet's folders are.
    """
    if not set(folders) & set(classes):
        return ""
    more, fewer = set(folders) - set(classes), set(classes) - set(folders)
    parts = [
        f"{', '.join(map(printable, sorted(names)))} {what}"
        for names, what in ((more, "is no class"), (fewer, "has no folder"))
        if names
    ]
    if not parts and list(folders) != list(classes):
        place = next(i for i, name in enumerate(folders) if name != classes[i])
        parts = [
            f"class {place} is {classes[place]}, and folder {place} {folders[place]}"
        ]
    return "; ".join(parts)


class _CheckedFolders(CheckedImages):
    """What is checked of MMPretrain's folders of images."""

    def __init__(self, *args: Any, allow_empty: bool = False, **kwargs: Any) -> None:
        self.allow_empty = allow_empty
        super().__init__(*args, **kwargs)

    def load_data_list(self) -> List[dict]:
        """List the images with their labels.

        Returns:
            list[dict]: ``img_path`` and, with labels, ``gt_label``.

        Raises:
            FileNotFoundError: See the class.
            ValueError: See the class.
        """
        local = is_local(self.ann_file or self.img_prefix)
        if self.ann_file and self.with_label and local:
            return self._read_annotations()
        if not self.ann_file and local and not osp.isdir(self.img_prefix):
            raise FileNotFoundError(
                f"{self._name} finds no folder {printable(self.img_prefix)}; expected "
                "one with the images: set data_root and data_prefix to where it is."
            )
        return super().load_data_list()

    @property
    def _name(self) -> str:
        return type(self).__name__

    def _read_annotations(self) -> List[dict]:
        path = self.ann_file
        if not osp.isfile(path):
            raise FileNotFoundError(
                f"{self._name} finds no {printable(path)}; expected a text file with "
                "the path of an image and its label in each line: set data_root and "
                "ann_file to where it is."
            )
        classes = len(self.CLASSES or ())
        found: Dict[str, int] = {}
        repeated: List[str] = []
        data_list = []
        for number, line in enumerate(read_lines(path), start=1):
            name, label = parse_line(line, number, path, classes)
            if found.setdefault(name, label) != label:
                raise ValueError(
                    f"Line {number} of {printable(path)} gives {printable(name)} the "
                    f"label {label} and a line before it {found[name]}; expected one "
                    "label for an image: take one of the lines out."
                )
            if len(found) + len(repeated) < number:
                repeated.append(name)
            image = join_path(self.img_prefix, name)
            data_list.append(dict(img_path=image, gt_label=label))
        if not data_list:
            raise ValueError(
                f"{printable(path)} is empty; expected the path of an image and its "
                "label in each line: write it again."
            )
        if repeated:
            self._warn(f"{printable(path)} lists images more than once", repeated)
        return data_list

    def _find_samples(self) -> list:
        """List the images below the folder, with their labels if they have some."""
        root = self.img_prefix
        if not is_local(root):
            return super()._find_samples()
        if self.with_label:
            self._check_folders(root)
        try:
            samples = super()._find_samples()
        except RuntimeError as error:  # what MMPretrain says of no images at all
            raise ValueError(
                f"{self._name} finds no image in {printable(root)} or the folders in "
                f"it; expected files {', '.join(sorted(self.extensions))}: set "
                "data_root and data_prefix to where they are."
            ) from error
        if self.with_label:
            self._check_samples(root, samples)
        return samples

    def _check_folders(self, root: str) -> None:
        folders = sorted(entry.name for entry in os.scandir(root) if entry.is_dir())
        for name in folders:
            if not name.isprintable():
                raise ValueError(
                    f"{self._name} finds a folder named {printable(name)} in "
                    f"{printable(root)}; expected printable UTF-8, since folders name "
                    "the classes: rename it."
                )
        if not folders:
            raise ValueError(
                f"{self._name} finds no folder in {printable(root)}; expected one for "
                "each class: set data_root and data_prefix to the folder of these."
            )
        if self.CLASSES is None:
            return
        differing = _differing(folders, self.CLASSES)
        if differing or len(self.CLASSES) != len(folders):
            raise ValueError(
                f"{printable(root)} has {len(folders)} folders and the data set "
                f"{len(self.CLASSES)} classes{differing and f' ({differing})'}; "
                "expected one for each, in the folders' order: add or remove folders, "
                "or correct the classes of the config, as pckd init --force does."
            )

    def _check_samples(self, root: str, samples: List[Tuple[str, int]]) -> None:
        filled = {label for _, label in samples}
        empty = [
            osp.join(root, name)
            for name, label in self.folder_to_idx.items()
            if label not in filled
        ]
        if empty and not self.allow_empty:
            raise ValueError(
                f"{printable(empty[0])} has no image, as {len(empty)} of the "
                f"{len(self.folder_to_idx)} folders of classes; expected files "
                f"{', '.join(sorted(self.extensions))}: add some, remove the folder "
                "from all splits, or set allow_empty=True."
            )
        stems: Set[str] = set()
        repeated: Dict[str, None] = {}
        for name, _ in samples:
            stem = osp.splitext(name)[0]
            if stem in stems:
                repeated[name] = None
            stems.add(stem)
        if repeated:
            what = f"{printable(root)} has images whose names differ in the ending only"
            self._warn(what, list(repeated))

    def _warn(self, what: str, names: List[str]) -> None:
        print_log(
            f"{what}: {shortened(names, 5)}; expected each image once, since these "
            "count more than others: remove what is there twice.",
            logger="current",
            level=logging.WARNING,
        )


@DATASETS.register_module()
class CheckedCustomDataset(_CheckedFolders, CustomDataset):
    """MMPretrain's ``CustomDataset``, refused with the reason where it is damaged.

    The items are those of :class:`mmpretrain.datasets.CustomDataset`: images in a
    folder for each class, or listed with their labels in ``ann_file``. Folders and
    labels are checked at construction, an image when it is loaded; one that is there
    twice (``a.png`` beside ``a.jpg``, a line that is repeated) makes a warning. On
    storage other than the file system MMPretrain's own checks hold.

    Args:
        allow_empty (bool): Whether a class may have a folder without images. Defaults
            to False.
        skip_broken (bool): Whether images that do not decode are replaced by others,
            in training only. Defaults to False.
        **kwargs: Arguments of :class:`mmpretrain.datasets.CustomDataset`.

    Raises:
        FileNotFoundError: Where the folder, ``ann_file`` or an image is missing.
        ValueError: For no folder of a class, another number of them than
            ``metainfo.classes`` has, or other names where one is in both, in another
            order too, since folders number the labels; a folder without images or with
            a name that is no UTF-8; a line of ``ann_file`` without a label of a class,
            or that contradicts another; an image that does not decode.
    """


@DATASETS.register_module()
class CheckedImageNet(_CheckedFolders, ImageNet):
    """MMPretrain's ``ImageNet``, refused with the reason where it is damaged.

    The items are those of :class:`mmpretrain.datasets.ImageNet`; what is checked is
    what :class:`CheckedCustomDataset` checks.

    Args:
        allow_empty (bool): Whether a class may have a folder without images. Defaults
            to False.
        skip_broken (bool): Whether images that do not decode are replaced by others,
            in training only. Defaults to False.
        **kwargs: Arguments of :class:`mmpretrain.datasets.ImageNet`.

    Raises:
        FileNotFoundError: As :class:`CheckedCustomDataset`.
        ValueError: As :class:`CheckedCustomDataset`.
    """
