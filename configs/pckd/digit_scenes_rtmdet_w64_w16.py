_base_ = [
    "../vanilla/digit_scenes_rtmdet_w16.py",
    "../_base_/methods/pckd_dense.py",
]

model = dict(
    _delete_=True,
    **_base_.method,
    architecture=_base_.model,
    teacher_config="configs/vanilla/digit_scenes_rtmdet_w64.py",
    teacher_ckpt="work_dirs/vanilla/digit_scenes_rtmdet_w64/epoch_18.pth",
)
