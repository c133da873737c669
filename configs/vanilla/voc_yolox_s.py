_base_ = "../_base_/benchmarks/voc0712_yolox.py"

from mmengine.hub import get_config  # noqa: E402

model = get_config("mmdet::yolox/yolox_s_8xb8-300e_coco.py").model
model.bbox_head.num_classes = 20
