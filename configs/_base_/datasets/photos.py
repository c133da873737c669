# Photos of any size in a folder for each class, such as pckd init finds them. A config
# sets data_root, classes and size (see there); a part that is held out validates.
from mmengine.config import read_base

with read_base():
    from .imagenet import *  # noqa: F403

_photos = dict(type="pckd_mm.CheckedCustomDataset", data_root="photos")
_part = dict(type="pckd_mm.held_out_part", share=0.2, by="content")

train_dataloader.update(  # noqa: F405
    batch_size=32,
    num_workers=2,
    dataset=dict(
        part="train",
        dataset=dict(
            pipeline=[
                dict(type="LoadImageFromFile"),
                dict(type="pckd_mm.RandomResizedCropViews", scale=224),
                dict(type="PackInputs"),
            ],
            **_photos,
        ),
        **_part,
    ),
)
val_dataloader.update(  # noqa: F405
    batch_size=64,
    num_workers=2,
    dataset=dict(
        part="val",
        dataset=dict(
            pipeline=[
                dict(type="LoadImageFromFile"),
                dict(type="ResizeEdge", scale=256, edge="short"),
                dict(type="CenterCrop", crop_size=224),
                dict(type="PackInputs"),
            ],
            test_mode=True,
            **_photos,
        ),
        **_part,
    ),
)
val_evaluator = dict(type="Accuracy", topk=(1,))
test_dataloader = val_dataloader  # noqa: F405
test_evaluator = val_evaluator
