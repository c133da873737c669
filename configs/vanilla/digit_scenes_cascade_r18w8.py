_base_ = "../_base_/benchmarks/digit_scenes_cascade.py"

model = dict(
    backbone=dict(base_channels=8, stem_channels=8),
    neck=dict(in_channels=[8, 16, 32]),
)
