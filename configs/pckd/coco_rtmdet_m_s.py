_base_ = ["../vanilla/coco_rtmdet_s.py", "../_base_/methods/pckd_dense.py"]

model = dict(
    _delete_=True,
    **_base_.method,
    architecture=_base_.model,
    teacher_config="mmdet::rtmdet/rtmdet_m_8xb32-300e_coco.py",
    teacher_ckpt=(
        "https://download.openmmlab.com/mmdetection/v3.0/rtmdet/"
        "rtmdet_m_8xb32-300e_coco/"
        "rtmdet_m_8xb32-300e_coco_20220719_112220-229f527c.pth"
    ),
)
