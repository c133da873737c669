"""Pascal VOC that says what is wrong with its files."""

import os.path as osp
import xml.etree.ElementTree as ET
from collections import Counter
from typing import List

from mmengine.fileio import get_local_path

from pckd_mm.registry import DATASETS
from pckd_mm.utils.printable import printable

from .broken_files import (
    BrokenFileError,
    MissingFileError,
    is_local,
    read_lines,
    shortened,
)
from .checked_boxes import CheckedBoxes
from .voc_annotations import broken, check_annotation
from .voc_files import VOCFiles


@DATASETS.register_module()
class CheckedVOCDataset(CheckedBoxes, VOCFiles):
    """Data in the layout of Pascal VOC, refused with the reason where it is damaged.

    The items are those of :class:`mmdet.datasets.VOCDataset`. All annotations of a
    split are checked as they are read at construction, and that the images exist
    (on local storage, unless the pipeline's loading has ``ignore_empty``); what is
    inside of an image is checked when it is loaded. Objects of classes that the data
    set does not have are skipped unchecked, as in mmdet.

    Without ``ann_file`` the split is all images that are annotated; images may have
    other endings than ``.jpg``.

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
    _box = "<object>"
    _size = "<size>"

    def _id_of(self, raw: dict) -> str:
        return raw["img_id"]

    def _listing(self) -> str:
        return printable(self.ann_file or self.annotation_folder())

    def _image_folder(self) -> str:
        return self.sub_data_root

    def _check_listing(self) -> None:
        if not self.ann_file or not is_local(self.ann_file, self.backend_args):
            return
        if not osp.isfile(self.ann_file):
            raise FileNotFoundError(
                f"CheckedVOCDataset finds no split file {self.ann_file!r}; "
                "expected a text file with one image id a line, such as VOC2007/"
                "ImageSets/Main/trainval.txt: set data_root and ann_file to where "
                "it is."
            )
        counts = Counter(read_lines(self.ann_file))
        repeated = [name for name, count in counts.items() if name and count > 1]
        if repeated:
            raise ValueError(
                f"{printable(self.ann_file)} lists {len(repeated)} of its "
                f"{len(counts)} ids more than once: {shortened(repeated, 5)}; expected "
                "each image once: take the repeated lines out."
            )

    def _nothing(self) -> str:
        if not self.ann_file:
            return (
                f"{self._listing()} has no annotations; expected a file *.xml for each "
                "image: annotate them, or set data_root to where they are."
            )
        return (
            f"{self.ann_file} is empty; expected one image id a line: write it again."
        )

    def _missing_image(self, raw: dict, path: str) -> str:
        annotation = raw["xml_path"]
        other = (
            f"take {raw['img_id']!r} out of {self.ann_file}"
            if self.ann_file
            else "remove its annotation"
        )
        return (
            f"CheckedVOCDataset finds no {path}, the image of {annotation}; expected a "
            f"file *.jpg for each annotation: add it, or {other}."
        )

    def _parse(self, raw: dict) -> dict:
        # mmdet hands on the tree alone.
        self._xml_path = raw["xml_path"]
        try:
            return super()._parse(raw)
        except BrokenFileError:
            raise
        except Exception:
            # mmdet stumbled over the file before _parse_instance_info saw it: say
            # why, if it is the file.
            self._check_file(raw)
            raise

    def _check_file(self, img_info: dict) -> None:
        path = img_info["xml_path"]
        try:
            with get_local_path(path, backend_args=self.backend_args) as local_path:
                annotation = ET.parse(local_path)
        except FileNotFoundError as error:
            raise broken(
                f"CheckedVOCDataset finds no {path}, the annotation of image "
                f"{img_info['img_id']!r}; expected one for each line of "
                f"{self.ann_file}, which holds one id a line and no blank ones: set "
                "data_prefix.sub_data_root to the folder of Annotations, add the file "
                "or take the line out.",
                path,
                MissingFileError,
            ) from error
        except (ET.ParseError, LookupError, ValueError) as error:
            raise broken(
                f"{path} is no well-formed XML ({error}); expected an annotation of "
                "Pascal VOC: correct it or fetch it again.",
                path,
            ) from error
        check_annotation(annotation, path, self._metainfo["classes"])

    def _parse_instance_info(
        self, raw_ann_info: "ET.ElementTree[ET.Element]", minus_one: bool = True
    ) -> List[dict]:
        classes, path = self._metainfo["classes"], self._xml_path
        self._names.update(check_annotation(raw_ann_info, path, classes))
        instances = super()._parse_instance_info(raw_ann_info, minus_one)
        for instance in instances:
            left, top, right, bottom = instance["bbox"]
            if self.test_mode or instance["ignore_flag"]:
                continue
            # mmdet takes the ends of a box as edges, so a box of one pixel has no
            # extent, and its regression targets in the RoI head are not finite.
            if left == right or top == bottom:
                raise broken(
                    f"{path} has a box of {right - left + 1}x{bottom - top + 1} pixels "
                    f"({classes[instance['bbox_label']]}, xmin={left + 1}, ymin="
                    f"{top + 1}), on which mmdet's losses are not finite; expected two "
                    "pixels or more for training: have mmdet ignore such boxes by "
                    "filter_cfg=dict(bbox_min_size=1), or correct it.",
                    path,
                )
        return instances

    def describe_image(self, info: dict) -> str:
        """A file and what it is, for messages."""
        what = f"the image of {info['xml_path']} (id {info['img_id']!r})"
        return printable(f"{info['img_path']}, {what},")

    def remedy(self, info: dict) -> str:
        """What can be done about a broken file, for messages."""
        other = "remove it and its annotation"
        if self.ann_file:
            other = f"take its id out of {self._listing()}"
        return f"fetch it again, or {other}{self._or_skip()}"
