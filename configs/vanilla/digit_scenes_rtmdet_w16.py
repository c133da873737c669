_base_ = "../_base_/benchmarks/digit_scenes_rtmdet.py"

model = dict(
    backbone=dict(widen_factor=0.125, deepen_factor=0.33),
    neck=dict(in_channels=[16, 32, 64], out_channels=32),
    bbox_head=dict(in_channels=32, feat_channels=32),
)
