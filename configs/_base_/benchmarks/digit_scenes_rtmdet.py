# RTMDet in small on scenes of handwritten digits: strides 4, 8 and 16 instead of 8, 16
# and 32, for images of 160 x 160 pixels, trained from scratch. A network sets widths.
_base_ = ["../datasets/digit_scenes.py", "../schedules/digit_scenes.py"]

norm_cfg = dict(type="BN")
act_cfg = dict(type="SiLU", inplace=True)
# Of each stage: channels in and out and blocks, before the network's factors; whether
# the input is added, and whether there is a pyramid of poolings.
stages = [
    [64, 128, 3, True, False],
    [128, 256, 3, True, False],
    [256, 512, 3, True, False],
]
model = dict(
    type="RTMDet",
    use_syncbn=False,
    data_preprocessor=dict(
        type="DetDataPreprocessor",
        mean=[103.53, 116.28, 123.675],
        std=[57.375, 57.12, 58.395],
        bgr_to_rgb=False,
        pad_size_divisor=16,
    ),
    backbone=dict(
        type="CSPNeXt",
        arch_ovewrite=stages,
        out_indices=(1, 2, 3),
        expand_ratio=0.5,
        channel_attention=True,
        norm_cfg=norm_cfg,
        act_cfg=act_cfg,
    ),
    neck=dict(
        type="CSPNeXtPAFPN",
        num_csp_blocks=1,
        expand_ratio=0.5,
        norm_cfg=norm_cfg,
        act_cfg=act_cfg,
    ),
    bbox_head=dict(
        type="RTMDetSepBNHead",
        num_classes=10,
        stacked_convs=2,
        anchor_generator=dict(type="MlvlPointGenerator", offset=0, strides=[4, 8, 16]),
        bbox_coder=dict(type="DistancePointBBoxCoder"),
        loss_cls=dict(type="QualityFocalLoss", use_sigmoid=True, beta=2.0),
        loss_bbox=dict(type="GIoULoss", loss_weight=2.0),
        with_objectness=False,
        exp_on_reg=True,  # as in rtmdet_m; without it boxes begin without a size
        share_conv=True,
        pred_kernel_size=1,
        norm_cfg=norm_cfg,
        act_cfg=act_cfg,
    ),
    train_cfg=dict(
        assigner=dict(type="DynamicSoftLabelAssigner", topk=13),
        allowed_border=-1,
        pos_weight=-1,
        debug=False,
    ),
    test_cfg=dict(
        nms_pre=200,
        min_bbox_size=0,
        score_thr=0.05,
        nms=dict(type="nms", iou_threshold=0.6),
        max_per_img=30,
    ),
)
# mmdet's rate of RTMDet; with that of the other detectors it has learned little so far.
optim_wrapper = dict(optimizer=dict(lr=4e-3))
del norm_cfg, act_cfg, stages
