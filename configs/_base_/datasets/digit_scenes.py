# Scenes of handwritten digits in the layout of Pascal VOC, as
# tools/dataset_converters/digits_to_voc.py writes them.
_base_ = "../evaluators/iou_50_95.py"

classes = (
    *("zero", "one", "two", "three", "four"),
    *("five", "six", "seven", "eight", "nine"),
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
