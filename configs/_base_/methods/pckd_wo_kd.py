# PCKD without the distillation of logits (delta = 0), a row of the published table.
from mmengine.config import read_base

with read_base():
    from .pckd import *  # noqa: F403

model.distiller.distill_losses.loss_kd = None  # noqa: F405
