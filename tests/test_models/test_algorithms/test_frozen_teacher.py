"""A teacher that copies share."""

import copy

import pytest
import torch

from tests.builders import batch, build_pckd, classifier

STUDENT, TEACHER = classifier(8), classifier(14)


def built(**head):
    return build_pckd(classifier(8, **head), classifier(14, **head)).eval()


@pytest.mark.parametrize("move", ["double", "meta"])
def test_a_copy_that_is_moved_leaves_the_shared_teacher(move):
    """As EMAHook(device='cpu') moves its copy in a run on a GPU."""
    model = built()
    before = {name: value.clone() for name, value in model.teacher.state_dict().items()}
    expected = model(*batch(3), mode="loss")
    copied = copy.deepcopy(model)
    copied.double() if move == "double" else copied.to("meta")
    moved = next(copied.student.parameters())
    assert moved.dtype == torch.double or moved.is_meta
    assert copied.teacher is model.teacher
    found = model.teacher.state_dict()
    torch.testing.assert_close(found, before, rtol=0, atol=0)
    torch.testing.assert_close(model(*batch(3), mode="loss"), expected)
    # The original takes it along still, and a copy of a copy leaves it too.
    copy.deepcopy(copied).to("meta")
    model.double()
    assert next(model.teacher.parameters()).dtype == torch.double


def test_a_copy_far_from_the_teacher_is_refused_and_the_advice_holds():
    model = built()
    copied = copy.deepcopy(model).to("meta")
    with pytest.raises(RuntimeError, match="move the original to meta too"):
        copied(*batch(2), mode="loss")
    model.to("meta")
    copied._prepare()
