# Ablation: PCKD without category contrast (beta = 0).
from mmengine.config import read_base

with read_base():
    from .pckd import *  # noqa: F403

model.distiller.distill_losses.loss_cc = None  # noqa: F405
