_base_ = [
    "../vanilla/digit_scenes_gfl_r18w8.py",
    "../_base_/methods/pckd_dense.py",
]

model = dict(
    _delete_=True,
    **_base_.method,
    architecture=_base_.model,
    teacher_config="configs/vanilla/digit_scenes_gfl_r18w32.py",
    teacher_ckpt="work_dirs/vanilla/digit_scenes_gfl_r18w32/epoch_18.pth",
)
