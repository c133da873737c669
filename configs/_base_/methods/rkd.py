# RKD (Park et al., CVPR 2019) with the CRD benchmark's weights, CE + 25 distance + 50
# angle, on the features in front of the classifier. MMRazor's losses, but in float32
# under mixed precision and of features that are not scaled to length one.
from mmengine.config import read_base

with read_base():
    from .single_view import *  # noqa: F403

model.distiller.update(  # noqa: F405
    student_recorders=dict(feature=dict(type="ModuleInputs", source="classifier")),
    teacher_recorders=dict(feature=dict(type="ModuleInputs", source="classifier")),
    distill_losses=dict(
        loss_distance=dict(type="DistanceRKDLoss", loss_weight=25.0),
        loss_angle=dict(type="AngleRKDLoss", loss_weight=50.0),
    ),
    loss_forward_mappings=dict(
        loss_distance=dict(
            preds_S=dict(recorder="feature", from_student=True, data_idx=0),
            preds_T=dict(recorder="feature", from_student=False, data_idx=0),
        ),
        loss_angle=dict(
            preds_S=dict(recorder="feature", from_student=True, data_idx=0),
            preds_T=dict(recorder="feature", from_student=False, data_idx=0),
        ),
    ),
)
