# TinyImageNet, data/tiny-imagenet-200/ as distributed, shrunk from 64 to 32 pixels;
# tested on its validation images, the others have no labels. Normalisation, flip and
# crop are those of CIFAR-100, which the frozen networks were trained with.
from mmengine.config import read_base

with read_base():
    from .cifar100 import *  # noqa: F403

data_preprocessor.to_rgb = True  # files decode to BGR  # noqa: F405

# Pillow averages where it shrinks, as the usual protocol does.
tiny = dict(
    type="pckd_mm.TinyImageNet",
    data_root="data/tiny-imagenet-200",
    pipeline=[
        dict(type="LoadImageFromFile"),
        dict(type="Resize", scale=32, backend="pillow"),
        dict(type="PackInputs"),
    ],
)
train_dataloader.dataset = dict(tiny, split="train")  # noqa: F405
val_dataloader.dataset = dict(tiny, split="val")  # noqa: F405
test_dataloader = val_dataloader  # noqa: F405
del tiny
