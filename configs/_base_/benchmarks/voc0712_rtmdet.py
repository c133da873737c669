# Pascal VOC 07+12 for RTMDet that has learned COCO, without a network: the epochs of
# voc0712.py with the images and the optimizer of the last epochs of MMDetection's
# recipe of RTMDet-S for COCO. RTMDet's BatchNorm learns, so a GPU has 8 images, as of
# mmdet's YOLOX; over several GPUs it is synchronised. The learning rate is COCO's,
# 0.004 for 256 images, in proportion to the batch of 8 GPUs x 8 images.
_base_ = "./voc0712.py"

from mmengine.hub import get_config  # noqa: E402

coco = get_config("mmdet::rtmdet/rtmdet_s_8xb32-300e_coco.py")
optim_wrapper = dict(
    paramwise_cfg=coco.optim_wrapper.paramwise_cfg,
    optimizer=dict(coco.optim_wrapper.optimizer, lr=0.001, _delete_=True),
)
auto_scale_lr = dict(base_batch_size=64)

average, switch = coco.custom_hooks
train_pipeline, test_pipeline = switch.switch_pipeline, coco.test_pipeline
train_dataloader = _base_.train_dataloader
train_dataloader.update(batch_size=8, num_workers=4, batch_sampler=None)
for part in train_dataloader.dataset.dataset.datasets:
    part.pipeline = switch.switch_pipeline
    part.filter_cfg = coco.train_dataloader.dataset.filter_cfg
del part
val_dataloader = dict(dataset=dict(pipeline=coco.val_dataloader.dataset.pipeline))
test_dataloader = val_dataloader

# Methods bring custom_hooks of their own.
default_hooks = dict(average=average)
del coco, average, switch
