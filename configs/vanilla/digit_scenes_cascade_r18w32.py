_base_ = "../_base_/benchmarks/digit_scenes_cascade.py"

model = dict(
    backbone=dict(base_channels=32, stem_channels=32),
    neck=dict(in_channels=[32, 64, 128]),
)
