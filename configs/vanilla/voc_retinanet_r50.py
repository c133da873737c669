_base_ = [
    "mmdet::_base_/models/retinanet_r50_fpn.py",
    "../_base_/benchmarks/voc0712.py",
]

model = dict(bbox_head=dict(num_classes=20))
