# Small detectors of one stage (GFL) on scenes of handwritten digits.
_base_ = [
    "mmdet::_base_/models/retinanet_r50_fpn.py",
    "../networks/digit_scenes.py",
    "../datasets/digit_scenes.py",
    "../schedules/digit_scenes.py",
]

# Head and assigner are those of mmdet's GFL, in small.
model = dict(
    type="GFL",
    data_preprocessor=_base_.of_scenes.data_preprocessor,
    backbone=_base_.of_scenes.backbone,
    neck=dict(start_level=0, add_extra_convs=False, **_base_.of_scenes.neck),
    bbox_head=dict(
        _delete_=True,
        type="GFLHead",
        num_classes=10,
        in_channels=32,
        feat_channels=32,
        stacked_convs=2,
        norm_cfg=dict(type="GN", num_groups=8, requires_grad=True),
        anchor_generator=dict(
            type="AnchorGenerator",
            ratios=[1.0],
            octave_base_scale=5,
            scales_per_octave=1,
            strides=[4, 8, 16],
        ),
        loss_cls=dict(type="QualityFocalLoss", use_sigmoid=True, beta=2.0),
        loss_dfl=dict(type="DistributionFocalLoss", loss_weight=0.25),
        reg_max=16,
        loss_bbox=dict(type="GIoULoss", loss_weight=2.0),
    ),
    train_cfg=dict(
        _delete_=True,
        assigner=dict(type="ATSSAssigner", topk=9),
        allowed_border=-1,
        pos_weight=-1,
        debug=False,
    ),
    test_cfg=dict(nms_pre=200, nms=dict(type="nms", iou_threshold=0.6), max_per_img=30),
)
