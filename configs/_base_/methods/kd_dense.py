# KD (Hinton et al., 2015) of the class scores of objects and of as much background,
# beside the student's own losses in full: L_KD of PCKD alone, without preview.
_base_ = "./pckd_dense.py"

method = dict(
    distiller=dict(
        preview=None,
        distill_losses=dict(loss_cc=None, loss_ca=None, loss_fa=None),
    )
)
custom_hooks = [
    hook for hook in _base_.custom_hooks if hook.type != "pckd_mm.PreviewRecordHook"
]
