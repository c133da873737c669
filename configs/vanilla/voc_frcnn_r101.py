_base_ = "../_base_/benchmarks/voc0712.py"

model = dict(
    backbone=dict(depth=101, init_cfg=dict(checkpoint="torchvision://resnet101"))
)
