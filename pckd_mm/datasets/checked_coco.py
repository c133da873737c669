"""COCO's layout that says what is wrong with its files."""

import json
import math
import os.path as osp
from typing import Any, Callable, Dict, List, Sequence, Union

from mmdet.datasets import CocoDataset

from pckd_mm.registry import DATASETS
from pckd_mm.utils.printable import printable

from .broken_files import is_local
from .checked_boxes import CheckedBoxes
from .voc_annotations import BOX_SLACK, broken


class _InOrderOfClasses(CocoDataset.COCOAPI):
    """COCO's API, whose categories come in the order in which they are asked for."""

    def get_cat_ids(
        self, cat_names: Union[str, Sequence[str]] = (), *args: Any, **kwargs: Any
    ) -> List[Any]:
        """Identifiers of categories.

        Args:
            cat_names (str | Sequence[str]): Their names. Defaults to (), all of them.
            *args: Further arguments of COCO's API.
            **kwargs: Further arguments of COCO's API.

        Returns:
            list: Of each name its identifier, so that its place is its label; None
            where the file has no such category.
        """
        if isinstance(cat_names, str) or not len(cat_names):
            return super().get_cat_ids(list(cat_names), *args, **kwargs)
        by_name: Dict[str, Any] = {}
        for category in self.dataset["categories"]:
            by_name.setdefault(category["name"], category["id"])
        return [by_name.get(name) for name in cat_names]


@DATASETS.register_module()
class CheckedCocoDataset(CheckedBoxes, CocoDataset):
    """Data in COCO's layout, refused with the reason where it is damaged.

    The items are those of :class:`mmdet.datasets.CocoDataset`. A label is a class's
    place in ``metainfo.classes``, in whatever order a file lists its categories: mmdet
    goes by the file, so that names and labels may disagree. An annotation without
    ``area`` has that of its box. Without ``data_prefix.img`` images are in
    ``data_root``.

    Args:
        skip_broken (bool): Whether images whose annotations have a defect are left out,
            and images that do not decode are replaced by others, in training only.
            Defaults to False.
        **kwargs: Arguments of :class:`mmdet.datasets.CocoDataset`, such as
            ``data_root``, ``ann_file``, ``data_prefix=dict(img=...)`` and
            ``metainfo=dict(classes=...)``.

    Raises:
        FileNotFoundError: At construction, for an annotation file or image that is
            missing.
        ValueError: At construction, for a file that is no JSON or lacks what COCO's
            layout has, an image without a size, a box that is no four numbers or lies
            outside of its image, names of classes none of which is known, and a split
            for training of which filtering leaves nothing. When an image is loaded, for
            one that does not decode or is smaller than its boxes ask for.
    """

    COCOAPI = _InOrderOfClasses

    def _id_of(self, raw: dict) -> Any:
        return raw["raw_img_info"]["img_id"]

    def _image_folder(self) -> str:
        return self.data_prefix["img"]

    def _check_listing(self) -> None:
        self.data_prefix.setdefault("img", self.data_root or "")
        local = is_local(self.ann_file, self.backend_args)
        if local and not osp.isfile(self.ann_file):
            raise FileNotFoundError(
                f"CheckedCocoDataset finds no {printable(self.ann_file)}; expected a "
                "file of annotations as COCO has them: set data_root and ann_file to "
                "where it is."
            )

    def _read(self, load: Callable[[], List[dict]]) -> List[dict]:
        try:
            return load()
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise ValueError(
                f"{self._listing()} is no JSON ({error}); expected annotations as COCO "
                "has them: write it again, or fetch it again."
            ) from error
        except (AssertionError, KeyError, TypeError) as error:
            raise ValueError(
                f"{self._listing()} is not laid out as COCO's annotations are "
                f"({type(error).__name__}: {printable(str(error), 300)}); expected "
                "images with id and file_name, categories with id and name, and "
                "annotations with id, image_id, category_id and bbox: write it again."
            ) from error

    def _missing_image(self, raw: dict, path: str) -> str:
        return (
            f"CheckedCocoDataset finds no {path}, an image of {self.ann_file}; "
            "expected a file for each: add it, or set data_prefix.img to the folder of "
            "the images."
        )

    def _parse(self, raw: dict) -> dict:
        image = raw["raw_img_info"]
        path = osp.join(self._image_folder(), str(image["file_name"]))
        where = f"{self.ann_file}: {image['file_name']}"
        size = image.get("width"), image.get("height")
        if not all(isinstance(side, (int, float)) and side >= 1 for side in size):
            raise broken(
                f"{where} has the width and height {size[0]} and {size[1]}; expected "
                "those of the image in whole pixels: correct them.",
                path,
            )
        annotations = []
        for each in raw["raw_ann_info"]:
            category = self.coco.cats.get(each["category_id"])
            if category is None:
                raise broken(
                    f"{where} has an annotation of category_id {each['category_id']}; "
                    "expected the id of one of the file's categories: correct it, or "
                    "add the category.",
                    path,
                )
            name = category["name"]
            self._names.add(name)
            if name not in self._metainfo["classes"]:
                continue
            if not each.get("ignore", False):
                _check_box(each.get("bbox"), size, f"{where} ({name})", path)
            # mmdet drops boxes of no area, and a file may leave it open.
            area = each.get("area") or _area(each.get("bbox"))
            annotations.append({**each, "area": area})
        return super()._parse(dict(raw, raw_ann_info=annotations))

    def describe_image(self, info: dict) -> str:
        """A file and what it is, for messages."""
        return printable(f"{info['img_path']}, an image of {self.ann_file},")


def _check_box(box: Any, size: Sequence[float], thing: str, path: str) -> None:
    """Refuse what is no box, or lies outside of its image."""
    is_box = isinstance(box, (list, tuple)) and len(box) == 4
    if not is_box or not all(
        isinstance(v, (int, float)) and math.isfinite(v) for v in box
    ):
        raise broken(
            f"{thing} has the bbox {box}; expected four numbers, left, top, width and "
            "height: correct it.",
            path,
        )
    left, top, width, height = box
    if (
        min(width, height) < 0
        or min(left, top) < -BOX_SLACK
        or left + width > size[0] + BOX_SLACK
        or top + height > size[1] + BOX_SLACK
    ):
        raise broken(
            f"{thing} has the bbox {list(box)} (left, top, width, height); expected "
            f"one inside of its image of {size[0]}x{size[1]} pixels: correct the box, "
            "or the image's width and height.",
            path,
        )


def _area(box: Any) -> float:
    return box[2] * box[3] if isinstance(box, (list, tuple)) and len(box) == 4 else 0.0
