# Pascal VOC 07+12 by MMDetection's recipe for Faster R-CNN, without a network: 4
# epochs of three passes each, 8 GPUs x 2 images; mAP@0.5 on VOC 2007 test. What
# differs: errors in the data are told in words, the random numbers of an epoch's
# workers depend on (seed, epoch), so that a run can be resumed exactly, and AP over
# IoU 0.5 to 0.95 stands beside mAP@0.5.
_base_ = [
    "mmdet::_base_/datasets/voc0712.py",
    "mmdet::_base_/default_runtime.py",
    "../evaluators/iou_50_95.py",
]

train_cfg = dict(type="EpochBasedTrainLoop", max_epochs=4, val_interval=1)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
param_scheduler = [
    dict(type="MultiStepLR", begin=0, end=4, by_epoch=True, milestones=[3], gamma=0.1)
]
optim_wrapper = dict(
    type="pckd_mm.SkipStepOptimWrapper",
    optimizer=dict(type="SGD", lr=0.01, momentum=0.9, weight_decay=0.0001),
)
auto_scale_lr = dict(enable=False, base_batch_size=16)

train_dataloader = dict(
    _base_.train_dataloader,
    persistent_workers=False,
    worker_init_fn=dict(type="pckd_mm.seed_worker"),
)
for dataset in _base_.train_dataloader.dataset.dataset.datasets:
    dataset.type = "pckd_mm.CheckedVOCDataset"
del dataset
val_dataloader = dict(dataset=dict(type="pckd_mm.CheckedVOCDataset"))
val_evaluator = [
    _base_.val_evaluator,
    dict(_base_.val_evaluator, **_base_.iou_50_95),
]
test_evaluator = val_evaluator

default_hooks = dict(
    # A head of other categories than the data's ends the run.
    categories=dict(type="NumClassCheckHook"),
)
