# Handwritten digits 0 to 8 from scikit-learn: 450 images for training, 1,167 for
# testing, 8x8 pixels, one channel.
data_preprocessor = dict(
    type="pckd_mm.RotatedViewsDataPreprocessor",
    num_views=1,
    flip_prob=0.0,  # a mirrored digit is no digit
    crop_padding=1,
    mean=[0.308 * 255],
    std=[0.380 * 255],
    to_rgb=False,
)

# The images stay in memory, where a batch is one look-up: worker processes would only
# cost time.
train_dataloader = dict(
    batch_size=45,  # ten batches of one size
    num_workers=0,
    persistent_workers=False,
    collate_fn=dict(type="pckd_mm.collate_batches"),
    sampler=dict(type="DefaultSampler", shuffle=True),
    dataset=dict(
        type="pckd_mm.InMemoryDataset",
        dataset=dict(
            type="pckd_mm.DigitsDataset",
            split="train",
            pipeline=[dict(type="PackInputs")],
        ),
    ),
)
# What tools that predict image files do with one: its size and channels become those of
# the data set.
from_files = [
    dict(type="LoadImageFromFile"),
    dict(type="Resize", scale=8, backend="pillow"),
    dict(type="NumpyToPIL", to_rgb=True),
    dict(type="torchvision/Grayscale"),
    dict(type="PILToNumpy"),
    dict(type="PackInputs"),
]
val_dataloader = dict(
    batch_size=400,
    num_workers=0,
    persistent_workers=False,
    collate_fn=dict(type="pckd_mm.collate_batches"),
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        type="pckd_mm.InMemoryDataset",
        dataset=dict(
            type="pckd_mm.DigitsDataset",
            split="test",
            test_mode=True,
            pipeline=[dict(type="PackInputs")],
        ),
        pipeline=from_files,
    ),
)
val_evaluator = dict(type="Accuracy", topk=(1,))

test_dataloader = val_dataloader
test_evaluator = val_evaluator
del from_files
