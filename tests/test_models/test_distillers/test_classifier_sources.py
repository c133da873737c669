"""Category alignment, for two classifiers of any kind."""

import pytest

from pckd_mm.models.distillers.classifier_sources import settle_alignment
from pckd_mm.models.task_modules.classifier import Classifier, ClassifierLayer
from tests.builders import batch, build_pckd, classifier, method


def linear(width):
    return Classifier(10, layers=(ClassifierLayer("fc", width),), modules=("fc",))


@pytest.fixture
def log(monkeypatch):
    lines = []
    monkeypatch.setattr(
        "pckd_mm.models.distillers.classifier_sources.print_log",
        lambda line, **kwargs: lines.append(line),
    )
    return lambda: " ".join(lines)


OTHER = Classifier(10)  # no linear layer gives its logits


def settle(student, teacher, **loss):
    recorders = dict(centers=dict(type="Parameter", source="classifier.weight"))
    distiller = dict(
        student_recorders=recorders,
        teacher_recorders=recorders,
        distill_losses=dict(loss_ca=dict(type="CategoryAlignmentLoss", **loss)),
        loss_forward_mappings=dict(
            loss_ca=dict(s_centers=dict(recorder="centers", from_student=True))
        ),
    )
    return settle_alignment(distiller, student, teacher)["loss_ca"]


@pytest.mark.parametrize("optional", [True, False])
def test_entries_of_centers_need_one_width(optional, log):
    kept = dict(type="CategoryAlignmentLoss")
    assert settle(linear(8), linear(8), optional=optional) == kept
    if optional:
        assert settle(linear(8), linear(16), optional=True) is None
        assert "widths 8 and 16, and categories can be aligned at one" in log()
    else:
        with pytest.raises(ValueError, match="distill_losses.loss_ca.form='gram'"):
            settle(linear(8), linear(16), optional=False)


@pytest.mark.parametrize("optional", [True, False])
def test_cosines_between_centers_are_of_any_widths(optional, log):
    gram = dict(form="gram", optional=optional)
    kept = dict(type="CategoryAlignmentLoss", form="gram")
    assert settle(linear(8), linear(8), **gram) == kept
    assert settle(linear(8), linear(16), **gram) == kept
    assert not log()


@pytest.mark.parametrize("form", ["entries", "gram"])
def test_a_classifier_that_is_not_linear_has_no_centers(form, log):
    assert settle(OTHER, linear(8), form=form, optional=True) is None
    assert "loss_ca is left out" in log()
    # One that was asked for stays, for the message that names the network.
    assert settle(OTHER, linear(8), form=form) is not None


def test_advice_for_unequal_widths():
    networks = classifier(8), classifier(14, width=(4, 4, 8, 12))
    distiller = method("pckd")["distiller"]
    alignment = distiller["distill_losses"]["loss_ca"]
    alignment["optional"] = False
    with pytest.raises(ValueError, match="one width, .*form='gram'"):
        build_pckd(*networks, distiller=distiller)
    alignment["form"] = "gram"
    losses = build_pckd(*networks, distiller=distiller)(*batch(2), mode="loss")
    assert float(losses["distill.loss_ca"]) > 0
