# Any images, data/transfer/{train,test}/<class>/*, at 32x32 whatever their shape. Both
# splits need a folder of each class, since the labels are the folders' places in
# alphabetical order. Normalisation, flip and crop are those of CIFAR-100, which the
# frozen networks were trained with.
from mmengine.config import read_base

with read_base():
    from .cifar100 import *  # noqa: F403

data_preprocessor.to_rgb = True  # files decode to BGR  # noqa: F405

# Pillow averages where it shrinks, as the usual protocol does.
folder = dict(
    type="CustomDataset",
    data_root="data/transfer",
    pipeline=[
        dict(type="LoadImageFromFile"),
        dict(type="Resize", scale=32, backend="pillow"),
        dict(type="PackInputs"),
    ],
)
train_dataloader.dataset = dict(folder, data_prefix="train")  # noqa: F405
val_dataloader.dataset = dict(folder, data_prefix="test")  # noqa: F405
test_dataloader = val_dataloader  # noqa: F405
del folder
