"""A teacher that copies share, and networks that are given back."""

import copy

import pytest
import torch
from torch import nn

from pckd_mm.models.classifiers import PlainClassifier
from tests.builders import batch, build_pckd, classifier

STUDENT, TEACHER = classifier(8), classifier(14)
COSINES = dict(type="mmpretrain.ArcFaceClsHead")


def built(**head):
    return build_pckd(classifier(8, **head), classifier(14, **head)).eval()


def hooks_of(network) -> int:
    return sum(len(module._forward_hooks) for module in network.modules())


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


@pytest.mark.parametrize("head", [{}, COSINES], ids=["linear", "cosines"])
@pytest.mark.parametrize("way", ["copied", "pickled"])
def test_a_copy_learns_for_itself(way, head, tmp_path):
    model = built(**head)
    expected = model(*batch(3), mode="loss")
    if way == "copied":
        copied = copy.deepcopy(model)
    else:
        torch.save(model, tmp_path / "model.pth")
        copied = torch.load(tmp_path / "model.pth", weights_only=False)
        copied.double().float()  # moves a teacher of its own
        assert copied.teacher is not model.teacher
    hooks = hooks_of(copied.student)
    losses = copied.train().eval()(*batch(3), mode="loss")
    torch.testing.assert_close(losses, expected)
    assert hooks_of(copied.student) == hooks > 0  # each once
    copied.parse_losses(losses)[0].backward()
    assert all(p.grad is None for p in model.parameters())
    learning = [p.grad is not None for p in copied.student.parameters()]
    assert all(learning)
    for parameter in copied.student.parameters():
        parameter.data.normal_()
    changed = copied(*batch(3), mode="loss")
    assert changed["distill.loss_ca"] != expected["distill.loss_ca"]
    torch.testing.assert_close(model(*batch(3), mode="loss"), expected)


@pytest.mark.parametrize("head", [{}, COSINES], ids=["linear", "cosines"])
def test_networks_are_given_back_without_hooks(head):
    model = built(**head)
    networks = (model.student, model.teacher)
    mine = [each.head.register_forward_hook(lambda *_: None) for each in networks]
    expected = model(*batch(3), mode="loss")
    assert [hooks_of(network) for network in networks] != [1, 1]
    model.release_networks()
    model.train().eval()  # hooks nothing
    assert [hooks_of(network) for network in networks] == [1, 1]
    for handle, network in zip(mine, networks, strict=True):
        assert handle.id in network.head._forward_hooks
    # The next step hooks them again.
    torch.testing.assert_close(model(*batch(3), mode="loss"), expected)


def test_a_released_student_can_be_scripted():
    inner = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(144, 10))
    student = PlainClassifier(inner)
    model = build_pckd(student, TEACHER, input_shape=(3, 8, 8))
    with pytest.raises(RuntimeError, match="hook"):
        torch.jit.script(inner)
    model.release_networks()
    images, _ = batch(2)
    torch.testing.assert_close(torch.jit.script(inner)(images), inner(images))
