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
