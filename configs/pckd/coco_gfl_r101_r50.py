_base_ = ["../vanilla/coco_gfl_r50.py", "../_base_/methods/pckd_dense.py"]

model = dict(
    _delete_=True,
    **_base_.method,
    architecture=_base_.model,
    teacher_config="mmdet::gfl/gfl_r101_fpn_ms-2x_coco.py",
    teacher_ckpt=(
        "https://download.openmmlab.com/mmdetection/v2.0/gfl/"
        "gfl_r101_fpn_mstrain_2x_coco/"
        "gfl_r101_fpn_mstrain_2x_coco_20200629_200126-dd12f847.pth"
    ),
)
