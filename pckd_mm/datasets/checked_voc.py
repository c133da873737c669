"""Pascal VOC that says what is wrong with its files."""

import math
import os.path as osp
import xml.etree.ElementTree as ET
from collections import Counter
from typing import Iterable, List, Optional

from mmcv.transforms import LoadImageFromFile
from mmdet.datasets import VOCDataset
from mmengine.fileio import get_local_path

from pckd_mm.registry import DATASETS
from pckd_mm.utils.printable import printable

from .broken_files import (
    BrokenFileError,
    CheckedImages,
    MissingFileError,
    is_local,
    read_lines,
    shortened,
)

_CORNERS = ("xmin", "ymin", "xmax", "ymax")
# VOC counts pixels from 1, and both corners of a box belong to it. Annotation tools
# that count from 0, or write the first pixel behind a box as its end, are one off:
# harmless in training, and not told apart from VOC by the numbers. More is a mistake.
_SLACK = 1


def _broken(message: str, path: str, error: type = BrokenFileError) -> BrokenFileError:
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
        raise _broken(
            f"{path} has the <size> width={size[0]}, height={size[1]}; expected the "
            "width and the height of the image in whole pixels: correct them.",
            path,
        )
    return [width, height]


def _check_annotation(
    annotation: ET.ElementTree, path: str, classes: Iterable[str]
) -> List[str]:
    """Check what mmdet reads of a VOC annotation.

    Args:
        annotation (ElementTree): The parsed file.
        path (str): Its name, for messages.
        classes (Iterable[str]): Names of the data set. Objects of other names are
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
            raise _broken(
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
            raise _broken(
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
            raise _broken(
                f"{path} has the <bndbox> {found} in {thing}; expected four numbers: "
                "correct it.",
                path,
            )
        # As mmdet does.
        left, top, right, bottom = map(int, box)
        if not (
            1 - _SLACK <= left <= right <= width + _SLACK
            and 1 - _SLACK <= top <= bottom <= height + _SLACK
        ):
            raise _broken(
                f"{path} has the <bndbox> {found} in {thing}; expected 1 <= xmin <= "
                f"xmax <= {width} and 1 <= ymin <= ymax <= {height} for its image of "
                f"{width}x{height} pixels: correct the box or the <size>.",
                path,
            )
    return names


@DATASETS.register_module()
class CheckedVOCDataset(CheckedImages, VOCDataset):
    """Data in the layout of Pascal VOC, refused with the reason where it is damaged.

    The items are those of :class:`mmdet.datasets.VOCDataset`. All annotations of a
    split are checked as they are read at construction, and that the images exist
    (on local storage, unless the pipeline's loading has ``ignore_empty``); what is
    inside of an image is checked when it is loaded. Objects of classes that the data
    set does not have are skipped unchecked, as in mmdet.

    Args:
        skip_broken (bool): Whether images whose annotation is missing or has a defect
            are left out, and images that do not decode are replaced by others, in
            training only. Defaults to False.
        **kwargs: Arguments of :class:`mmdet.datasets.VOCDataset`, such as
            ``data_root``, ``ann_file``, ``data_prefix=dict(sub_data_root=...)`` and
            ``metainfo=dict(classes=...)``.

    Raises:
        FileNotFoundError: At construction, for a split file, annotation or image that
            is missing.
        ValueError: At construction, for a split without images, with one twice, or
            that is no text in UTF-8; for an annotation that is no XML, lacks something
            or has a box outside of its image, names of classes none of which is known,
            a split for training of which filtering leaves nothing, and boxes for
            training without width or height unless ``filter_cfg`` ignores them. When
            an image is loaded, for one that does not decode or is smaller than its
            boxes ask for, whatever its annotation says. Defects of many files are told
            as the first one and their number.
    """

    _expected = "a JPEG image"

    def load_data_list(self) -> List[dict]:
        """Read and check the annotations of the split.

        Returns:
            list[dict]: As :class:`mmdet.datasets.XMLDataset` returns it.

        Raises:
            FileNotFoundError: See the class.
            ValueError: See the class.
        """
        classes = self._metainfo["classes"]
        if isinstance(classes, str):
            raise ValueError(
                f"CheckedVOCDataset found metainfo.classes={classes!r}; expected a "
                f"tuple of names, such as ({classes!r},), or a file with one name a "
                "line."
            )
        if is_local(self.ann_file, self.backend_args):
            if not osp.isfile(self.ann_file):
                raise FileNotFoundError(
                    f"CheckedVOCDataset finds no split file {self.ann_file!r}; "
                    "expected a text file with one image id a line, such as VOC2007/"
                    "ImageSets/Main/trainval.txt: set data_root and ann_file to where "
                    "it is."
                )
            self._check_ids(read_lines(self.ann_file))
        self._checks_images = self._images_are_local()
        self._problems, self._names = [], set()
        data_list = super().load_data_list()
        if not data_list:
            raise ValueError(
                f"{self.ann_file} is empty; expected one image id a line: write it "
                "again."
            )
        if self._problems:
            if not self.skip_broken or len(self._problems) == len(data_list):
                self._raise_problems(len(data_list))
            data_list = [info for info in data_list if info]
            self.broken_files.update(
                (problem.path, str(problem)) for _, problem in self._problems
            )
        self._check_names(len(data_list))
        return data_list

    def _check_ids(self, ids: List[str]) -> None:
        counts = Counter(ids)
        repeated = [name for name, count in counts.items() if name and count > 1]
        if repeated:
            raise ValueError(
                f"{printable(self.ann_file)} lists {len(repeated)} of its "
                f"{len(counts)} ids more than once: {shortened(repeated, 5)}; expected "
                "each image once: take the repeated lines out."
            )

    def _images_are_local(self) -> bool:
        """Whether loading needs the images as local files.

        The pipeline has a storage backend of its own.
        """
        loaders = [
            transform
            for transform in self.pipeline.transforms
            if isinstance(transform, LoadImageFromFile)
        ]
        return is_local(self.sub_data_root, self.backend_args) and all(
            is_local(self.sub_data_root, loader.backend_args)
            and loader.file_client_args is None
            and not loader.ignore_empty
            for loader in loaders
        )

    def parse_data_info(self, img_info: dict) -> dict:
        """Parse an annotation; note a defect, for one error about the whole split.

        Args:
            img_info (dict): ``img_id``, ``file_name`` and ``xml_path``.

        Returns:
            dict: As :class:`mmdet.datasets.XMLDataset` returns it; an empty one in
            place of a defective annotation.
        """
        # mmdet hands on the tree alone.
        self._xml_path = img_info["xml_path"]
        try:
            info = self._parse(img_info)
            if self._checks_images and not osp.isfile(info["img_path"]):
                raise _broken(
                    f"CheckedVOCDataset finds no {info['img_path']}, the image of "
                    f"{self._xml_path}; expected a file *.jpg for each annotation: "
                    f"add it, or take {info['img_id']!r} out of {self.ann_file}.",
                    info["img_path"],
                    MissingFileError,
                )
        except BrokenFileError as problem:
            self._problems.append((img_info["img_id"], problem))
            return {}
        return info

    def _parse(self, img_info: dict) -> dict:
        try:
            return super().parse_data_info(img_info)
        except BrokenFileError:
            raise
        except Exception:
            # mmdet stumbled over the file before _parse_instance_info saw it: say
            # why, if it is the file.
            self._check_file(img_info)
            raise

    def _check_file(self, img_info: dict) -> None:
        path = img_info["xml_path"]
        try:
            with get_local_path(path, backend_args=self.backend_args) as local_path:
                annotation = ET.parse(local_path)
        except FileNotFoundError as error:
            raise _broken(
                f"CheckedVOCDataset finds no {path}, the annotation of image "
                f"{img_info['img_id']!r}; expected one for each line of "
                f"{self.ann_file}, which holds one id a line and no blank ones: set "
                "data_prefix.sub_data_root to the folder of Annotations, add the file "
                "or take the line out.",
                path,
                MissingFileError,
            ) from error
        except (ET.ParseError, LookupError, ValueError) as error:
            raise _broken(
                f"{path} is no well-formed XML ({error}); expected an annotation of "
                "Pascal VOC: correct it or fetch it again.",
                path,
            ) from error
        _check_annotation(annotation, path, self._metainfo["classes"])

    def _parse_instance_info(
        self, raw_ann_info: ET.ElementTree, minus_one: bool = True
    ) -> List[dict]:
        classes, path = self._metainfo["classes"], self._xml_path
        self._names.update(_check_annotation(raw_ann_info, path, classes))
        instances = super()._parse_instance_info(raw_ann_info, minus_one)
        for instance in instances:
            left, top, right, bottom = instance["bbox"]
            if self.test_mode or instance["ignore_flag"]:
                continue
            # mmdet takes the ends of a box as edges, so a box of one pixel has no
            # extent, and its regression targets in the RoI head are not finite.
            if left == right or top == bottom:
                raise _broken(
                    f"{path} has a box of {right - left + 1}x{bottom - top + 1} pixels "
                    f"({classes[instance['bbox_label']]}, xmin={left + 1}, ymin="
                    f"{top + 1}), on which mmdet's losses are not finite; expected two "
                    "pixels or more for training: have mmdet ignore such boxes by "
                    "filter_cfg=dict(bbox_min_size=1), or correct it.",
                    path,
                )
        return instances

    def _raise_problems(self, images: int) -> None:
        _, first = self._problems[0]
        message = str(first)
        if self._or_skip() and len(self._problems) < images:
            message += " With --skip-broken such files are left out of training."
        if len(self._problems) > 1:
            ids = shortened((img_id for img_id, _ in self._problems), 5)
            message += (
                f" Of the {images} images of {self.ann_file}, {len(self._problems)} "
                f"have a defect: {ids}."
            )
        raise type(first)(message, first.path) from first.__cause__

    def _check_names(self, images: int) -> None:
        classes = self._metainfo["classes"]
        if not self._names.isdisjoint(classes):
            return
        if self._names:
            raise ValueError(
                f"The {images} annotations of {self.ann_file} have objects of the "
                f"classes {shortened(sorted(self._names), 20)}; expected some of "
                f"{shortened(classes, 20)}: set metainfo=dict(classes=(...)) of the "
                "data set to the names in its annotations."
            )
        if not self.test_mode:
            raise ValueError(
                f"The {images} annotations of {self.ann_file} have no <object>; "
                f"expected objects of the classes {shortened(classes, 20)} to train "
                "on: annotate the images, or name another ann_file."
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
                f"images of {self.ann_file}: {empty} have no object of the classes "
                f"{shortened(self._metainfo['classes'], 20)}, and their shorter sides "
                f"are {min(sides)} to {max(sides)} pixels; expected some to train on: "
                "lower min_size, or correct metainfo.classes or ann_file."
            )
        return kept

    def describe_image(self, info: dict) -> str:
        """A file and what it is, for messages."""
        what = f"the image of {info['xml_path']} (id {info['img_id']!r})"
        return printable(f"{info['img_path']}, {what},")

    def remedy(self, info: dict) -> str:
        """What can be done about a broken file, for messages."""
        remedy = f"fetch it again, or take its id out of {printable(self.ann_file)}"
        return remedy + self._or_skip()

    def load_image(self, load: LoadImageFromFile, info: dict) -> Optional[dict]:
        """Load an image that holds its boxes; see :class:`CheckedImages`."""
        loaded = super().load_image(load, info)
        if loaded is None:
            return None
        height, width = loaded["ori_shape"]
        corners = [instance["bbox"][2:] for instance in info["instances"]]
        if any(x >= width + _SLACK or y >= height + _SLACK for x, y in corners):
            # Its <size> is wrong, or OpenCV turned it as its EXIF data say.
            turned = (width, height) == (info["height"], info["width"])
            raise BrokenFileError(
                f"{self.describe_image(info)} has {width}x{height} pixels (width x "
                f"height) and a box outside of them; expected {info['width']}x"
                f"{info['height']}, the <size> in its annotation: put the image back "
                "that was annotated, or correct the <size> and the boxes"
                + (
                    "; if an EXIF orientation turns it, load it with "
                    "color_type='color_ignore_orientation'."
                    if turned
                    else "."
                ),
                info["img_path"],
            )
        return loaded
