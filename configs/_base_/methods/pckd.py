# PCKD. A pair sets the student (architecture), the teacher and its checkpoint.
from mmengine.config import read_base

with read_base():
    from .pckd_terms import custom_hooks  # noqa: F401
    from .pckd_terms import method as model

model.update(
    type="pckd_mm.MultiViewDistill",
    num_views=4,  # turned by 0, 90, 180, 270 degrees
    distiller=dict(
        # view=0 is the upright view; without it all views are taken.
        loss_forward_mappings=dict(
            loss_kd=dict(preds_S=dict(view=0), preds_T=dict(view=0)),
        ),
    ),
)
