# Not the paper's definition, but its figure: PCKD with L_CC between the student's
# features and the category centers themselves.
from mmengine.config import read_base

with read_base():
    from .pckd import *  # noqa: F403

model.distiller.distill_losses.loss_cc = dict(  # noqa: F405
    type="CenterContrastiveLoss", tau=0.07, loss_weight=0.05
)
