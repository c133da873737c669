# The official python files below data/cifar100/, fetched if they are not there.
data_preprocessor = dict(
    type="pckd_mm.RotatedViewsDataPreprocessor",
    num_views=1,
    mean=[255 * value for value in (0.5071, 0.4866, 0.4409)],
    std=[255 * value for value in (0.2675, 0.2565, 0.2761)],
    to_rgb=False,  # the files hold RGB
)

# Views, flip and crop are the preprocessor's work, for whole batches. The images stay
# in memory, where a batch is one look-up: worker processes would only cost time.
train_dataloader = dict(
    batch_size=64,
    num_workers=0,
    persistent_workers=False,
    pin_memory=True,
    collate_fn=dict(type="pckd_mm.collate_batches"),
    sampler=dict(type="DefaultSampler", shuffle=True),
    dataset=dict(
        type="pckd_mm.InMemoryDataset",
        dataset=dict(
            type="pckd_mm.CheckedCIFAR100",
            data_root="data/cifar100",
            split="train",
            pipeline=[dict(type="PackInputs")],
        ),
    ),
)
# What tools that predict image files do with one: its size and channels become those of
# the data set.
from_files = [
    dict(type="LoadImageFromFile"),
    dict(type="Resize", scale=32, backend="pillow"),
    dict(type="NumpyToPIL", to_rgb=True),
    dict(type="PILToNumpy"),
    dict(type="PackInputs"),
]
val_dataloader = dict(
    batch_size=250,
    num_workers=0,
    persistent_workers=False,
    pin_memory=True,
    collate_fn=dict(type="pckd_mm.collate_batches"),
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        type="pckd_mm.InMemoryDataset",
        dataset=dict(
            type="pckd_mm.CheckedCIFAR100",
            data_root="data/cifar100",
            split="test",
            test_mode=True,
            pipeline=[dict(type="PackInputs")],
        ),
        pipeline=from_files,
    ),
)
val_evaluator = dict(type="Accuracy", topk=(1, 5))

test_dataloader = val_dataloader
test_evaluator = val_evaluator
del from_files
