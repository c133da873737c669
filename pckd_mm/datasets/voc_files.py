"""Files in the layout of Pascal VOC, whatever their images and classes are."""

import os.path as osp
from typing import Any, List, Sequence

from mmdet.datasets import VOCDataset

from .broken_files import is_local
from .voc_annotations import annotated_ids

__all__ = ["VOCFiles", "is_of_voc"]

# mmdet reads *.jpg.
_OTHERS = (".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")
_ENDINGS = (*_OTHERS, ".JPG", *(ending.upper() for ending in _OTHERS))


class VOCFiles(VOCDataset):
    """mmdet's ``VOCDataset`` for images and classes of one's own.

    Without ``ann_file`` all images are taken that have an annotation; images need not
    be ``*.jpg``. For classes other than VOC's own ``dataset_type`` is None, whatever
    the folder is called: by it mmdet's ``VOCMetric`` would list VOC's names.

    Args:
        **kwargs: Arguments of :class:`mmdet.datasets.VOCDataset`.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not is_of_voc(self._metainfo["classes"]):
            self._metainfo["dataset_type"] = None

    def annotation_folder(self) -> str:
        """Where the annotations are."""
        return osp.join(self.sub_data_root, self.ann_subdir)

    def load_data_list(self) -> List[dict]:
        """Read the annotations that ``ann_file`` lists, or all of them."""
        if self.ann_file:
            return super().load_data_list()
        self.cat2label = {
            name: label for label, name in enumerate(self._metainfo["classes"])
        }
        folder = self.annotation_folder()
        return [
            self.parse_data_info(
                dict(
                    img_id=img_id,
                    file_name=osp.join(self.img_subdir, f"{img_id}.jpg"),
                    xml_path=osp.join(folder, f"{img_id}.xml"),
                )
            )
            for img_id in annotated_ids(folder)
        ]

    def parse_data_info(self, img_info: dict) -> dict:
        """Parse an annotation, with the ending that the image's file has."""
        stem, ending = osp.splitext(osp.join(self.sub_data_root, img_info["file_name"]))
        if is_local(stem, self.backend_args) and not osp.isfile(stem + ending):
            found = next((e for e in _ENDINGS if osp.isfile(stem + e)), ending)
            file_name = osp.splitext(img_info["file_name"])[0] + found
            img_info = dict(img_info, file_name=file_name)
        return super().parse_data_info(img_info)


def is_of_voc(classes: Sequence[str]) -> bool:
    """Whether classes are those of Pascal VOC, in its order.

    Args:
        classes (Sequence[str]): Names.
    """
    return tuple(classes) == VOCDataset.METAINFO["classes"]
