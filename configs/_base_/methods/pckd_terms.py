# The terms of PCKD, whatever their instances are: views of images, or a detector's
# regions of interest. A method on top of it names the sources of the recorders.
method = dict(
    distiller=dict(
        type="PCKDDistiller",
        preview=dict(type="PreviewStrategy"),
        # What is recorded: the features in front of the classifier, the logits behind
        # it, and its weight and bias, the category centers. Which layers the classifier
        # is made of is found by running the network.
        student_recorders=dict(
            feature=dict(type="ModuleInputs", source="classifier"),
            logits=dict(type="ModuleOutputs", source="classifier"),
            centers=dict(type="Parameter", source="classifier.weight"),
            bias=dict(type="Parameter", source="classifier.bias"),
        ),
        teacher_recorders=dict(
            feature=dict(type="ModuleInputs", source="classifier"),
            logits=dict(type="ModuleOutputs", source="classifier"),
            centers=dict(type="Parameter", source="classifier.weight"),
            bias=dict(type="Parameter", source="classifier.bias"),
        ),
        # 'student' and 'teacher' stand for the widths of their features.
        connectors=dict(
            align=dict(
                type="MLPConnector", in_channels="student", out_channels="teacher"
            ),
            s_embed=dict(
                type="EmbedConnector", in_channels="student", out_channels="student"
            ),
            t_embed=dict(
                type="EmbedConnector", in_channels="student", out_channels="teacher"
            ),
        ),
        # Weights: the published command's (WRN-40-2 -> WRN-16-2), and delta = 1.
        distill_losses=dict(
            loss_kd=dict(type="PreviewKLDivergence", tau=4.0, loss_weight=1.0),
            loss_cc=dict(
                type="CategoryContrastiveLoss",
                tau=4.0,
                base_tau=0.07,
                loss_weight=0.05,
            ),
            # Left out, with a line in the log, where the classifiers' widths differ.
            loss_ca=dict(type="CategoryAlignmentLoss", loss_weight=1.0, optional=True),
            loss_fa=dict(type="FeatureAlignmentLoss", loss_weight=20.0),
        ),
        # Each argument of each loss: a record, through a connector.
        loss_forward_mappings=dict(
            loss_kd=dict(
                preds_S=dict(recorder="logits", from_student=True),
                preds_T=dict(recorder="logits", from_student=False),
                weight=dict(recorder="preview", from_student=True),
            ),
            loss_cc=dict(
                s_embed=dict(
                    recorder="feature",
                    from_student=True,
                    data_idx=0,
                    connector="s_embed",
                ),
                t_embed=dict(
                    recorder="feature",
                    from_student=True,
                    data_idx=0,
                    connector="t_embed",
                ),
                s_centers=dict(recorder="centers", from_student=True),
                t_centers=dict(recorder="centers", from_student=False),
                labels=dict(recorder="labels", from_student=True),
                weight=dict(recorder="preview", from_student=True),
            ),
            loss_ca=dict(
                s_centers=dict(recorder="centers", from_student=True),
                t_centers=dict(recorder="centers", from_student=False),
                s_bias=dict(recorder="bias", from_student=True),
                t_bias=dict(recorder="bias", from_student=False),
            ),
            loss_fa=dict(
                s_feat=dict(
                    recorder="feature", from_student=True, data_idx=0, connector="align"
                ),
                t_feat=dict(recorder="feature", from_student=False, data_idx=0),
            ),
        ),
    ),
)

custom_hooks = [
    dict(type="pckd_mm.ExportStudentHook"),
    dict(type="pckd_mm.LossShareHook"),
    dict(type="pckd_mm.PreviewRecordHook"),
]
