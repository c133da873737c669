# ImageNet in MMPretrain's layout: data/imagenet/{train,val}/...
data_preprocessor = dict(
    type="pckd_mm.RotatedViewsDataPreprocessor",
    num_views=1,
    crop_padding=0,  # the loader crops, since the images differ in size
    mean=[123.675, 116.28, 103.53],
    std=[58.395, 57.12, 57.375],
    to_rgb=True,
)

# Workers crop, one crop for each view of the model. The preprocessor flips, turns and
# normalises on the device.
train_dataloader = dict(
    batch_size=32,  # for each of 8 GPUs
    num_workers=8,
    persistent_workers=False,  # so that each epoch's crops depend on (seed, epoch)
    worker_init_fn=dict(type="pckd_mm.seed_worker"),
    pin_memory=True,
    collate_fn=dict(type="default_collate"),
    sampler=dict(type="DefaultSampler", shuffle=True),
    dataset=dict(
        type="pckd_mm.CheckedImageNet",
        data_root="data/imagenet",
        split="train",
        pipeline=[
            dict(type="LoadImageFromFile"),
            dict(type="pckd_mm.RandomResizedCropViews", scale=224),
            dict(type="PackInputs"),
        ],
    ),
)
val_dataloader = dict(
    batch_size=64,
    num_workers=8,
    persistent_workers=True,
    pin_memory=True,
    collate_fn=dict(type="default_collate"),
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        type="pckd_mm.CheckedImageNet",
        data_root="data/imagenet",
        split="val",
        pipeline=[
            dict(type="LoadImageFromFile"),
            dict(type="ResizeEdge", scale=256, edge="short"),
            dict(type="CenterCrop", crop_size=224),
            dict(type="PackInputs"),
        ],
    ),
)
val_evaluator = dict(type="Accuracy", topk=(1, 5))

test_dataloader = val_dataloader
test_evaluator = val_evaluator
