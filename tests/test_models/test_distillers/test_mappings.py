"""What mappings of losses ask for is there, or refused before the training."""

import pytest
import torch
from torch import nn

from pckd_mm.models import PCKDDistiller
from pckd_mm.models.distillers.mappings import used_mappings
from pckd_mm.registry import MODELS
from tests import reference
from tests.builders import batch, build_pckd, classifier, method, pckd_config

STUDENT, TEACHER = classifier(8), classifier(14)


def pckd_with(loss, argument, **changes) -> dict:
    """The shipped distiller with one argument's mapping changed; None removes a key."""
    distiller = method("pckd")["distiller"]
    taken = distiller["loss_forward_mappings"][loss].setdefault(argument, {})
    taken.update(changes)
    for key in [key for key, value in changes.items() if value is None]:
        del taken[key]
    return distiller


def build(distiller):
    return MODELS.build(pckd_config(STUDENT, TEACHER, distiller=distiller))


# Of optional arguments (weight, s_bias, group) as of those that a loss must have.
@pytest.mark.parametrize(
    "loss, argument, changes, reason",
    [
        (
            "loss_kd",
            "weight",
            dict(recorder="previw"),
            "student's recorder previw.*wri",
        ),
        (
            "loss_kd",
            "preds_S",
            dict(recorder="logit"),
            "recorder logit, .*write logits",
        ),
        (
            "loss_kd",
            "preds_T",
            dict(recorder="labels"),
            "the teacher's recorder labels",
        ),
        (
            "loss_ca",
            "s_bias",
            dict(recorder="bas"),
            "s_bias found the student's .*bias",
        ),
        ("loss_ca", "t_bias", dict(recorder=None), "t_bias found the teacher's .*None"),
        (
            "loss_kd",
            "weight",
            dict(from_student=None),
            "weight found from_student=None",
        ),
        ("loss_kd", "preds_S", dict(from_student=1), "preds_S found from_student=1;"),
        ("loss_kd", "weight", dict(connector="algn"), "connector algn, .*write align"),
        ("loss_kd", "weight", dict(veiw=0), "the setting veiw, .*write view"),
        (
            "loss_kd",
            "wieght",
            dict(recorder="preview"),
            "argument wieght.*write weight",
        ),
        ("loss_kd", "weight", dict(view=-1), "weight found view=-1; .* from 0"),
        ("loss_kd", "preds_S", dict(view="0"), "preds_S found view='0'; .* from 0"),
        ("loss_cc", "s_centers", dict(view=0), "view=0 of 'head.fc.weight', a param"),
    ],
)
def test_what_is_not_there(loss, argument, changes, reason):
    with pytest.raises(ValueError, match=reason) as error:
        build(pckd_with(loss, argument, **changes))
    assert f"loss_forward_mappings.{loss}" in str(error.value)


def test_parameters_of_several_layers_have_no_views():
    cosine = classifier(8, type="mmpretrain.ArcFaceClsHead")
    distiller = pckd_with("loss_cc", "s_centers", view=0)
    with pytest.raises(ValueError, match="view=0 of 'classifier.weight', a parameter"):
        MODELS.build(pckd_config(cosine, TEACHER, distiller=distiller))


def test_a_mapping_without_a_loss():
    distiller = method("pckd")["distiller"]
    distiller["loss_forward_mappings"]["loss_kb"] = {}
    with pytest.raises(ValueError, match="the loss loss_kb, .* write loss_kd"):
        build(distiller)


def test_no_connectors_to_choose_from():
    taken = dict(recorder="labels", from_student=True, connector="x")
    with pytest.raises(ValueError, match="expected none: remove it"):
        PCKDDistiller(
            distill_losses=dict(loss_h=dict(type="HintLoss")),
            loss_forward_mappings=dict(loss_h=dict(s_feature=taken, t_feature=taken)),
        )


@pytest.mark.parametrize(
    "mapping, place", [("preview", "loss_kd"), (dict(weight="x"), "loss_kd.weight")]
)
def test_something_else_than_a_record(mapping, place):
    with pytest.raises(ValueError, match=f"^loss_forward_mappings.{place} found '"):
        used_mappings({}, dict(loss_kd=mapping))


def test_none_leaves_an_argument_out():
    distiller = method("pckd")["distiller"]
    distiller["loss_forward_mappings"]["loss_kd"]["weight"] = None
    model = build_pckd(STUDENT, TEACHER, distiller=distiller)
    assert set(model.distiller.loss_forward_mappings["loss_kd"]) == {
        "preds_S",
        "preds_T",
    }
    assert model(*batch(2), mode="loss")["distill.loss_kd"].isfinite()
    # Of one that the loss must have, that is said.
    distiller["loss_forward_mappings"]["loss_kd"]["preds_T"] = None
    with pytest.raises(ValueError, match="loss_kd .* gets no preds_T"):
        build(distiller)
    distiller["loss_forward_mappings"]["loss_kd"] = None
    with pytest.raises(ValueError, match="loss_kd .* gets no preds_S"):
        build(distiller)


class BothWays(nn.Module):
    """A connector that gives two features."""

    def forward(self, feature):
        return feature, feature.flip(1)


@pytest.mark.parametrize("entry", [0, 1])
def test_which_entry_of_what_a_connector_gives(entry):
    distiller = pckd_with("loss_fa", "s_feat", connector="both", connector_idx=entry)
    distiller["connectors"]["both"] = dict(type=BothWays)
    model = build_pckd(STUDENT, TEACHER, distiller=distiller).eval()
    inputs, samples = batch(3)
    found = model(inputs, samples, mode="loss")["distill.loss_fa"]
    with torch.no_grad():
        student, teacher = (
            network.extract_feat(inputs)[-1]
            for network in (model.student, model.teacher)
        )
    both = [reference.feature_alignment(x, teacher) for x in (student, student.flip(1))]
    assert abs(both[0] - both[1]) > 0.01
    reference.assert_near(found.detach(), 20 * both[entry], 1e-4)
