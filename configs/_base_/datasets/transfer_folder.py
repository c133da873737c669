# Any images, data/transfer/{train,test}/<class>/*, at 32x32 whatever their shape. Both
# splits need a folder of each class, since the labels are the folders' places in
# alphabetical order.
from mmengine.config import read_base

with read_base():
    from .transfer_32x32 import *  # noqa: F403

folder = dict(
    type="pckd_mm.CheckedCustomDataset",
    data_root="data/transfer",
    allow_empty=True,  # voc_to_crops.py has classes that are in one split only
    pipeline=shrunk,
)
train_dataloader.dataset.dataset = dict(folder, data_prefix="train")  # noqa: F405
val_dataloader.dataset.dataset = dict(folder, data_prefix="test", test_mode=True)  # noqa: F405
val_dataloader.dataset.pipeline = shrunk  # noqa: F405
test_dataloader = val_dataloader  # noqa: F405
del folder, shrunk
