# AT (Zagoruyko and Komodakis, ICLR 2017) with the CRD benchmark's weight, CE + 1000
# times the squared differences of attention maps, summed over the stages. MMRazor's
# ATLoss takes one stage, of the same size in both networks.
from mmengine.config import read_base

with read_base():
    from .single_view import *  # noqa: F403

model.distiller.update(  # noqa: F405
    student_recorders=dict(stages=dict(type="StageOutputs")),
    teacher_recorders=dict(stages=dict(type="StageOutputs")),
    distill_losses=dict(
        loss_at=dict(type="AttentionTransferLoss", loss_weight=1000.0),
    ),
    loss_forward_mappings=dict(
        loss_at=dict(
            s_feature=dict(recorder="stages", from_student=True),
            t_feature=dict(recorder="stages", from_student=False),
        ),
    ),
)
