# What the methods beside PCKD have in common: one view of each image, no preview.
model = dict(
    type="pckd_mm.MultiViewDistill",
    num_views=1,
    distiller=dict(type="PCKDDistiller", preview=None),
)

custom_hooks = [
    dict(type="pckd_mm.ExportStudentHook"),
    dict(type="pckd_mm.LossShareHook"),
]
