_base_ = [
    "../vanilla/digit_scenes_rtmdet_w16.py",
    "../_base_/methods/pckd_dense.py",
]

method = _base_.method
# The published weights times 0.77. With it L_FA is to the student's own losses at the
# start what it is for the pair of two stages; measured on scenes of another seed.
losses = method.distiller.distill_losses
losses.loss_kd.loss_weight = 0.77
losses.loss_cc.loss_weight = 0.0385
losses.loss_ca.loss_weight = 0.77
losses.loss_fa.loss_weight = 15.4
del losses
model = dict(
    _delete_=True,
    **method,
    architecture=_base_.model,
    teacher_config="configs/vanilla/digit_scenes_rtmdet_w64.py",
    teacher_ckpt="work_dirs/vanilla/digit_scenes_rtmdet_w64/epoch_18.pth",
)
