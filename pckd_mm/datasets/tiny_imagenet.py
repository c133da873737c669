"""TinyImageNet in the layout that its authors distribute."""

from pathlib import Path
from typing import Any, Dict, List, Optional

from mmpretrain.datasets import BaseDataset

from pckd_mm.registry import DATASETS
from pckd_mm.utils.printable import printable

from ._common import check_split
from .broken_files import CheckedImages, read_lines


def _lines(path: Path) -> List[str]:
    if not path.is_file():
        raise FileNotFoundError(
            f"TinyImageNet finds no {path}; expected the files of tiny-imagenet-200."
            "zip: unpack it and set data_root to its folder tiny-imagenet-200."
        )
    return read_lines(str(path))


def _images(folder: Path) -> List[str]:
    """Names of the images in a folder, sorted."""
    names = sorted(path.name for path in folder.glob("*.JPEG"))
    if not names:
        raise FileNotFoundError(
            f"TinyImageNet finds no *.JPEG in {folder}; expected the folders of "
            "tiny-imagenet-200.zip: unpack it again."
        )
    return names


def read_classes(root: Path) -> Dict[str, str]:
    """The classes in the order of ``wnids.txt``, with their names in ``words.txt``.

    Args:
        root (Path): The folder ``tiny-imagenet-200``.

    Returns:
        dict[str, str]: WordNet id to name, such as ``{'n02124075': 'Egyptian cat'}``.

    Raises:
        FileNotFoundError: Where one of the files is missing.
        ValueError: For ids that are not unique or have no name.
    """
    ids = [line.strip() for line in _lines(root / "wnids.txt") if line.strip()]
    if not ids or len(set(ids)) < len(ids):
        raise ValueError(
            f"{root / 'wnids.txt'} has {len(ids)} lines, {len(set(ids))} of them "
            "different; expected one WordNet id a line: unpack it again."
        )
    words = (line.partition("\t") for line in _lines(root / "words.txt"))
    names = {wnid.strip(): name.strip() for wnid, tab, name in words if tab}
    nameless = [wnid for wnid in ids if not names.get(wnid)]
    if nameless:
        raise ValueError(
            f"{root / 'words.txt'} has no name for {printable(nameless[0])} and "
            f"{len(nameless)} of {len(ids)} ids in all; expected one for each of "
            "wnids.txt: unpack it again."
        )
    return {wnid: names[wnid] for wnid in ids}


@DATASETS.register_module()
class TinyImageNet(CheckedImages, BaseDataset):
    """TinyImageNet: 200 classes of ImageNet, images of 64x64 pixels.

    100,000 images for training and 10,000 for validation; the images for testing have
    no labels. Labels count the ids in ``wnids.txt``.

    Args:
        data_root (str): The folder ``tiny-imagenet-200``.
        split (str): ``'train'`` or ``'val'``. Defaults to ``'train'``.
        metainfo (dict, optional): Meta information, such as names of the categories.
        skip_broken (bool): Whether images that do not decode are replaced by others,
            in training only. Defaults to False.
        **kwargs: Other arguments of :class:`mmpretrain.datasets.BaseDataset`.

    Raises:
        FileNotFoundError: Names the file or folder that is missing.
        ValueError: For another split, and names an annotation file that is damaged or
            does not fit the images.
    """

    def __init__(
        self,
        data_root: str,
        split: str = "train",
        metainfo: Optional[dict] = None,
        **kwargs: Any,
    ) -> None:
        check_split("TinyImageNet", split, ("train", "val"))
        self.split = split
        classes = read_classes(Path(data_root).expanduser())
        self._labels = {wnid: label for label, wnid in enumerate(classes)}
        metainfo = {"classes": tuple(classes.values()), **(metainfo or {})}
        kwargs.setdefault("test_mode", split == "val")
        super().__init__(
            ann_file="", data_root=str(data_root), metainfo=metainfo, **kwargs
        )

    def load_data_list(self) -> List[dict]:
        """List the images of the split.

        Returns:
            list[dict]: ``img_path`` and ``gt_label`` of each image; for training in
            the order of the classes, for validation in that of the annotation file.
        """
        root = Path(self.data_root).expanduser()
        if self.split == "val":
            return self._load_val(root / "val")
        return [
            dict(img_path=str(folder / name), gt_label=label)
            for wnid, label in self._labels.items()
            for folder in [root / "train" / wnid / "images"]
            for name in _images(folder)
        ]

    def _load_val(self, root: Path) -> List[dict]:
        path, folder = root / "val_annotations.txt", root / "images"
        data_list: List[Dict[str, Any]] = []
        for number, line in enumerate(_lines(path), start=1):
            name, wnid = (line.split("\t") + ["", ""])[:2]
            if wnid not in self._labels:
                raise ValueError(
                    f"Line {number} of {path} is {line!r}; expected the name of an "
                    "image, a tab and an id of wnids.txt: unpack it again."
                )
            label = self._labels[wnid]
            data_list.append(dict(img_path=str(folder / name), gt_label=label))
        listed = {Path(info["img_path"]).name for info in data_list}
        images = set(_images(folder))
        if listed != images or len(listed) < len(data_list):
            example = min(listed ^ images, default="one image twice")
            raise ValueError(
                f"{path} lists {len(data_list)} images and {folder} holds "
                f"{len(images)}; expected the same, found {printable(example)} in "
                "one of them only: unpack both again."
            )
        return data_list

    def extra_repr(self) -> List[str]:
        """Split and place, for the representation of the data set."""
        return [f"Split: \t{self.split} of {self.data_root}"]
