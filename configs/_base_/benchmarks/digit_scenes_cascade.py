# Small cascades of three stages on scenes of handwritten digits.
_base_ = [
    "mmdet::_base_/models/cascade-rcnn_r50_fpn.py",
    "../networks/digit_scenes.py",
    "../datasets/digit_scenes.py",
    "../schedules/digit_scenes.py",
]

heads = [
    {**head, **_base_.regions.bbox_head} for head in _base_.model.roi_head.bbox_head
]
stages = [
    {**stage, "sampler": {**stage.sampler, **_base_.regions.sampler}}
    for stage in _base_.model.train_cfg.rcnn
]
model = dict(
    **_base_.of_scenes,
    rpn_head=_base_.regions.rpn_head,
    roi_head=dict(
        bbox_roi_extractor=_base_.regions.bbox_roi_extractor, bbox_head=heads
    ),
    train_cfg=dict(**_base_.regions.train_cfg, rcnn=stages),
    test_cfg=_base_.regions.test_cfg,
)
del heads, stages
