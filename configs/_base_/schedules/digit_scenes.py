# Small detectors from scratch, on scenes of digits.
_base_ = "mmdet::_base_/default_runtime.py"

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
