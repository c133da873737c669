# PCKD for one-stage detectors: an instance is a place of a level, or one of its
# anchors. A run sets student (architecture), teacher_config and teacher_ckpt.
#
# The weights are not those of classifiers, which are too large here: GFL on scenes of
# digits had a mAP@0.5 of 57.8 with about those and 66.4 with these, one seed. KD had
# 60.5 there, and 66.5 in another training. docs/design.md has all of it.
_base_ = "./pckd_terms.py"

# Contrast and alignment are of the objects. L_KD takes as much background as well, by
# a sigmoid of each category.
objects = dict(foreground=True)
group = dict(recorder="group", from_student=True, foreground=True)
method = dict(
    type="pckd_mm.DenseDistill",
    distiller=dict(
        # The feature of a place alone, of which the classifier sees a patch. A batch
        # may have no object.
        connectors=dict(
            align=dict(
                in_channels="student_place",
                out_channels="teacher_place",
                allow_few_rows=True,
            )
        ),
        distill_losses=dict(
            loss_kd=dict(tau=2.0, use_sigmoid=True),
            loss_cc=dict(loss_weight=0.001),
            loss_ca=dict(loss_weight=0.3),
            loss_fa=dict(loss_weight=1.5),
        ),
        loss_forward_mappings=dict(
            loss_cc=dict(
                s_embed=objects,
                t_embed=objects,
                labels=objects,
                weight=objects,
                group=group,
            ),
            loss_ca=dict(group=group),
            loss_fa=dict(
                s_feat=dict(objects, data_idx=1), t_feat=dict(objects, data_idx=1)
            ),
        ),
    ),
)
del objects, group

# Before mmrazor; plain detectors need nothing of this package.
custom_imports = dict(imports=["pckd_mm"], allow_failed_imports=False)
custom_hooks = [
    *_base_.custom_hooks,
    # A resumed run draws the random numbers of the uninterrupted one.
    dict(type="pckd_mm.ReseedHook"),
    # Bad data and recorders that never record end the run before it begins.
    dict(type="pckd_mm.PreflightHook"),
]
