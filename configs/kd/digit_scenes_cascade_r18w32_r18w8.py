_base_ = [
    "../vanilla/digit_scenes_cascade_r18w8.py",
    "../_base_/methods/kd_roi.py",
]

model = dict(
    _delete_=True,
    **_base_.method,
    architecture=_base_.model,
    teacher_config="configs/vanilla/digit_scenes_cascade_r18w32.py",
    teacher_ckpt="work_dirs/vanilla/digit_scenes_cascade_r18w32/epoch_18.pth",
)
