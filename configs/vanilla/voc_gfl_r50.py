# GFL: the network of mmdet's config for COCO, by its recipe for Pascal VOC.
_base_ = "../_base_/benchmarks/voc0712.py"

from mmengine.hub import get_config  # noqa: E402

model = get_config("mmdet::gfl/gfl_r50_fpn_1x_coco.py").model
model.bbox_head.num_classes = 20
