# PCKD for two-stage detectors: an instance is a region of interest (RoI). A run sets
# student (architecture), teacher_config and teacher_ckpt.
_base_ = "./pckd_terms.py"

# Contrast and feature alignment are of the objects; with_background=True in the model
# takes all sampled RoIs.
objects = dict(foreground=True)
method = dict(
    type="pckd_mm.RoIDistill",
    distiller=dict(
        # 16 times the 1024 features of mmdet's box heads, as for classifiers, would be
        # nearly as many parameters as a student's (33.6 million). A batch may have no
        # object.
        connectors=dict(align=dict(hidden_channels=4096, allow_few_rows=True)),
        loss_forward_mappings=dict(
            loss_cc=dict(
                s_embed=objects, t_embed=objects, labels=objects, weight=objects
            ),
            loss_fa=dict(s_feat=objects, t_feat=objects),
        ),
    ),
)
del objects

# Before mmrazor; plain detectors need nothing of this package.
custom_imports = dict(imports=["pckd_mm"], allow_failed_imports=False)
custom_hooks = [
    *_base_.custom_hooks,
    # A resumed run draws the random numbers of the uninterrupted one.
    dict(type="pckd_mm.ReseedHook"),
    # Bad data and recorders that never record end the run before it begins.
    dict(type="pckd_mm.PreflightHook"),
]
