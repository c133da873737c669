# RTMDet by mmdet's config for COCO: 300 epochs, 8 GPUs x 32 images.
_base_ = "../_base_/benchmarks/coco.py"

from mmengine.hub import get_config  # noqa: E402

rtmdet = get_config("mmdet::rtmdet/rtmdet_s_8xb32-300e_coco.py")
model = rtmdet.model
train_cfg = rtmdet.train_cfg
param_scheduler = rtmdet.param_scheduler
# mmdet's own says 16, that of its base, and its learning rate is for these 256.
auto_scale_lr = dict(base_batch_size=256)
val_evaluator = rtmdet.val_evaluator
test_evaluator = val_evaluator
optim_wrapper = dict(
    paramwise_cfg=rtmdet.optim_wrapper.paramwise_cfg,
    optimizer=dict(rtmdet.optim_wrapper.optimizer, _delete_=True),
)
train_pipeline, test_pipeline = rtmdet.train_pipeline, rtmdet.test_pipeline
train = rtmdet.train_dataloader
train_dataloader = dict(
    batch_size=train.batch_size,
    num_workers=train.num_workers,
    pin_memory=train.pin_memory,
    batch_sampler=None,
    dataset=dict(pipeline=train.dataset.pipeline),
)
val = rtmdet.val_dataloader
val_dataloader = dict(
    batch_size=val.batch_size,
    num_workers=val.num_workers,
    dataset=dict(pipeline=val.dataset.pipeline),
)
test_dataloader = val_dataloader
# Methods bring custom_hooks of their own.
average, switch = rtmdet.custom_hooks
default_hooks = dict(
    checkpoint=rtmdet.default_hooks.checkpoint, average=average, switch=switch
)
del rtmdet, train, val, average, switch
