_base_ = ["../vanilla/voc_yolox_s.py", "../_base_/methods/pckd_dense.py"]

model = dict(
    _delete_=True,
    **_base_.method,
    architecture=_base_.model,
    teacher_config="configs/vanilla/voc_yolox_m.py",
    teacher_ckpt="work_dirs/vanilla/voc_yolox_m/epoch_300.pth",
)
