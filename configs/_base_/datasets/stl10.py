# The labelled images of STL-10, data/stl10/stl10_binary/*.bin as distributed, shrunk
# from 96 to 32 pixels. Normalisation, flip and crop are those of CIFAR-100, which the
# frozen networks were trained with.
from mmengine.config import read_base

with read_base():
    from .cifar100 import *  # noqa: F403

# Pillow averages where it shrinks, as the usual protocol does.
shrunk = [
    dict(type="Resize", scale=32, backend="pillow"),
    dict(type="PackInputs"),
]
train_dataloader.dataset = dict(  # noqa: F405
    type="pckd_mm.STL10", data_root="data/stl10", split="train", pipeline=shrunk
)
val_dataloader.dataset = dict(  # noqa: F405
    type="pckd_mm.STL10", data_root="data/stl10", split="test", pipeline=shrunk
)
test_dataloader = val_dataloader  # noqa: F405
del shrunk
