"""The smallest detector of each folder of mmdet's configs.

Of a folder of several kinds it is one in two stages, where there is one.
"""

from typing import Any, Dict

# Categories of every detector in the sweep.
CATEGORIES = 4


def _kind(source: str, size: int = 128, **settings: Any) -> dict:
    settings = {name.replace("__", "."): value for name, value in settings.items()}
    return dict(source=source, size=size, labels="boxes", settings=settings)


DETECTORS: Dict[str, Dict[str, Any]] = {
    "albu_example": _kind("albu_example/mask-rcnn_r50_fpn_albu-1x_coco.py"),
    "atss": _kind("atss/atss_r18_fpn_8xb8-amp-lsj-200e_coco.py"),
    "autoassign": _kind("autoassign/autoassign_r50-caffe_fpn_1x_coco.py"),
    "boxinst": _kind("boxinst/boxinst_r50_fpn_ms-90k_coco.py"),
    "bytetrack": _kind(
        "bytetrack/bytetrack_yolox_x_8xb4-80e_crowdhuman-mot20train_test-mot20test.py"
    ),
    "carafe": _kind("carafe/faster-rcnn_r50_fpn-carafe_1x_coco.py"),
    "cascade_rcnn": _kind(
        "cascade_rcnn/cascade-rcnn_r18_fpn_8xb8-amp-lsj-200e_coco.py"
    ),
    "cascade_rpn": _kind(
        "cascade_rpn/cascade-rpn_faster-rcnn_r50-caffe_fpn_1x_coco.py"
    ),
    "centernet": _kind("centernet/centernet_r18_8xb16-crop512-140e_coco.py"),
    "centripetalnet": _kind(
        "centripetalnet/centripetalnet_hourglass104_16xb6-crop511-210e-mstest_coco.py"
    ),
    "cityscapes": _kind("cityscapes/faster-rcnn_r50_fpn_1x_cityscapes.py"),
    "condinst": _kind("condinst/condinst_r50_fpn_ms-poly-90k_coco_instance.py"),
    "conditional_detr": _kind("conditional_detr/conditional-detr_r50_8xb2-50e_coco.py"),
    "convnext": _kind("convnext/mask-rcnn_convnext-t-p4-w7_fpn_amp-ms-crop-3x_coco.py"),
    "cornernet": _kind("cornernet/cornernet_hourglass104_8xb6-210e-mstest_coco.py"),
    "crowddet": _kind("crowddet/crowddet-rcnn_r50_fpn_8xb2-30e_crowdhuman.py"),
    "dab_detr": _kind("dab_detr/dab-detr_r50_8xb2-50e_coco.py"),
    "dcn": _kind("dcn/faster-rcnn_r50-dconv-c3-c5_fpn_1x_coco.py"),
    "dcnv2": _kind("dcnv2/faster-rcnn_r50-mdconv-c3-c5_fpn_1x_coco.py"),
    "ddod": _kind("ddod/ddod_r50_fpn_1x_coco.py", size=384),
    "ddq": _kind("ddq/ddq-detr-4scale_r50_8xb2-12e_coco.py"),
    "deepfashion": _kind("deepfashion/mask-rcnn_r50_fpn_15e_deepfashion.py"),
    "deepsort": _kind(
        "deepsort/deepsort_faster-rcnn_r50_fpn_8xb2-4e_mot17train_test-mot17test.py"
    ),
    "deformable_detr": _kind("deformable_detr/deformable-detr_r50_16xb2-50e_coco.py"),
    "detectors": _kind("detectors/cascade-rcnn_r50-rfp_1x_coco.py"),
    "detr": _kind("detr/detr_r18_8xb2-500e_coco.py"),
    "dino": _kind("dino/dino-4scale_r50_8xb2-12e_coco.py"),
    "double_heads": _kind("double_heads/dh-faster-rcnn_r50_fpn_1x_coco.py"),
    "dsdl": _kind("dsdl/coco.py"),
    "dyhead": _kind("dyhead/atss_r50_fpn_dyhead_1x_coco.py"),
    "dynamic_rcnn": _kind("dynamic_rcnn/dynamic-rcnn_r50_fpn_1x_coco.py"),
    "efficientnet": _kind("efficientnet/retinanet_effb3_fpn_8xb4-crop896-1x_coco.py"),
    "empirical_attention": _kind(
        "empirical_attention/faster-rcnn_r50-attn0010_fpn_1x_coco.py"
    ),
    "fast_rcnn": _kind("fast_rcnn/fast-rcnn_r50_fpn_1x_coco.py"),
    "faster_rcnn": _kind("faster_rcnn/faster-rcnn_r18_fpn_8xb8-amp-lsj-200e_coco.py"),
    "fcos": _kind(
        "fcos/fcos_r18_fpn_gn-head-center-normbbox-centeronreg-giou_8xb8-amp-lsj-200e_coco.py"
    ),
    "foveabox": _kind("foveabox/fovea_r50_fpn_4xb4-1x_coco.py"),
    "fpg": _kind("fpg/faster-rcnn_r50_fpg_crop640-50e_coco.py"),
    "free_anchor": _kind("free_anchor/freeanchor_r50_fpn_1x_coco.py"),
    "fsaf": _kind("fsaf/fsaf_r50_fpn_1x_coco.py"),
    "gcnet": _kind("gcnet/mask-rcnn_r50-syncbn_fpn_1x_coco.py"),
    "gfl": _kind("gfl/gfl_r50_fpn_1x_coco.py"),
    "ghm": _kind("ghm/retinanet_r50_fpn_ghm-1x_coco.py"),
    "gn": _kind("gn/mask-rcnn_r50_fpn_gn-all_2x_coco.py"),
    "gn+ws": _kind("gn+ws/faster-rcnn_r50_fpn_gn-ws-all_1x_coco.py"),
    "grid_rcnn": _kind("grid_rcnn/grid-rcnn_r50_fpn_gn-head_1x_coco.py"),
    "groie": _kind("groie/faste-rcnn_r50_fpn_groie_1x_coco.py"),
    "guided_anchoring": _kind("guided_anchoring/ga-faster-rcnn_r50_fpn_1x_coco.py"),
    "hrnet": _kind("hrnet/faster-rcnn_hrnetv2p-w18-1x_coco.py"),
    "htc": _kind("htc/htc_r50_fpn_1x_coco.py"),
    "instaboost": _kind("instaboost/mask-rcnn_r50_fpn_instaboost-4x_coco.py"),
    "lad": _kind("lad/lad_r50-paa-r101_fpn_2xb8_coco_1x.py", teacher_ckpt=None),
    "legacy_1.x": _kind("legacy_1.x/faster-rcnn_r50_fpn_1x_coco_v1.py"),
    "libra_rcnn": _kind("libra_rcnn/libra-faster-rcnn_r50_fpn_1x_coco.py"),
    "lvis": _kind("lvis/mask-rcnn_r50_fpn_sample1e-3_ms-1x_lvis-v1.py"),
    "mask2former": _kind("mask2former/mask2former_r50_8xb2-lsj-50e_coco.py"),
    "mask2former_vis": _kind(
        "mask2former_vis/mask2former_r50_8xb2-8e_youtubevis2019.py"
    ),
    "mask_rcnn": _kind("mask_rcnn/mask-rcnn_r18_fpn_8xb8-amp-lsj-200e_coco.py"),
    "maskformer": _kind("maskformer/maskformer_r50_ms-16xb1-75e_coco.py"),
    "masktrack_rcnn": _kind(
        "masktrack_rcnn/masktrack-rcnn_mask-rcnn_r50_fpn_8xb1-12e_youtubevis2019.py"
    ),
    "ms_rcnn": _kind("ms_rcnn/ms-rcnn_r50_fpn_1x_coco.py"),
    # Newer torch refuses eps=0, which its normalisation has.
    "nas_fcos": _kind(
        "nas_fcos/nas-fcos_r50-caffe_fpn_nashead-gn-head_4xb4-1x_coco.py",
        backbone__norm_cfg__eps=1e-5,
    ),
    "nas_fpn": _kind("nas_fpn/retinanet_r50_fpn_crop640-50e_coco.py"),
    "objects365": _kind("objects365/faster-rcnn_r50_fpn_16xb4-1x_objects365v1.py"),
    "ocsort": _kind(
        "ocsort/ocsort_yolox_x_8xb4-amp-80e_crowdhuman-mot20train_test-mot20test.py"
    ),
    "openimages": _kind("openimages/faster-rcnn_r50_fpn_32xb2-1x_openimages.py"),
    "paa": _kind("paa/paa_r50_fpn_1x_coco.py"),
    "pafpn": _kind("pafpn/faster-rcnn_r50_pafpn_1x_coco.py"),
    "panoptic_fpn": _kind("panoptic_fpn/panoptic-fpn_r50_fpn_1x_coco.py"),
    "pascal_voc": _kind("pascal_voc/faster-rcnn_r50_fpn_1x_voc0712.py"),
    "pisa": _kind("pisa/faster-rcnn_r50_fpn_pisa_1x_coco.py"),
    "point_rend": _kind("point_rend/point-rend_r50-caffe_fpn_ms-1x_coco.py"),
    "pvt": _kind("pvt/retinanet_pvtv2-b0_fpn_1x_coco.py", backbone__init_cfg=None),
    "qdtrack": _kind("qdtrack/qdtrack_faster-rcnn_r50_fpn_4e_base.py"),
    "queryinst": _kind("queryinst/queryinst_r50_fpn_1x_coco.py"),
    "regnet": _kind("regnet/faster-rcnn_regnetx-400MF_fpn_ms-3x_coco.py"),
    "reid": _kind("reid/reid_r50_8xb32-6e_mot15train80_test-mot15val20.py"),
    "reppoints": _kind("reppoints/reppoints-moment_r50_fpn_1x_coco.py"),
    "res2net": _kind("res2net/faster-rcnn_res2net-101_fpn_2x_coco.py"),
    "resnest": _kind(
        "resnest/faster-rcnn_s50_fpn_syncbn-backbone+head_ms-range-1x_coco.py"
    ),
    "resnet_strikes_back": _kind(
        "resnet_strikes_back/faster-rcnn_r50-rsb-pre_fpn_1x_coco.py"
    ),
    "retinanet": _kind("retinanet/retinanet_r18_fpn_1x_coco.py"),
    "rpn": _kind("rpn/rpn_r50_fpn_1x_coco.py"),
    "rtmdet": _kind("rtmdet/rtmdet_tiny_8xb32-300e_coco.py"),
    "sabl": _kind("sabl/sabl-faster-rcnn_r50_fpn_1x_coco.py"),
    "scnet": _kind("scnet/scnet_r50_fpn_1x_coco.py"),
    "scratch": _kind("scratch/faster-rcnn_r50-scratch_fpn_gn-all_6x_coco.py"),
    "seesaw_loss": _kind(
        "seesaw_loss/mask-rcnn_r50_fpn_seesaw-loss_random-ms-2x_lvis-v1.py"
    ),
    "selfsup_pretrain": _kind("selfsup_pretrain/mask-rcnn_r50-swav-pre_fpn_1x_coco.py"),
    "simple_copy_paste": _kind(
        "simple_copy_paste/mask-rcnn_r50_fpn_rpn-2conv_4conv1fc_syncbn-all_32xb2-ssj-90k_coco.py"
    ),
    "soft_teacher": _kind(
        "soft_teacher/soft-teacher_faster-rcnn_r50-caffe_fpn_180k_semi-0.1-coco.py"
    ),
    "solo": _kind("solo/solo_r18_fpn_8xb8-lsj-200e_coco.py"),
    "solov2": _kind("solov2/solov2-light_r18_fpn_ms-3x_coco.py"),
    "sort": _kind(
        "sort/faster-rcnn_r50_fpn_8xb2-4e_mot17halftrain_test-mot17halfval.py",
        roi_head__bbox_head__num_classes=CATEGORIES,
    ),
    "sparse_rcnn": _kind("sparse_rcnn/sparse-rcnn_r50_fpn_1x_coco.py"),
    "ssd": _kind("ssd/ssd300_coco.py"),
    "strong_baselines": _kind(
        "strong_baselines/mask-rcnn_r50_fpn_rpn-2conv_4conv1fc_syncbn-all_lsj-50e_coco.py"
    ),
    "strongsort": _kind(
        "strongsort/yolox_x_8xb4-80e_crowdhuman-mot20train_test-mot20test.py",
        bbox_head__num_classes=CATEGORIES,
    ),
    "swin": _kind("swin/mask-rcnn_swin-t-p4-w7_fpn_1x_coco.py"),
    "timm_example": _kind("timm_example/retinanet_timm-tv-resnet50_fpn_1x_coco.py"),
    "tood": _kind("tood/tood_r50_fpn_1x_coco.py"),
    "tridentnet": _kind("tridentnet/tridentnet_r50-caffe_1x_coco.py"),
    "v3det": _kind("v3det/faster_rcnn_r50_fpn_8x4_sample1e-3_mstrain_v3det_2x.py"),
    "vfnet": _kind("vfnet/vfnet_r50_fpn_1x_coco.py"),
    "wider_face": _kind("wider_face/ssd300_8xb32-24e_widerface.py"),
    "yolact": _kind("yolact/yolact_r50_1xb8-55e_coco.py"),
    "yolo": _kind("yolo/yolov3_mobilenetv2_8xb24-320-300e_coco.py"),
    "yolof": _kind("yolof/yolof_r50-c5_8xb8-1x_coco.py"),
    "yolox": _kind("yolox/yolox_nano_8xb8-300e_coco.py"),
}
