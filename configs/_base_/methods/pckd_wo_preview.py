# Ablation: PCKD with weight 1 for every image.
from mmengine.config import read_base

with read_base():
    from .pckd import *  # noqa: F403

model.distiller.preview = None  # noqa: F405
custom_hooks = [  # nothing is previewed
    dict(type="pckd_mm.ExportStudentHook"),
    dict(type="pckd_mm.LossShareHook"),
]
