# Pascal VOC 07+12 for RTMDet that has learned COCO, without a network: the epochs of
# voc0712.py with the images and the optimizer of the last epochs of MMDetection's
# recipe for COCO, 8 GPUs x 2 images, its learning rate in proportion to the batch.
_base_ = "./voc0712.py"

from mmengine.hub import get_config  # noqa: E402

coco = get_config("mmdet::rtmdet/rtmdet_s_8xb32-300e_coco.py")
optim_wrapper = dict(
    paramwise_cfg=coco.optim_wrapper.paramwise_cfg,
    optimizer=dict(coco.optim_wrapper.optimizer, lr=0.00025, _delete_=True),
)

average, switch = coco.custom_hooks
train_dataloader = _base_.train_dataloader
train_dataloader.batch_sampler = None
for part in train_dataloader.dataset.dataset.datasets:
    part.pipeline = switch.switch_pipeline
del part
val_dataloader = dict(dataset=dict(pipeline=coco.val_dataloader.dataset.pipeline))
test_dataloader = val_dataloader

# Methods bring custom_hooks of their own.
default_hooks = dict(average=average)
del coco, average, switch
