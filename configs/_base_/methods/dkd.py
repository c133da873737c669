# DKD (Zhao et al., CVPR 2022): CE + TCKD + beta NCKD at T = 4, growing over the first
# 20 of 240 epochs (here that share of any schedule). Beta is published by teacher: 2
# for resnet56 and resnet110, 6 for wrn_40_2 and vgg13, 8 for resnet32x4 and resnet50.
# It is 8 here; a run config whose teacher asks for another sets it.
from mmengine.config import read_base

with read_base():
    from .single_view import *  # noqa: F403

model.distiller.update(  # noqa: F405
    student_recorders=dict(logits=dict(type="ModuleOutputs", source="classifier")),
    teacher_recorders=dict(logits=dict(type="ModuleOutputs", source="classifier")),
    # MMRazor's DKDLoss with the warm-up, and in float32 under mixed precision.
    distill_losses=dict(
        loss_dkd=dict(
            type="DecoupledKDLoss", tau=4.0, alpha=1.0, beta=8.0, warmup=20 / 240
        ),
    ),
    loss_forward_mappings=dict(
        loss_dkd=dict(
            preds_S=dict(recorder="logits", from_student=True),
            preds_T=dict(recorder="logits", from_student=False),
            gt_labels=dict(recorder="labels", from_student=True),
            progress=dict(recorder="progress", from_student=True),
        ),
    ),
)
