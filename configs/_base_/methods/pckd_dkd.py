# Not the paper's: PCKD with L_KD in DKD's form, under the preview's weights.
from mmengine.config import read_base

with read_base():
    from .pckd import *  # noqa: F403

model.distiller.distill_losses.loss_kd = dict(  # noqa: F405
    type="DecoupledKDLoss", tau=4.0, alpha=1.0, beta=8.0, warmup=20 / 240
)
model.distiller.loss_forward_mappings.loss_kd = dict(  # noqa: F405
    preds_S=dict(recorder="logits", from_student=True, view=0),
    preds_T=dict(recorder="logits", from_student=False, view=0),
    gt_labels=dict(recorder="labels", from_student=True),
    progress=dict(recorder="progress", from_student=True),
    weight=dict(recorder="preview", from_student=True),
)
