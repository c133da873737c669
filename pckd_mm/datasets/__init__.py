from pckd_mm.utils.dependencies import has_detection

from .digits import DigitsDataset
from .seed_worker import seed_worker
from .stl10 import STL10
from .tiny_imagenet import TinyImageNet
from .transforms import RandomResizedCropViews

__all__ = [
    "DigitsDataset",
    "RandomResizedCropViews",
    "STL10",
    "TinyImageNet",
    "seed_worker",
]

if has_detection():
    from .checked_voc import CheckedVOCDataset  # noqa: F401

    __all__ += ["CheckedVOCDataset"]
