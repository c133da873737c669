# FitNet (Romero et al., ICLR 2015) with the CRD benchmark's weight, CE + 100 times the
# mean squared error of the second stage's feature behind a regressor, in one stage of
# training. MMRazor's L2Loss, as a mean over all elements and in float32.
from mmengine.config import read_base

with read_base():
    from .single_view import *  # noqa: F403

model.input_shape = (3, 32, 32)  # noqa: F405
model.distiller.update(  # noqa: F405
    student_recorders=dict(stages=dict(type="StageOutputs")),
    teacher_recorders=dict(stages=dict(type="StageOutputs")),
    # data_idx=1, or .1 in a shape, is the second stage.
    connectors=dict(
        hint=dict(
            type="HintConnector",
            in_shape="student.stages.1",
            out_shape="teacher.stages.1",
        ),
    ),
    distill_losses=dict(loss_hint=dict(type="HintLoss", loss_weight=100.0)),
    loss_forward_mappings=dict(
        loss_hint=dict(
            s_feature=dict(
                recorder="stages", from_student=True, data_idx=1, connector="hint"
            ),
            t_feature=dict(recorder="stages", from_student=False, data_idx=1),
        ),
    ),
)
