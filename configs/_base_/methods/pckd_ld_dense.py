# PCKD for GFL, and localisation distillation (Zheng et al., CVPR 2022): distributions
# of the sides of boxes follow the teacher's at places that have an object. The loss,
# its weight and temperature are those of mmdet's LD; the mean is over all sides.
_base_ = "./pckd_dense.py"

sides = dict(sides=dict(type="pckd_mm.Batch", source="box_sides"))
method = dict(
    distiller=dict(
        student_recorders=sides,
        teacher_recorders=sides,
        distill_losses=dict(
            loss_ld=dict(
                type="mmdet.KnowledgeDistillationKLDivLoss", loss_weight=0.25, T=10
            )
        ),
        loss_forward_mappings=dict(
            loss_ld=dict(
                pred=dict(recorder="sides", from_student=True),
                soft_label=dict(recorder="sides", from_student=False),
                avg_factor=dict(recorder="num_sides", from_student=True),
            )
        ),
    )
)
del sides
