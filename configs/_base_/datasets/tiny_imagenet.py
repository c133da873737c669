# TinyImageNet, data/tiny-imagenet-200/ as distributed, shrunk from 64 to 32 pixels;
# tested on its validation images, the others have no labels.
from mmengine.config import read_base

with read_base():
    from .transfer_32x32 import *  # noqa: F403

tiny = dict(
    type="pckd_mm.TinyImageNet",
    data_root="data/tiny-imagenet-200",
    pipeline=shrunk,  # noqa: F405
)
train_dataloader.dataset.dataset = dict(tiny, split="train")  # noqa: F405
val_dataloader.dataset.dataset = dict(tiny, split="val", test_mode=True)  # noqa: F405
val_dataloader.dataset.pipeline = shrunk  # noqa: F405
test_dataloader = val_dataloader  # noqa: F405
del tiny, shrunk
