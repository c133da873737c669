_base_ = "../_base_/benchmarks/digit_scenes_rtmdet.py"

model = dict(
    backbone=dict(widen_factor=0.5, deepen_factor=0.33),
    neck=dict(in_channels=[64, 128, 256], out_channels=64),
    bbox_head=dict(in_channels=64, feat_channels=64),
)
