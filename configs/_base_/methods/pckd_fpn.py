# PCKD for two-stage detectors, with imitation of the feature pyramid: MMRazor's PKDLoss
# (Cao et al., NeurIPS 2022) with its weight, on each of the four levels that RoIs are
# pooled from.
_base_ = "./pckd_roi.py"

levels = {f"loss_pkd_{level}": level for level in range(4)}
pyramid = dict(pyramid=dict(type="ModuleOutputs", source="neck"))
method = dict(
    distiller=dict(
        student_recorders=pyramid,
        teacher_recorders=pyramid,
        distill_losses={loss: dict(type="PKDLoss", loss_weight=6) for loss in levels},
        loss_forward_mappings={
            loss: dict(
                preds_S=dict(recorder="pyramid", from_student=True, data_idx=level),
                preds_T=dict(recorder="pyramid", from_student=False, data_idx=level),
            )
            for loss, level in levels.items()
        },
    )
)
del levels, pyramid
