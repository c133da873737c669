# COCO with masks, by the recipe of coco.py.
_base_ = "./coco.py"

from mmengine.hub import get_config  # noqa: E402

masks = get_config("mmdet::_base_/datasets/coco_instance.py")
train_pipeline, test_pipeline = masks.train_pipeline, masks.test_pipeline
train_dataloader = dict(dataset=dict(pipeline=masks.train_dataloader.dataset.pipeline))
val_dataloader = dict(dataset=dict(pipeline=masks.val_dataloader.dataset.pipeline))
test_dataloader = val_dataloader
val_evaluator = masks.val_evaluator
test_evaluator = val_evaluator
del masks
