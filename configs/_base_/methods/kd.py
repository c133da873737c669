# KD (Hinton et al., 2015) with the CRD benchmark's weights, 0.1 CE + 0.9 KL at T = 4,
# on one view of each image.
model = dict(
    type="pckd_mm.MultiViewDistill",
    num_views=1,
    architecture=dict(head=dict(loss=dict(type="CrossEntropyLoss", loss_weight=0.1))),
    distiller=dict(
        type="PCKDDistiller",
        preview=None,
        student_recorders=dict(logits=dict(type="ModuleOutputs", source="head.fc")),
        teacher_recorders=dict(logits=dict(type="ModuleOutputs", source="head.fc")),
        distill_losses=dict(
            loss_kd=dict(type="KLDivergence", tau=4.0, loss_weight=0.9),
        ),
        loss_forward_mappings=dict(
            loss_kd=dict(
                preds_S=dict(recorder="logits", from_student=True),
                preds_T=dict(recorder="logits", from_student=False),
            ),
        ),
    ),
)

custom_hooks = [dict(type="pckd_mm.ExportStudentHook")]
