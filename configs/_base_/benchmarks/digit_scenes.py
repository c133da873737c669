# The detection demo: small detectors of two stages on scenes of handwritten digits.
_base_ = [
    "mmdet::_base_/models/faster-rcnn_r50_fpn.py",
    "../networks/digit_scenes.py",
    "../datasets/digit_scenes.py",
    "../schedules/digit_scenes.py",
]

regions = _base_.regions
model = dict(
    **_base_.of_scenes,
    rpn_head=regions.rpn_head,
    roi_head=dict(
        bbox_roi_extractor=regions.bbox_roi_extractor, bbox_head=regions.bbox_head
    ),
    train_cfg=dict(**regions.train_cfg, rcnn=dict(sampler=regions.sampler)),
    test_cfg=regions.test_cfg,
)
del regions
