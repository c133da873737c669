# Not the paper's: PCKD with L_KD in DIST's form, under the preview's weights.
from mmengine.config import read_base

with read_base():
    from .pckd import *  # noqa: F403

model.distiller.distill_losses.loss_kd = dict(  # noqa: F405
    type="DISTRelationLoss", inter_loss_weight=2.0, intra_loss_weight=2.0, tau=4.0
)
model.distiller.loss_forward_mappings.loss_kd = dict(  # noqa: F405
    logits_S=dict(recorder="logits", from_student=True, view=0),
    logits_T=dict(recorder="logits", from_student=False, view=0),
    weight=dict(recorder="preview", from_student=True),
)
