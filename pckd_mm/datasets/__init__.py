from pckd_mm.utils.dependencies import has_detection

from .broken_files import BrokenFileError, CheckedImages, MissingFileError
from .checked_cifar import CheckedCIFAR100
from .checked_folders import CheckedCustomDataset, CheckedImageNet
from .collate_batches import collate_batches
from .digits import DigitsDataset
from .held_out import content_split, held_out_part, stratified_split
from .in_memory import InMemoryDataset
from .letters import LettersDataset
from .seed_worker import seed_worker
from .stl10 import STL10
from .tiny_imagenet import TinyImageNet
from .transforms import RandomResizedCropViews

__all__ = [
    "BrokenFileError",
    "CheckedCIFAR100",
    "CheckedCustomDataset",
    "CheckedImageNet",
    "CheckedImages",
    "DigitsDataset",
    "InMemoryDataset",
    "LettersDataset",
    "MissingFileError",
    "RandomResizedCropViews",
    "STL10",
    "TinyImageNet",
    "collate_batches",
    "content_split",
    "held_out_part",
    "seed_worker",
    "stratified_split",
]

if has_detection():
    from .checked_coco import CheckedCocoDataset  # noqa: F401
    from .checked_voc import CheckedVOCDataset  # noqa: F401

    __all__ += ["CheckedCocoDataset", "CheckedVOCDataset"]
