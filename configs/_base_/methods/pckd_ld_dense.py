# PCKD for GFL, and localisation distillation (Zheng et al., CVPR 2022): distributions
# of the sides of boxes follow the teacher's at places that have an object. The loss is
# that of mmdet's LD with its temperature and weight: each side counts by the student's
# highest score, and all are added up, over 4.
_base_ = "./pckd_dense.py"

sides = dict(type="pckd_mm.Batch", source="box_sides")
method = dict(
    distiller=dict(
        student_recorders=dict(
            sides=sides,
            side_weights=dict(type="pckd_mm.Batch", source="box_side_weights"),
        ),
        teacher_recorders=dict(sides=sides),
        distill_losses=dict(
            loss_ld=dict(
                type="mmdet.KnowledgeDistillationKLDivLoss",
                reduction="sum",
                loss_weight=0.25 / 4,
                T=10,
            )
        ),
        loss_forward_mappings=dict(
            loss_ld=dict(
                pred=dict(recorder="sides", from_student=True),
                soft_label=dict(recorder="sides", from_student=False),
                weight=dict(recorder="side_weights", from_student=True),
            )
        ),
    )
)
del sides
