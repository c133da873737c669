_base_ = [
    "mmdet::_base_/models/faster-rcnn_r50_fpn.py",
    "../_base_/benchmarks/voc0712.py",
]

model = dict(roi_head=dict(bbox_head=dict(num_classes=20)))
