_base_ = ["../vanilla/voc_retinanet_r50.py", "../_base_/methods/pckd_dense.py"]

model = dict(
    _delete_=True,
    **_base_.method,
    architecture=_base_.model,
    teacher_config="configs/vanilla/voc_retinanet_r101.py",
    teacher_ckpt="work_dirs/vanilla/voc_retinanet_r101/epoch_4.pth",
)
