# Small cascades of three stages on scenes of handwritten digits.
_base_ = [
    "mmdet::_base_/models/cascade-rcnn_r50_fpn.py",
    "../networks/digit_scenes.py",
    "../datasets/digit_scenes.py",
    "../schedules/digit_scenes.py",
]

regions, cascade = _base_.regions, _base_.model
heads = [{**head, **regions.bbox_head} for head in cascade.roi_head.bbox_head]
stages = [
    {**stage, "sampler": {**stage.sampler, **regions.sampler}}
    for stage in cascade.train_cfg.rcnn
]
model = dict(
    **_base_.of_scenes,
    rpn_head=regions.rpn_head,
    roi_head=dict(bbox_roi_extractor=regions.bbox_roi_extractor, bbox_head=heads),
    train_cfg=dict(**regions.train_cfg, rcnn=stages),
    test_cfg=regions.test_cfg,
)
del regions, cascade, heads, stages
