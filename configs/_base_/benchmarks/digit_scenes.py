# The detection demo: small detectors of two stages on scenes of handwritten digits.
_base_ = [
    "mmdet::_base_/models/faster-rcnn_r50_fpn.py",
    "../networks/digit_scenes.py",
    "../datasets/digit_scenes.py",
    "../schedules/digit_scenes.py",
]

model = dict(
    **_base_.of_scenes,
    rpn_head=_base_.regions.rpn_head,
    roi_head=dict(
        bbox_roi_extractor=_base_.regions.bbox_roi_extractor,
        bbox_head=_base_.regions.bbox_head,
    ),
    train_cfg=dict(
        **_base_.regions.train_cfg, rcnn=dict(sampler=_base_.regions.sampler)
    ),
    test_cfg=_base_.regions.test_cfg,
)
