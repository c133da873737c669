"""Small one-stage detectors, of three levels, for images of any size.

Above 300 lines, since it is a table of configs, one of each kind.
"""

from typing import Any, Dict

from tests.builders import detector

STRIDES = [4, 8, 16]

_FOCAL = dict(type="FocalLoss", use_sigmoid=True, gamma=2.0, alpha=0.25)
_GIOU = dict(type="GIoULoss", loss_weight=2.0)
_CENTERNESS = dict(type="CrossEntropyLoss", use_sigmoid=True)
_QUALITY = dict(type="QualityFocalLoss", use_sigmoid=True, beta=2.0)
# A square anchor a place.
_SQUARES = dict(
    type="AnchorGenerator",
    ratios=[1.0],
    octave_base_scale=4,
    scales_per_octave=1,
    strides=STRIDES,
)
_POINTS = dict(type="MlvlPointGenerator", offset=0, strides=STRIDES)
_ATSS = dict(
    assigner=dict(type="ATSSAssigner", topk=4),
    allowed_border=-1,
    pos_weight=-1,
    debug=False,
)
_STACKED = dict(in_channels=32, feat_channels=16, stacked_convs=1)
_NORM = dict(norm_cfg=dict(type="GN", num_groups=4))


def _retina() -> Dict[str, Any]:
    head = dict(
        type="RetinaHead",
        **_STACKED,
        anchor_generator=dict(
            type="AnchorGenerator",
            octave_base_scale=4,
            scales_per_octave=3,
            ratios=[0.5, 1.0, 2.0],
            strides=STRIDES,
        ),
        loss_cls=_FOCAL,
        loss_bbox=dict(type="L1Loss"),
    )
    assigner = dict(
        type="MaxIoUAssigner",
        pos_iou_thr=0.5,
        neg_iou_thr=0.4,
        min_pos_iou=0,
        ignore_iof_thr=-1,
    )
    train_cfg = dict(
        assigner=assigner,
        sampler=dict(type="PseudoSampler"),
        allowed_border=-1,
        pos_weight=-1,
        debug=False,
    )
    return dict(type="RetinaNet", bbox_head=head, train_cfg=train_cfg)


def _fcos() -> Dict[str, Any]:
    head = dict(
        type="FCOSHead",
        **_STACKED,
        **_NORM,
        strides=STRIDES,
        regress_ranges=((-1, 16), (16, 32), (32, 1e8)),
        loss_cls=_FOCAL,
        loss_bbox=dict(type="IoULoss"),
        loss_centerness=_CENTERNESS,
    )
    return dict(type="FCOS", bbox_head=head)


def _atss() -> Dict[str, Any]:
    head = dict(
        type="ATSSHead",
        **_STACKED,
        **_NORM,
        anchor_generator=_SQUARES,
        loss_cls=_FOCAL,
        loss_bbox=_GIOU,
        loss_centerness=_CENTERNESS,
    )
    return dict(type="ATSS", bbox_head=head, train_cfg=_ATSS)


def _gfl() -> Dict[str, Any]:
    head = dict(
        type="GFLHead",
        **_STACKED,
        **_NORM,
        anchor_generator=_SQUARES,
        reg_max=8,
        loss_cls=_QUALITY,
        loss_dfl=dict(type="DistributionFocalLoss", loss_weight=0.25),
        loss_bbox=_GIOU,
    )
    return dict(type="GFL", bbox_head=head, train_cfg=_ATSS)


def _rtmdet() -> Dict[str, Any]:
    head = dict(
        type="RTMDetSepBNHead",
        in_channels=32,
        feat_channels=16,
        stacked_convs=1,
        share_conv=True,
        anchor_generator=_POINTS,
        bbox_coder=dict(type="DistancePointBBoxCoder"),
        loss_cls=_QUALITY,
        loss_bbox=_GIOU,
        with_objectness=False,
    )
    train_cfg = dict(
        assigner=dict(type="DynamicSoftLabelAssigner", topk=6),
        allowed_border=-1,
        pos_weight=-1,
        debug=False,
    )
    # Synchronised normalisation is for GPUs.
    detector = dict(type="RTMDet", use_syncbn=False)
    return dict(detector, bbox_head=head, train_cfg=train_cfg)


def _yolox() -> Dict[str, Any]:
    head = dict(type="YOLOXHead", **_STACKED, strides=STRIDES)
    train_cfg = dict(assigner=dict(type="SimOTAAssigner", center_radius=2.5))
    return dict(type="YOLOX", bbox_head=head, train_cfg=train_cfg)


def _vfnet() -> Dict[str, Any]:
    head = dict(
        type="VFNetHead",
        **_STACKED,
        **_NORM,
        strides=STRIDES,
        regress_ranges=((-1, 16), (16, 32), (32, 1e8)),
        center_sampling=False,
        use_atss=True,
        use_vfl=True,
        anchor_generator=dict(_SQUARES, center_offset=0.0),
        loss_cls=dict(type="VarifocalLoss", use_sigmoid=True, alpha=0.75),
        loss_bbox=dict(type="GIoULoss", loss_weight=1.5),
        loss_bbox_refine=_GIOU,
    )
    return dict(type="VFNet", bbox_head=head, train_cfg=_ATSS)


def _paa() -> Dict[str, Any]:
    head = dict(
        type="PAAHead",
        **_STACKED,
        **_NORM,
        reg_decoded_bbox=True,
        score_voting=True,
        topk=9,
        anchor_generator=_SQUARES,
        loss_cls=_FOCAL,
        loss_bbox=dict(type="GIoULoss", loss_weight=1.3),
        loss_centerness=dict(_CENTERNESS, loss_weight=0.5),
    )
    assigner = dict(
        type="MaxIoUAssigner",
        pos_iou_thr=0.1,
        neg_iou_thr=0.1,
        min_pos_iou=0,
        ignore_iof_thr=-1,
    )
    train_cfg = dict(assigner=assigner, allowed_border=-1, pos_weight=-1, debug=False)
    return dict(type="PAA", bbox_head=head, train_cfg=train_cfg)


def _tood() -> Dict[str, Any]:
    head = dict(
        type="TOODHead",
        in_channels=32,
        feat_channels=32,
        stacked_convs=2,
        **_NORM,
        anchor_type="anchor_free",
        anchor_generator=_SQUARES,
        initial_loss_cls=dict(_FOCAL, activated=True),
        loss_cls=dict(_QUALITY, activated=True),
        loss_bbox=_GIOU,
    )
    train_cfg = dict(
        _ATSS,
        initial_epoch=1,
        initial_assigner=_ATSS["assigner"],
        assigner=dict(type="TaskAlignedAssigner", topk=6),
        alpha=1,
        beta=6,
    )
    return dict(type="TOOD", bbox_head=head, train_cfg=train_cfg)


def _ddod() -> Dict[str, Any]:
    head = dict(
        type="DDODHead",
        **_STACKED,
        **_NORM,
        anchor_generator=_SQUARES,
        use_dcn=False,
        loss_cls=_FOCAL,
        loss_bbox=_GIOU,
        loss_iou=_CENTERNESS,
    )
    train_cfg = dict(
        _ATSS,
        assigner=dict(type="ATSSAssigner", topk=4, alpha=0.8),
        reg_assigner=dict(type="ATSSAssigner", topk=4, alpha=0.5),
    )
    return dict(type="DDOD", bbox_head=head, train_cfg=train_cfg)


def _fovea() -> Dict[str, Any]:
    head = dict(
        type="FoveaHead",
        **_STACKED,
        strides=STRIDES,
        base_edge_list=[16, 32, 64],
        scale_ranges=((1, 32), (16, 64), (32, 128)),
        sigma=0.4,
        loss_cls=_FOCAL,
        loss_bbox=dict(type="SmoothL1Loss", beta=0.11),
    )
    return dict(type="FOVEA", bbox_head=head)


def _yolof() -> Dict[str, Any]:
    neck = dict(
        type="DilatedEncoder",
        out_channels=32,
        block_mid_channels=16,
        num_residual_blocks=2,
        block_dilations=[2, 4],
    )
    head = dict(
        type="YOLOFHead",
        in_channels=32,
        reg_decoded_bbox=True,
        num_cls_convs=1,
        num_reg_convs=1,
        anchor_generator=dict(
            type="AnchorGenerator", ratios=[1.0], scales=[1, 2, 4], strides=[16]
        ),
        bbox_coder=dict(type="DeltaXYWHBBoxCoder", add_ctr_clamp=True, ctr_clamp=32),
        loss_cls=_FOCAL,
        loss_bbox=dict(type="GIoULoss"),
    )
    assigner = dict(type="UniformAssigner", pos_ignore_thr=0.15, neg_ignore_thr=0.7)
    train_cfg = dict(assigner=assigner, allowed_border=-1, pos_weight=-1, debug=False)
    detector = dict(type="YOLOF", neck=neck, backbone=dict(out_indices=(2,)))
    return dict(detector, bbox_head=head, train_cfg=train_cfg)


def _reppoints() -> Dict[str, Any]:
    head = dict(
        type="RepPointsHead",
        **_STACKED,
        point_feat_channels=16,
        num_points=9,
        point_strides=STRIDES,
        point_base_scale=2,
        loss_cls=_FOCAL,
        loss_bbox_init=dict(type="SmoothL1Loss", loss_weight=0.5),
        loss_bbox_refine=dict(type="SmoothL1Loss"),
    )
    refine = dict(
        type="MaxIoUAssigner",
        pos_iou_thr=0.3,
        neg_iou_thr=0.2,
        min_pos_iou=0,
        ignore_iof_thr=-1,
    )
    rest = dict(allowed_border=-1, pos_weight=-1, debug=False)
    train_cfg = dict(
        init=dict(assigner=dict(type="PointAssigner", scale=2, pos_num=1), **rest),
        refine=dict(assigner=refine, **rest),
    )
    return dict(type="RepPointsDetector", bbox_head=head, train_cfg=train_cfg)


def _yolact() -> Dict[str, Any]:
    """Its boxes and categories, without masks."""
    head = dict(
        type="YOLACTHead",
        in_channels=32,
        feat_channels=16,
        anchor_generator=dict(
            type="AnchorGenerator",
            octave_base_scale=3,
            scales_per_octave=1,
            ratios=[0.5, 1.0, 2.0],
            strides=STRIDES,
        ),
        num_protos=4,
        use_ohem=False,
        loss_cls=_FOCAL,
        loss_bbox=dict(type="L1Loss"),
    )
    detector = _retina()
    return dict(detector, bbox_head=head)


def _fsaf() -> Dict[str, Any]:
    generator = dict(_SQUARES, octave_base_scale=1)
    head = dict(
        type="FSAFHead",
        **_STACKED,
        reg_decoded_bbox=True,
        anchor_generator=generator,
        bbox_coder=dict(type="TBLRBBoxCoder", normalizer=4.0),
        loss_cls=dict(_FOCAL, reduction="none"),
        loss_bbox=dict(type="IoULoss", eps=1e-6, reduction="none"),
    )
    assigner = dict(type="CenterRegionAssigner", pos_scale=0.2, neg_scale=0.4)
    train_cfg = dict(assigner=assigner, allowed_border=-1, pos_weight=-1, debug=False)
    return dict(type="FSAF", bbox_head=head, train_cfg=train_cfg)


def _centernet() -> Dict[str, Any]:
    """Of one level, of stride 8."""
    neck = dict(
        type="CTResNetNeck",
        num_deconv_filters=[32],
        num_deconv_kernels=[4],
        use_dcn=False,
    )
    head = dict(
        type="CenterNetHead",
        in_channels=32,
        feat_channels=16,
        loss_center_heatmap=dict(type="GaussianFocalLoss"),
        loss_wh=dict(type="L1Loss", loss_weight=0.1),
        loss_offset=dict(type="L1Loss"),
    )
    detector = dict(type="CenterNet", neck=neck, backbone=dict(out_indices=(2,)))
    return dict(detector, bbox_head=head)


# Places a side of each level, and which objects are of it, by the root of their area.
GRIDS = (12, 8, 5)
SCALES = ((1, 24), (16, 40), (30, 128))


def _solo(kind: str = "SOLOHead", **settings) -> Dict[str, Any]:
    head = dict(
        type=kind,
        **_STACKED,
        **_NORM,
        strides=[8, 8, 8],  # all maps are brought to
        scale_ranges=SCALES,
        num_grids=GRIDS,
        pos_scale=0.2,
        cls_down_index=0,
        loss_mask=dict(type="DiceLoss", use_sigmoid=True),
        loss_cls=_FOCAL,
        **settings,
    )
    return dict(type="SOLO", mask_head=head)


def _solov2() -> Dict[str, Any]:
    features = dict(
        feat_channels=8,
        start_level=0,
        end_level=2,
        out_channels=8,
        mask_stride=4,
        **_NORM,
    )
    cfg = _solo("SOLOV2Head", mask_feature_head=features)
    return dict(cfg, type="SOLOv2")


def _solo_decoupled() -> Dict[str, Any]:
    return _solo("DecoupledSOLOHead")


def _solo_light() -> Dict[str, Any]:
    return _solo("DecoupledSOLOLightHead")


KINDS = dict(
    retina=_retina,
    fcos=_fcos,
    gfl=_gfl,
    rtmdet=_rtmdet,
    yolox=_yolox,
    atss=_atss,
    vfnet=_vfnet,
    paa=_paa,
    tood=_tood,
    ddod=_ddod,
    fovea=_fovea,
    yolof=_yolof,
    reppoints=_reppoints,
    yolact=_yolact,
    fsaf=_fsaf,
    centernet=_centernet,
    solo=_solo,
    solov2=_solov2,
    solo_decoupled=_solo_decoupled,
    solo_light=_solo_light,
)


def dense_detector(
    kind: str, channels: int = 8, classes: int = 4, **head
) -> Dict[str, Any]:
    """Config of a small one-stage detector.

    Args:
        kind: Which one, of ``KINDS``.
        channels: Width of the backbone.
        classes: Categories.
        **head: Other settings of the head.
    """
    base = detector(channels)
    cfg = KINDS[kind]()
    cfg["bbox_head" if "bbox_head" in cfg else "mask_head"].update(
        num_classes=classes, **head
    )
    test_cfg = dict(
        nms_pre=100,
        min_bbox_size=0,
        score_thr=0.05,
        nms=dict(type="nms", iou_threshold=0.6),
        max_per_img=30,
    )
    parts = {k: base[k] for k in ("data_preprocessor", "backbone", "neck")}
    parts["backbone"].update(cfg.pop("backbone", {}))
    if "neck" in cfg:  # of one level
        cfg["neck"]["in_channels"] = 4 * channels
    return dict(parts, test_cfg=test_cfg, _scope_="mmdet", **cfg)
