# Cascade R-CNN: three stages, each with the regions that the one before refined.
_base_ = [
    "mmdet::_base_/models/cascade-rcnn_r50_fpn.py",
    "../_base_/benchmarks/voc0712.py",
]

heads = [dict(head, num_classes=20) for head in _base_.model.roi_head.bbox_head]
model = dict(roi_head=dict(bbox_head=heads))
del heads
