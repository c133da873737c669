# KD (Hinton et al., 2015) with the CRD benchmark's weights, 0.1 CE + 0.9 KL at T = 4.
from mmengine.config import read_base

with read_base():
    from .single_view import *  # noqa: F403

cross_entropy = dict(type="CrossEntropyLoss", loss_weight=0.1)
model.architecture = dict(head=dict(loss=cross_entropy))  # noqa: F405
del cross_entropy
model.distiller.update(  # noqa: F405
    student_recorders=dict(logits=dict(type="ModuleOutputs", source="classifier")),
    teacher_recorders=dict(logits=dict(type="ModuleOutputs", source="classifier")),
    distill_losses=dict(
        loss_kd=dict(type="KLDivergence", tau=4.0, loss_weight=0.9),
    ),
    loss_forward_mappings=dict(
        loss_kd=dict(
            preds_S=dict(recorder="logits", from_student=True),
            preds_T=dict(recorder="logits", from_student=False),
        ),
    ),
)
