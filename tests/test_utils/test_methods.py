"""What a method gives a student, and what is taken back."""

import pytest

from pckd_mm.utils.methods import load_method, with_loss, without_method

SMOOTH = dict(type="LabelSmoothLoss", label_smooth_val=0.1)
# Students with a head, without a loss of their own, and without a head.
STUDENTS = [
    dict(type="ImageClassifier", head=dict(type="LinearClsHead", loss=SMOOTH)),
    dict(type="TimmClassifier", loss=SMOOTH),
]


def distilled(student, method="kd"):
    model = load_method(method).model.to_dict()
    given = model.pop("architecture", {})
    return dict(model, architecture=with_loss(student, given))


@pytest.mark.parametrize("student", STUDENTS)
def test_weights_are_taken_back(student):
    kept = dict(SMOOTH, loss_weight=0.1)
    if "head" in student:
        weighed = dict(student, head=dict(student["head"], loss=kept))
    else:
        weighed = dict(student, loss=kept)
    # As MMEngine merges KD's base into a student whose loss has settings.
    model = dict(distilled(student), architecture=weighed)
    assert without_method(model) == student


def test_what_a_method_replaced_is_plain_cross_entropy():
    student = dict(type="ImageClassifier", head=dict(type="LinearClsHead"))
    found = without_method(distilled(student))
    assert found["head"]["loss"] == dict(type="CrossEntropyLoss")


@pytest.mark.parametrize("student", STUDENTS)
def test_other_methods_give_none(student):
    assert without_method(distilled(student, "dist")) == student
    # A method that this package does not have keeps its weights.
    kept = dict(student, loss=dict(SMOOTH, loss_weight=0.1))
    own = dict(type="MultiViewDistill", architecture=kept)
    assert without_method(own) == kept
