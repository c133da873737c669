# Ablation: PCKD with weights of the focal loss, which prefer hard images.
from mmengine.config import read_base

with read_base():
    from .pckd import *  # noqa: F403

model.distiller.preview = dict(type="FocalStrategy")  # noqa: F405
custom_hooks = [  # nothing is previewed
    dict(type="pckd_mm.ExportStudentHook"),
    dict(type="pckd_mm.LossShareHook"),
]
