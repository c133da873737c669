_base_ = "../_base_/benchmarks/voc0712_rtmdet.py"

from mmengine.hub import get_config  # noqa: E402

coco = get_config("mmdet::rtmdet/rtmdet_s_8xb32-300e_coco.py", pretrained=True)
model = coco.model
model.bbox_head.num_classes = 20
# The classifier, of 80 categories, is left out in loading, as MMEngine's log says.
model.backbone.pop("init_cfg", None)
model.init_cfg = dict(type="Pretrained", checkpoint=coco.model_path)
del coco
