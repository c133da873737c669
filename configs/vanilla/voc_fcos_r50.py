# FCOS with mmdet's improvements: the network of its config for COCO, by its recipe for
# Pascal VOC with the settings of biases and the warm-up of the former.
_base_ = "../_base_/benchmarks/voc0712.py"

from mmengine.hub import get_config  # noqa: E402

coco = get_config(
    "mmdet::fcos/fcos_r50-caffe_fpn_gn-head-center-normbbox-centeronreg-giou_1x_coco.py"
)
model = coco.model
model.bbox_head.num_classes = 20
optim_wrapper = dict(paramwise_cfg=coco.optim_wrapper.paramwise_cfg)
param_scheduler = [coco.param_scheduler[0], *_base_.param_scheduler]
del coco
