# DIST (Huang et al., NeurIPS 2022): CE + 2 inter-class + 2 intra-class relation, on
# probabilities at T = 4 as for CIFAR-100. MMRazor's loss, in float32 throughout.
from mmengine.config import read_base

with read_base():
    from .single_view import *  # noqa: F403

model.distiller.update(  # noqa: F405
    student_recorders=dict(logits=dict(type="ModuleOutputs", source="classifier")),
    teacher_recorders=dict(logits=dict(type="ModuleOutputs", source="classifier")),
    distill_losses=dict(
        loss_dist=dict(
            type="DISTRelationLoss",
            inter_loss_weight=2.0,
            intra_loss_weight=2.0,
            tau=4.0,
        ),
    ),
    loss_forward_mappings=dict(
        loss_dist=dict(
            logits_S=dict(recorder="logits", from_student=True),
            logits_T=dict(recorder="logits", from_student=False),
        ),
    ),
)
