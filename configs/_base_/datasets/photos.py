# Photos of any size in a folder for each class, such as pckd init finds them. A config
# sets data_root, classes and size (see there); a part that is held out validates.
from mmengine.config import read_base

with read_base():
    from .imagenet import *  # noqa: F403

endings = (".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
train_dataloader.update(batch_size=32, num_workers=2)  # noqa: F405
train_dataloader.dataset = dict(  # noqa: F405
    type="pckd_mm.held_out_part",
    part="train",
    share=0.2,
    by="content",
    dataset=dict(
        type="pckd_mm.CheckedCustomDataset",
        data_root="photos",
        extensions=endings,
        pipeline=[
            dict(type="LoadImageFromFile"),
            dict(type="pckd_mm.RandomResizedCropViews", scale=224),
            dict(type="PackInputs"),
        ],
    ),
)
val_dataloader.update(num_workers=2)  # noqa: F405
val_dataloader.dataset = dict(  # noqa: F405
    type="pckd_mm.held_out_part",
    part="val",
    share=0.2,
    by="content",
    dataset=dict(
        type="pckd_mm.CheckedCustomDataset",
        data_root="photos",
        extensions=endings,
        test_mode=True,
    ),
    pipeline=[
        dict(type="LoadImageFromFile"),
        dict(type="ResizeEdge", scale=256, edge="short"),
        dict(type="CenterCrop", crop_size=224),
        dict(type="PackInputs"),
    ],
)
val_evaluator = dict(type="Accuracy", topk=(1,))
test_dataloader = val_dataloader  # noqa: F405
test_evaluator = val_evaluator
del endings
