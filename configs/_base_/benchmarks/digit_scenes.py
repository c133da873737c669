# The detection demo: small detectors on scenes of handwritten digits, in the layout of
# Pascal VOC as tools/dataset_converters/digits_to_voc.py writes them.
_base_ = [
    "mmdet::_base_/models/faster-rcnn_r50_fpn.py",
    "mmdet::_base_/default_runtime.py",
    "../evaluators/iou_50_95.py",
]

classes = (
    *("zero", "one", "two", "three", "four"),
    *("five", "six", "seven", "eight", "nine"),
)

# A detector of three levels, strides 4, 8 and 16, for images of 160 x 160 pixels that
# is trained from scratch. A network sets depth and channels.
model = dict(
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
    rpn_head=dict(
        in_channels=32,
        feat_channels=32,
        anchor_generator=dict(scales=[5], ratios=[0.7, 1.4], strides=[4, 8, 16]),
    ),
    roi_head=dict(
        bbox_roi_extractor=dict(out_channels=32, featmap_strides=[4, 8, 16]),
        bbox_head=dict(in_channels=32, fc_out_channels=128, num_classes=len(classes)),
    ),
    train_cfg=dict(
        rpn=dict(sampler=dict(num=64)),
        rpn_proposal=dict(nms_pre=200, max_per_img=100),
        rcnn=dict(sampler=dict(num=32)),
    ),
    test_cfg=dict(rpn=dict(nms_pre=200, max_per_img=50), rcnn=dict(max_per_img=30)),
)

pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="LoadAnnotations", with_bbox=True),
    # Of this very size already; mmdet's heads ask for the scale.
    dict(type="Resize", scale=(160, 160)),
    dict(
        type="PackDetInputs",
        meta_keys=("img_id", "img_path", "ori_shape", "img_shape", "scale_factor"),
    ),
]
dataset = dict(
    type="XMLDataset",  # VOCDataset would list VOC's names beside the APs
    data_root="data/digit_scenes/VOCdevkit/",
    data_prefix=dict(sub_data_root="VOC2007/"),
    metainfo=dict(classes=classes),
    pipeline=pipeline,
)
train_dataloader = dict(
    batch_size=8,
    num_workers=0,
    sampler=dict(type="DefaultSampler", shuffle=True),
    dataset=dict(
        dataset,
        type="pckd_mm.CheckedVOCDataset",
        ann_file="VOC2007/ImageSets/Main/train.txt",
    ),
)
test_dataloader = dict(
    batch_size=8,
    num_workers=0,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        dataset,
        ann_file="VOC2007/ImageSets/Main/test.txt",
        test_mode=True,
    ),
)
val_dataloader = test_dataloader
evaluator = dict(type="VOCMetric", metric="mAP", eval_mode="area")
test_evaluator = [evaluator, dict(evaluator, **_base_.iou_50_95)]
val_evaluator = test_evaluator
del dataset, pipeline, classes, evaluator

default_hooks = dict(
    # A head of other categories than the data's ends the run.
    categories=dict(type="NumClassCheckHook"),
)
train_cfg = dict(type="EpochBasedTrainLoop", max_epochs=18, val_interval=9)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
optim_wrapper = dict(
    type="pckd_mm.SkipStepOptimWrapper",
    optimizer=dict(type="AdamW", lr=1e-3, weight_decay=0.01),
    clip_grad=dict(max_norm=10),
)
param_scheduler = dict(
    type="MultiStepLR", by_epoch=True, milestones=[12, 16], gamma=0.1
)
