# Ablation: PCKD that drops hard images, as a classic curriculum does.
from mmengine.config import read_base

with read_base():
    from .pckd import *  # noqa: F403

model.distiller.preview.type = "CurriculumStrategy"  # noqa: F405
