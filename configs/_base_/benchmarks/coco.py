# COCO by MMDetection's recipe of 12 epochs, without a network: 8 GPUs x 2 images. What
# differs: errors in the data are told in words, and the random numbers of an epoch's
# workers depend on (seed, epoch), so that a run can be resumed exactly.
_base_ = [
    "mmdet::_base_/datasets/coco_detection.py",
    "mmdet::_base_/schedules/schedule_1x.py",
    "mmdet::_base_/default_runtime.py",
]

optim_wrapper = dict(type="pckd_mm.SkipStepOptimWrapper")
train_dataloader = dict(
    persistent_workers=False,
    worker_init_fn=dict(type="pckd_mm.seed_worker"),
    dataset=dict(type="pckd_mm.CheckedCocoDataset"),
)
val_dataloader = dict(dataset=dict(type="pckd_mm.CheckedCocoDataset"))

default_hooks = dict(
    # A head of other categories than the data's ends the run.
    categories=dict(type="NumClassCheckHook"),
)
