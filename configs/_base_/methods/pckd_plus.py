# Not the paper's: PCKD with L_KD in DIST's form, a fifth of L_CC's published weight and
# three times L_FA's. The best line of a search on images that were held out of
# CIFAR-100's training set (docs/results.md, "Choosing settings").
from mmengine.config import read_base

with read_base():
    from .pckd_dist import *  # noqa: F403

model.distiller.distill_losses.update(  # noqa: F405
    loss_cc=dict(loss_weight=0.01), loss_fa=dict(loss_weight=60.0)
)
