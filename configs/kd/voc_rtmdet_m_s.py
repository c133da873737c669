_base_ = ["../vanilla/voc_rtmdet_s.py", "../_base_/methods/kd_dense.py"]

model = dict(
    _delete_=True,
    **_base_.method,
    architecture=_base_.model,
    teacher_config="configs/vanilla/voc_rtmdet_m.py",
    teacher_ckpt="work_dirs/vanilla/voc_rtmdet_m/epoch_4.pth",
)
