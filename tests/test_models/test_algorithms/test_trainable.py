"""Students that MMPretrain runs and does not train."""

import pytest
import torch

from pckd_mm.registry import MODELS
from tests.builders import batch, classifier, pckd_config

HEADS = ["LeViTClsHead", "EfficientFormerClsHead"]


def distil(student, teacher):
    torch.manual_seed(0)
    model = MODELS.build(pckd_config(student, teacher))
    model.progress = 0.25
    model.load_teacher()
    return model.train()(*batch(4), mode="loss")


@pytest.mark.parametrize("head", HEADS)
def test_a_distilled_student_is_refused_and_the_advice_holds(head):
    student = classifier(8, type=f"mmpretrain.{head}")
    with pytest.raises(TypeError, match=r"cannot be trained \(MMPretrain"):
        MODELS.build(pckd_config(student, classifier(14)))
    student["head"]["distillation"] = False
    assert distil(student, classifier(14))["distill.loss_cc"].isfinite()
    # As a teacher it has both classifiers.
    student["head"]["distillation"] = True
    losses = distil(classifier(8), student)
    assert losses["distill.loss_kd"].isfinite()
    assert "distill.loss_ca" not in losses  # 16 features, and twice 16


def test_the_student_stays_as_it_is():
    model = MODELS.build(pckd_config(classifier(8), classifier(14)))
    assert all(module.training for module in model.student.modules())
