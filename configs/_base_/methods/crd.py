# CRD (Tian et al., ICLR 2020) with its published weight, CE + 0.8 times the contrast of
# both networks' embedded features against memories of all training images: 16,384
# negatives of other classes, or as many as there are, T = 0.07, momentum 0.5. MMRazor's
# CRDLoss ignores its loss_weight and takes negatives of all classes; ours knows the
# labels of the training set.
from mmengine.config import read_base

with read_base():
    from .single_view import *  # noqa: F403

model.distiller.update(  # noqa: F405
    student_recorders=dict(feature=dict(type="ModuleInputs", source="classifier")),
    teacher_recorders=dict(feature=dict(type="ModuleInputs", source="classifier")),
    connectors=dict(
        s_embed=dict(type="EmbedConnector", in_channels="student", out_channels=128),
        t_embed=dict(type="EmbedConnector", in_channels="teacher", out_channels=128),
    ),
    distill_losses=dict(
        loss_crd=dict(
            type="ContrastiveRepresentationLoss",
            sample_n=None,
            neg_num=16384,
            dim_out=128,
            temperature=0.07,
            momentum=0.5,
            loss_weight=0.8,
        ),
    ),
    loss_forward_mappings=dict(
        loss_crd=dict(
            s_feat=dict(
                recorder="feature",
                from_student=True,
                data_idx=0,
                connector="s_embed",
            ),
            t_feat=dict(
                recorder="feature",
                from_student=False,
                data_idx=0,
                connector="t_embed",
            ),
            sample_idx=dict(recorder="sample_idx", from_student=True),
        ),
    ),
)

custom_hooks.append(dict(type="pckd_mm.SampleLabelsHook"))  # noqa: F405
