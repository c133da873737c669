# Printed letters of 92 categories, rendered when they are read: 2,208 images for
# training, 4,416 for testing, 16x16 pixels, one channel. The data set's split="val" has
# styles of its own, to choose settings on.
from mmengine.config import read_base

with read_base():
    from .digits import *  # noqa: F403

data_preprocessor.update(  # noqa: F405
    crop_padding=2, mean=[0.345 * 255], std=[0.242 * 255]
)
letters = dict(type="pckd_mm.LettersDataset", noise=0.2)
train_dataloader.batch_size = 64  # noqa: F405
train_dataloader.dataset.dataset.update(letters)  # noqa: F405
val_dataloader.batch_size = 552  # noqa: F405
val_dataloader.dataset.dataset.update(letters)  # noqa: F405
val_dataloader.dataset.pipeline[1].scale = 16  # noqa: F405
test_dataloader = val_dataloader  # noqa: F405
del letters
