# What small detectors of scenes of digits have in common: three levels, strides 4, 8
# and 16, for images of 160 x 160 pixels, trained from scratch. A network sets widths.
# Both names stay in the configs that build on them, and mean nothing there.
of_scenes = dict(
    data_preprocessor=dict(pad_size_divisor=16),
    backbone=dict(
        depth=18,
        num_stages=3,
        strides=(1, 2, 2),
        dilations=(1, 1, 1),
        out_indices=(0, 1, 2),
        frozen_stages=-1,
        norm_eval=False,
        init_cfg=None,
    ),
    neck=dict(out_channels=32, num_outs=3),
)
# Of those of two stages and more.
regions = dict(
    rpn_head=dict(
        in_channels=32,
        feat_channels=32,
        anchor_generator=dict(scales=[5], ratios=[0.7, 1.4], strides=[4, 8, 16]),
    ),
    bbox_roi_extractor=dict(out_channels=32, featmap_strides=[4, 8, 16]),
    bbox_head=dict(in_channels=32, fc_out_channels=128, num_classes=10),
    train_cfg=dict(
        rpn=dict(sampler=dict(num=64)),
        rpn_proposal=dict(nms_pre=200, max_per_img=100),
    ),
    sampler=dict(num=32),
    test_cfg=dict(rpn=dict(nms_pre=200, max_per_img=50), rcnn=dict(max_per_img=30)),
)
