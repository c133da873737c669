_base_ = [
    "../vanilla/digit_scenes_cascade_r18w8.py",
    "../_base_/methods/pckd_roi.py",
]

method = _base_.method
# Of these small heads 16 times the teacher's 128 features, as the paper has it.
method.distiller.connectors.align.hidden_channels = None
model = dict(
    _delete_=True,
    **method,
    architecture=_base_.model,
    teacher_config="configs/vanilla/digit_scenes_cascade_r18w32.py",
    teacher_ckpt="work_dirs/vanilla/digit_scenes_cascade_r18w32/epoch_18.pth",
)
