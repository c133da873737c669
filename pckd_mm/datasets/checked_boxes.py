"""Images with boxes: what is wrong with a split, told in one error, or left out."""

import os.path as osp
from typing import Any, Callable, List, Optional, Tuple

from mmcv.transforms import LoadImageFromFile

from pckd_mm.utils.printable import printable

from .broken_files import (
    BrokenFileError,
    CheckedImages,
    MissingFileError,
    is_local,
    shortened,
)
from .image_checks import turned_size
from .voc_annotations import BOX_SLACK, broken

__all__ = ["CheckedBoxes"]


class CheckedBoxes(CheckedImages):
    """What data sets of images with boxes share: one error about a whole split.

    Comes before one of mmdet's data sets among the bases of a class, which says how an
    image is named (:meth:`_id_of`), where the split is listed (:meth:`_listing`) and
    what it was parsed of (:meth:`_parse`).

    Args:
        skip_broken (bool): Whether images whose annotation is missing or has a defect
            are left out, and images that do not decode are replaced by others, in
            training only. Defaults to False.
        **kwargs: Arguments of the data set.
    """

    # What annotations are called, a box in them, and where the size of an image stands.
    _annotations = "annotations"
    _box = "box"
    _size = "size"

    def _id_of(self, raw: dict) -> Any:
        """What an image is called in its split."""
        raise NotImplementedError

    def _listing(self) -> str:
        """The file or folder that lists the images of the split."""
        return printable(str(self.ann_file))

    def _image_folder(self) -> str:
        """Where the images are."""
        raise NotImplementedError

    def _parse(self, raw: dict) -> dict:
        """Parse an annotation; raise a :class:`BrokenFileError` for a defect."""
        return super().parse_data_info(raw)

    def _missing_image(self, raw: dict, path: str) -> str:
        """What is said about an image that is not there."""
        raise NotImplementedError

    def load_data_list(self) -> List[dict]:
        """Read and check the annotations of the split.

        Returns:
            list[dict]: As the data set of mmdet returns it.

        Raises:
            FileNotFoundError: See the class.
            ValueError: See the class.
        """
        classes = self._metainfo["classes"]
        if isinstance(classes, str):
            raise ValueError(
                f"{type(self).__name__} found metainfo.classes={classes!r}; expected a "
                f"tuple of names, such as ({classes!r},), or a file with one name a "
                "line."
            )
        self._check_listing()
        self._checks_images = self._images_are_local()
        self._problems: List[Tuple[Any, BrokenFileError]] = []
        self._names: set = set()
        data_list = self._read(super().load_data_list)
        if not data_list:
            raise ValueError(self._nothing())
        if self._problems:
            leaves_out = self.skip_broken or self.leave_out_broken
            if not leaves_out or len(self._problems) == len(data_list):
                self._raise_problems(len(data_list))
            data_list = [info for info in data_list if info]
            self.broken_files.update(
                (problem.path, str(problem)) for _, problem in self._problems
            )
        self._check_names(len(data_list))
        return data_list

    def _check_listing(self) -> None:
        """Refuse a split that is not there, before mmdet reads it."""

    def _read(self, load: Callable[[], List[dict]]) -> List[dict]:
        """Load the split, with what mmdet stumbles over put into words."""
        return load()

    def _nothing(self) -> str:
        return f"{self._listing()} has no images; expected some: annotate them."

    def _images_are_local(self) -> bool:
        """Whether loading needs the images as local files.

        The pipeline has a storage backend of its own.
        """
        loaders = [
            transform
            for transform in self.pipeline.transforms
            if isinstance(transform, LoadImageFromFile)
        ]
        folder = self._image_folder()
        return is_local(folder, self.backend_args) and all(
            is_local(folder, loader.backend_args)
            and loader.file_client_args is None
            and not loader.ignore_empty
            for loader in loaders
        )

    def parse_data_info(self, raw: dict) -> dict:
        """Parse an annotation; note a defect, for one error about the whole split.

        Args:
            raw (dict): What the data set of mmdet parses.

        Returns:
            dict: As the data set of mmdet returns it; an empty one in place of a
            defective annotation.
        """
        try:
            info = self._parse(raw)
            path = info["img_path"]
            if self._checks_images and not osp.isfile(path):
                raise broken(self._missing_image(raw, path), path, MissingFileError)
        except BrokenFileError as problem:
            self._problems.append((self._id_of(raw), problem))
            return {}
        return info

    def _raise_problems(self, images: int) -> None:
        _, first = self._problems[0]
        message = str(first)
        if self._or_skip() and len(self._problems) < images:
            message += " With --skip-broken such files are left out of training."
        if len(self._problems) > 1:
            ids = shortened((str(img_id) for img_id, _ in self._problems), 5)
            message += (
                f" Of the {images} images of {self._listing()}, {len(self._problems)} "
                f"have a defect: {ids}."
            )
        raise type(first)(message, first.path) from first.__cause__

    def _check_names(self, images: int) -> None:
        classes = self._metainfo["classes"]
        if not self._names.isdisjoint(classes):
            return
        what = f"The {images} {self._annotations} of {self._listing()} have"
        if self._names:
            raise ValueError(
                f"{what} objects of the classes {shortened(sorted(self._names), 20)}; "
                f"expected some of {shortened(classes, 20)}: set metainfo="
                "dict(classes=(...)) of the data set to the names in its annotations."
            )
        if not self.test_mode:
            raise ValueError(
                f"{what} no {self._box}; expected objects of the classes "
                f"{shortened(classes, 20)} to train on: annotate the images, or name "
                "another ann_file."
            )

    def filter_data(self) -> List[dict]:
        """Filter the images as ``filter_cfg`` says.

        Returns:
            list[dict]: Those that are left.

        Raises:
            ValueError: For training on none.
        """
        kept = super().filter_data()
        if not kept:
            sides = [min(info["width"], info["height"]) for info in self.data_list]
            empty = sum(not info["instances"] for info in self.data_list)
            raise ValueError(
                f"filter_cfg={dict(self.filter_cfg)} leaves none of the {len(sides)} "
                f"images of {self._listing()}: {empty} have no object of the classes "
                f"{shortened(self._metainfo['classes'], 20)}, and their shorter sides "
                f"are {min(sides)} to {max(sides)} pixels; expected some to train on: "
                "lower min_size, or correct metainfo.classes or ann_file."
            )
        return kept

    def load_image(self, load: LoadImageFromFile, info: dict) -> Optional[dict]:
        """Load an image that holds its boxes; see :class:`CheckedImages`."""
        loaded = super().load_image(load, info)
        if loaded is None:
            return None
        height, width = loaded["ori_shape"]
        corners = [instance["bbox"][2:] for instance in info["instances"]]
        outside = any(
            x >= width + BOX_SLACK or y >= height + BOX_SLACK for x, y in corners
        )
        swapped = (width, height) == (info["height"], info["width"]) != (height, width)
        path = info["img_path"]
        turned = swapped and turned_size(path) is not None
        # One without boxes is no less an image.
        if outside or (turned and corners):
            boxes = "a box outside of them" if outside else "boxes as it was before"
            why = ", since its EXIF orientation turns it," if turned else ""
            raise BrokenFileError(
                f"{self.describe_image(info)} has {width}x{height} pixels (width x "
                f"height){why} and {boxes}; expected {info['width']}x"
                f"{info['height']}, the {self._size} in its annotation: put the image "
                f"back that was annotated, or correct the {self._size} and the boxes"
                + (
                    "; or load it as it is stored, with "
                    "color_type='color_ignore_orientation' of LoadImageFromFile."
                    if turned
                    else "."
                ),
                path,
            )
        return loaded
