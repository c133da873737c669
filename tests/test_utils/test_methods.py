"""What a method gives a student, and what is taken back."""

import pytest

from pckd_mm.utils.methods import (
    load_method,
    run_detects,
    with_loss,
    without_method,
)

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
def test_a_loss_of_the_students_own_is_weighed_and_taken_back(student):
    """As MMEngine merges KD's base into a student whose loss has settings."""
    model = distilled(student)
    found = model["architecture"]
    assert found.get("head", found)["loss"] == dict(SMOOTH, loss_weight=0.1)
    assert without_method(model) == student


def test_a_head_has_the_loss_of_its_class_where_it_says_none():
    """A softmax would be none for several labels."""
    head = dict(type="mmpretrain.MultiLabelLinearClsHead", num_classes=3)
    student = dict(type="ImageClassifier", head=head)
    loss = distilled(student)["architecture"]["head"]["loss"]
    assert loss == dict(type="CrossEntropyLoss", use_sigmoid=True, loss_weight=0.1)


@pytest.mark.parametrize(
    "cfg, expected",
    [
        (dict(default_scope="mmdet", model=dict(type="SemiBaseDetector")), True),
        (dict(default_scope="mmpretrain", model=dict(type="A", roi_head={})), True),
        (dict(model=dict(type="A", architecture=dict(bbox_head={}))), True),
        (dict(default_scope="mmpretrain", model=dict(head={})), False),
        ({}, False),
    ],
)
def test_which_runs_are_of_detectors(cfg, expected):
    assert run_detects(cfg) is expected


def test_each_task_has_its_own_loss():
    linear = "mmpretrain.LinearClsHead"
    plain = dict(type=linear, num_classes=2)
    heads = dict(color=dict(type=linear, num_classes=3, loss=SMOOTH), shape=plain)
    head = dict(type="mmpretrain.MultiTaskHead", task_heads=heads)
    model = distilled(dict(type="ImageClassifier", head=head))
    found = model["architecture"]["head"]
    losses = {name: part["loss"] for name, part in found["task_heads"].items()}
    assert losses == dict(
        color=dict(SMOOTH, loss_weight=0.1),
        shape=dict(type="CrossEntropyLoss", loss_weight=0.1),
    )
    assert "loss" not in found
    parts = without_method(model)["head"]["task_heads"]
    assert parts["color"] == heads["color"]
    # One for all parts that have none of their own.
    common = dict(head, loss=dict(type="FocalLoss", gamma=3))
    model = distilled(dict(type="ImageClassifier", head=common))
    found = model["architecture"]["head"]
    assert found["loss"] == dict(type="FocalLoss", gamma=3, loss_weight=0.1)
    assert found["task_heads"]["shape"] == plain


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
