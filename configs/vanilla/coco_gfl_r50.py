# GFL by mmdet's config for COCO.
_base_ = "../_base_/benchmarks/coco.py"

from mmengine.hub import get_config  # noqa: E402

gfl = get_config("mmdet::gfl/gfl_r50_fpn_1x_coco.py")
model = gfl.model
optim_wrapper = dict(optimizer=gfl.optim_wrapper.optimizer)
del gfl
