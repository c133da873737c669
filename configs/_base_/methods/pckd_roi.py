# PCKD for two-stage detectors: an instance is a region of interest (RoI). A run sets
# student (architecture), teacher_config and teacher_ckpt, and leaves loss_ca out where
# the two classifiers' widths differ.
_base_ = "./pckd_terms.py"

classifier = "roi_head.bbox_head.fc_cls"
sources = dict(
    feature=dict(source=classifier),
    logits=dict(source=classifier),
    centers=dict(source=f"{classifier}.weight"),
    bias=dict(source=f"{classifier}.bias"),
)
# Contrast and feature alignment are of the objects; with_background=True in the model
# takes all sampled RoIs.
objects = dict(foreground=True)
method = dict(
    type="pckd_mm.RoIDistill",
    distiller=dict(
        student_recorders=sources,
        teacher_recorders=sources,
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
del classifier, sources, objects

custom_hooks = [
    *_base_.custom_hooks,
    # A resumed run draws the random numbers of the uninterrupted one.
    dict(type="pckd_mm.ReseedHook"),
    # Bad data and recorders that never record end the run before it begins.
    dict(type="pckd_mm.PreflightHook"),
]
