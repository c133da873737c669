"""Students that MMPretrain runs and does not train, and those that stay as they are."""

import copy

import pytest
import torch
from mmengine.optim import build_optim_wrapper

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


def test_a_frozen_student_is_refused_and_the_advice_holds():
    """A network that was a teacher is frozen in place, and copies are so too."""
    first, teacher = (MODELS.build(classifier(depth)) for depth in (8, 14))
    MODELS.build(pckd_config(first, teacher))
    student = copy.deepcopy(teacher)
    with pytest.raises(ValueError, match="no parameter .*: call requires_grad_"):
        MODELS.build(pckd_config(student, teacher))
    student.requires_grad_(True)
    assert distil(student, teacher)["distill.loss_kd"].requires_grad
    # Parts of it may be frozen.
    student.requires_grad_(False).head.requires_grad_(True)
    MODELS.build(pckd_config(student, teacher))


def test_the_teacher_is_no_student():
    network = MODELS.build(classifier(8))
    with pytest.raises(ValueError, match="29 of its 29 .* are the teacher's") as error:
        MODELS.build(pckd_config(network, network))
    assert len(list(network.parameters())) == 29  # 3 + 3 * 6 + 2 * 3 + 2
    # Nothing was frozen, so that the advice holds.
    assert "copy.deepcopy(network)" in str(error.value)
    MODELS.build(pckd_config(network, copy.deepcopy(network)))


def test_a_trunk_of_both_must_be_frozen():
    student, teacher = MODELS.build(classifier(8)), MODELS.build(classifier(14))
    student.backbone.conv1 = teacher.backbone.conv1
    with pytest.raises(ValueError, match="1 of its 29 .* such as backbone.conv1.weig"):
        MODELS.build(pckd_config(student, teacher))
    teacher.backbone.conv1.requires_grad_(False)
    MODELS.build(pckd_config(student, teacher))


def vision_transformer():
    backbone = dict(
        type="mmpretrain.VisionTransformer",
        arch=dict(embed_dims=8, num_layers=3, num_heads=2, feedforward_channels=16),
        img_size=8,
        patch_size=4,
    )
    loss = dict(type="mmpretrain.CrossEntropyLoss")
    head = dict(num_classes=10, in_channels=8, loss=loss)
    head["type"] = "mmpretrain.VisionTransformerClsHead"
    return dict(type="mmpretrain.ImageClassifier", backbone=backbone, head=head)


def decaying(model):
    """Learning rates by name, with the rate of each layer half of the next one's."""
    wrapper = build_optim_wrapper(
        model,
        dict(
            constructor="mmpretrain.LearningRateDecayOptimWrapperConstructor",
            paramwise_cfg=dict(layer_decay_rate=0.5),
            optimizer=dict(type="AdamW", lr=1.0, weight_decay=0.1),
        ),
    )
    return {g["param_name"]: g["lr"] for g in wrapper.optimizer.param_groups}


def test_learning_rates_decay_by_the_layers_of_the_student():
    algorithm = MODELS.build(
        pckd_config(vision_transformer(), classifier(14), input_shape=(3, 8, 8))
    )
    alone, found = decaying(algorithm.student), decaying(algorithm)
    assert set(alone.values()) == {1.0, 0.5, 0.25, 0.125, 0.0625}
    connectors = {name for name in found if name.startswith("distiller.connectors")}
    assert connectors and all(found.pop(name) == 1.0 for name in connectors)
    assert found == {f"architecture.{name}": rate for name, rate in alone.items()}


def test_layers_that_have_no_number():
    model = MODELS.build(pckd_config(classifier(8), classifier(14)))
    with pytest.raises(NotImplementedError, match="a CIFARResNet, does not number its"):
        decaying(model)
