# The labelled images of STL-10, data/stl10/stl10_binary/*.bin as distributed, shrunk
# from 96 to 32 pixels.
from mmengine.config import read_base

with read_base():
    from .transfer_32x32 import *  # noqa: F403

# No image files: the data set holds the images, as RGB.
data_preprocessor.to_rgb = False  # noqa: F405
stl10 = dict(type="pckd_mm.STL10", data_root="data/stl10", pipeline=shrunk[1:])
train_dataloader.dataset.dataset = dict(stl10, split="train")  # noqa: F405
val_dataloader.dataset.dataset = dict(stl10, split="test", test_mode=True)  # noqa: F405
test_dataloader = val_dataloader  # noqa: F405
del stl10, shrunk
