# Image files of any shape at 32x32 pixels, for networks that were trained on CIFAR-100
# and are frozen: its normalisation, flip and crop. For the data sets of transfer, which
# put `shrunk` into their loaders. Images are read and shrunk once, then stay in memory.
from mmengine.config import read_base

with read_base():
    from .cifar100 import *  # noqa: F403

data_preprocessor.to_rgb = True  # files decode to BGR  # noqa: F405

# Pillow averages where it shrinks, as the usual protocol does.
shrunk = [
    dict(type="LoadImageFromFile"),
    dict(type="Resize", scale=32, backend="pillow"),
    dict(type="PackInputs"),
]
