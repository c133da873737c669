# CIFAR-100 as images: data/cifar100/{train,test}/<class>/*.png. Classes in
# alphabetical order are the official labels.
from mmengine.config import read_base

with read_base():
    from .cifar100 import *  # noqa: F403

data_preprocessor.to_rgb = True  # files decode to BGR  # noqa: F405

folder = dict(
    type="pckd_mm.CheckedCustomDataset",
    data_root="data/cifar100",
    pipeline=[dict(type="LoadImageFromFile"), dict(type="PackInputs")],
)
train_dataloader.dataset.dataset = dict(folder, data_prefix="train")  # noqa: F405
val_dataloader.dataset.dataset = dict(folder, data_prefix="test", test_mode=True)  # noqa: F405
# Other files than the data set's may have another size.
val_dataloader.dataset.pipeline = [  # noqa: F405
    dict(type="LoadImageFromFile"),
    dict(type="Resize", scale=32, backend="pillow"),
    dict(type="PackInputs"),
]
test_dataloader = val_dataloader  # noqa: F405
del folder
