# Pascal VOC 07+12 by MMDetection's recipe of YOLOX for COCO, without a network: 300
# epochs from scratch with mosaic and mixup, 8 GPUs x 8 images. Scores are those of
# voc0712.py.
_base_ = "./voc0712.py"

from mmengine.hub import get_config  # noqa: E402

coco = get_config("mmdet::yolox/yolox_s_8xb8-300e_coco.py")
train_cfg = coco.train_cfg
param_scheduler = coco.param_scheduler
optim_wrapper = dict(
    paramwise_cfg=coco.optim_wrapper.paramwise_cfg,
    optimizer=dict(coco.optim_wrapper.optimizer, _delete_=True),
)
auto_scale_lr = coco.auto_scale_lr

train_pipeline, test_pipeline = coco.train_pipeline, coco.test_pipeline
images = coco.train_dataloader.dataset
parts = _base_.train_dataloader.dataset.dataset
for part in parts.datasets:
    part.pipeline, part.filter_cfg = images.dataset.pipeline, images.dataset.filter_cfg
del part
train_dataloader = dict(
    batch_size=coco.train_dataloader.batch_size,
    num_workers=coco.train_dataloader.num_workers,
    batch_sampler=None,
    dataset=dict(images, dataset=parts, _delete_=True),
)
val_dataloader = dict(
    batch_size=coco.val_dataloader.batch_size,
    num_workers=coco.val_dataloader.num_workers,
    dataset=dict(pipeline=coco.val_dataloader.dataset.pipeline),
)
test_dataloader = val_dataloader

# Methods bring custom_hooks of their own.
switch, norms, average = coco.custom_hooks
default_hooks = dict(
    checkpoint=coco.default_hooks.checkpoint,
    switch=switch,
    norms=norms,
    average=average,
)
del coco, images, parts, switch, norms, average
