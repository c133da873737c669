# Images with boxes, in the layout of Pascal VOC or COCO, such as pckd init finds them.
# A config sets the data set, data_root, classes and size (see there); a part that is
# held out validates.
from mmengine.config import read_base

with read_base():
    from ..evaluators.iou_50_95 import iou_50_95

loading = dict(type="LoadImageFromFile")
resizing = dict(type="Resize", scale=(1333, 800), keep_ratio=True)
annotations = dict(type="LoadAnnotations", with_bbox=True)
held_out = dict(type="pckd_mm.held_out_part", share=0.2, by="content")

train_dataloader = dict(
    batch_size=4,
    num_workers=2,
    persistent_workers=False,  # so that each epoch's flips depend on (seed, epoch)
    worker_init_fn=dict(type="pckd_mm.seed_worker"),
    sampler=dict(type="DefaultSampler", shuffle=True),
    batch_sampler=dict(type="AspectRatioBatchSampler"),
    dataset=dict(
        held_out,
        part="train",
        dataset=dict(
            type="pckd_mm.CheckedVOCDataset",
            data_root="data",
            pipeline=[
                loading,
                annotations,  # before all that moves boxes
                resizing,
                dict(type="RandomFlip", prob=0.5),
                dict(type="PackDetInputs"),
            ],
        ),
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=2,
    persistent_workers=True,
    drop_last=False,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        held_out,
        part="val",
        dataset=dict(
            type="pckd_mm.CheckedVOCDataset", data_root="data", test_mode=True
        ),
        pipeline=[
            loading,
            resizing,
            annotations,  # boxes are compared in the pixels of the file
            dict(
                type="PackDetInputs",
                # CocoMetric compares with the instances, of whatever part.
                meta_keys=(
                    *("img_id", "img_path", "ori_shape", "img_shape"),
                    *("scale_factor", "instances"),
                ),
            ),
        ],
    ),
)
evaluator = dict(type="VOCMetric", metric="mAP", eval_mode="area")
val_evaluator = [evaluator, dict(evaluator, **iou_50_95)]
test_dataloader = val_dataloader
test_evaluator = val_evaluator
del loading, resizing, annotations, held_out, evaluator, iou_50_95
