_base_ = "./voc_retinanet_r50.py"

model = dict(
    backbone=dict(depth=101, init_cfg=dict(checkpoint="torchvision://resnet101"))
)
