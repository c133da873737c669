# A stronger teacher: from MMDetection's detector for COCO. Its classifier and box
# regressor are of 80 categories and are left out in loading, as MMEngine's log says.
_base_ = "./voc_frcnn_r101.py"

model = dict(backbone=dict(init_cfg=None))
load_from = (
    "https://download.openmmlab.com/mmdetection/v2.0/faster_rcnn/"
    "faster_rcnn_r101_fpn_2x_coco/"
    "faster_rcnn_r101_fpn_2x_coco_bbox_mAP-0.398_20200504_210455-1d2dac9c.pth"
)
