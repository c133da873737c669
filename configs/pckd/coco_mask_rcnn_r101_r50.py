_base_ = ["../vanilla/coco_mask_rcnn_r50.py", "../_base_/methods/pckd_roi.py"]

model = dict(
    _delete_=True,
    **_base_.method,
    architecture=_base_.model,
    teacher_config="mmdet::mask_rcnn/mask-rcnn_r101_fpn_2x_coco.py",
    teacher_ckpt=(
        "https://download.openmmlab.com/mmdetection/v2.0/mask_rcnn/"
        "mask_rcnn_r101_fpn_2x_coco/"
        "mask_rcnn_r101_fpn_2x_coco_bbox_mAP-0.408__segm_mAP-0.366_20200505_071027-14b391c7.pth"
    ),
)
