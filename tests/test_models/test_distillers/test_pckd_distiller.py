"""PCKDDistiller: from records to losses."""

import pytest
import torch
from mmrazor.models import KLDivergence

from pckd_mm.models import CategoryAlignmentLoss, PCKDDistiller, PreviewStrategy
from pckd_mm.registry import MODELS
from tests import reference
from tests.builders import batch, build_pckd, classifier, method, pckd_config
from tests.reference import assert_near

STUDENT, TEACHER = classifier(8), classifier(14)


def settings(**changes) -> dict:
    """The shipped distiller with some entries of its parts changed."""
    distiller = method("pckd")["distiller"]
    for part, entries in changes.items():
        distiller[part].update(entries)
    return distiller


def test_types_need_no_scope():
    distiller = MODELS.build(
        dict(
            type="PCKDDistiller",
            preview=dict(type="PreviewStrategy", growth=1.01),
            student_recorders=dict(fc=dict(type="ModuleOutputs", source="head.fc")),
            distill_losses=dict(
                loss_ours=dict(type="PreviewKLDivergence"),
                loss_razors=dict(type="KLDivergence"),
                loss_scoped=dict(type="mmrazor.KLDivergence"),
            ),
            loss_forward_mappings={
                name: dict(
                    preds_S=dict(recorder="fc", from_student=True),
                    preds_T=dict(recorder="fc", from_student=True),
                )
                for name in ("loss_ours", "loss_razors", "loss_scoped")
            },
        )
    )
    assert isinstance(distiller, PCKDDistiller)
    assert isinstance(distiller.preview, PreviewStrategy)
    assert distiller.preview.growth == 1.01
    for name in ("loss_razors", "loss_scoped"):
        assert isinstance(distiller.distill_losses[name], KLDivergence)


def test_preview_is_on_by_default():
    assert isinstance(PCKDDistiller().preview, PreviewStrategy)
    assert PCKDDistiller(preview=None).preview is None


def test_connectors_without_a_loss_are_left_out():
    # Their parameters would get no gradient, which DDP does not forgive.
    distiller = settings(distill_losses=dict(loss_cc=None))
    model = build_pckd(STUDENT, TEACHER, distiller=distiller)
    assert set(model.distiller.connectors) == {"align"}
    total, _ = model.parse_losses(model(*batch(3), mode="loss"))
    total.backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_mmrazors_loss_equals_ours_without_preview():
    mapping = dict(
        preds_S=dict(recorder="logits", from_student=True, view=0),
        preds_T=dict(recorder="logits", from_student=False, view=0),
    )
    distiller = settings(
        distill_losses=dict(
            loss_razor=dict(type="KLDivergence", tau=4.0),
            loss_ours=dict(type="PreviewKLDivergence", tau=4.0),
        ),
        loss_forward_mappings=dict(loss_razor=mapping, loss_ours=mapping),
    )
    model = build_pckd(STUDENT, TEACHER, distiller=distiller)
    losses = model(*batch(5), mode="loss")
    torch.testing.assert_close(
        losses["distill.loss_razor"], losses["distill.loss_ours"]
    )


def test_each_view_can_be_taken():
    mappings = {
        f"loss_{view}": dict(
            preds_S=dict(recorder="logits", from_student=True, view=view),
            preds_T=dict(recorder="logits", from_student=False, view=view),
        )
        for view in range(4)
    }
    distiller = settings(
        distill_losses={name: dict(type="KLDivergence") for name in mappings},
        loss_forward_mappings=mappings,
    )
    model = build_pckd(STUDENT, TEACHER, distiller=distiller).eval()
    inputs, samples = batch(3)
    losses = model(inputs, samples, mode="loss")
    for view in range(4):
        s, t = (
            net(inputs[view::4], mode="tensor")
            for net in (model.student, model.teacher)
        )
        torch.testing.assert_close(losses[f"distill.loss_{view}"], KLDivergence()(s, t))


def test_none_leaves_a_part_out():
    distiller = settings(
        distill_losses=dict(loss_ca=None), student_recorders=dict(bias=None)
    )
    model = build_pckd(STUDENT, TEACHER, distiller=distiller)
    assert set(model.distiller.distill_losses) == {"loss_kd", "loss_cc", "loss_fa"}
    assert "bias" not in model.distiller.student_recorders.recorders
    assert "distill.loss_ca" not in model(*batch(2), mode="loss")


def test_without_preview_every_image_counts_in_full():
    distiller = settings()
    distiller["preview"] = None
    model = build_pckd(STUDENT, TEACHER, distiller=distiller).eval()
    losses = model(*batch(1), mode="loss")  # one image will do
    assert model.distiller.preview_weight is None
    assert losses["distill.loss_cc"].isfinite()


# --- options of the losses ---------------------------------------------------------


def test_all_views_of_an_image_share_its_preview_weight():
    distiller = settings()
    distiller["preview"]["growth"] = 1.0  # harder than the mean is hard
    for record in ("preds_S", "preds_T"):
        distiller["loss_forward_mappings"]["loss_kd"][record]["view"] = None
    model = build_pckd(STUDENT, TEACHER, distiller=distiller).eval()
    inputs, samples = batch(6)
    found = model(inputs, samples, mode="loss")["distill.loss_kd"]
    weight = model.distiller.preview_weight
    assert 0 < weight.min() < weight.max()
    logits = (net(inputs, mode="tensor") for net in (model.student, model.teacher))
    by_row = [v for v in weight.tolist() for _ in range(4)]
    expected = reference.kl_divergence(*logits, by_row)
    assert_near(found, expected, 1e-5)


def taken(recorder, from_student=True):
    return dict(recorder=recorder, from_student=from_student)


# What replaces a loss of the shipped method, and the arguments it takes beside it.
OPTIONS = dict(
    standardized=dict(loss_kd=dict(type="PreviewKLDivergence", standardize=True)),
    dist=dict(
        loss_kd=dict(type="DISTRelationLoss"),
        mapping=dict(
            logits_S=taken("logits"),
            logits_T=taken("logits", from_student=False),
            weight=taken("preview"),
        ),
    ),
    dkd=dict(
        loss_kd=dict(type="DecoupledKDLoss"),
        mapping=dict(
            preds_S=taken("logits"),
            preds_T=taken("logits", from_student=False),
            gt_labels=taken("labels"),
            progress=taken("progress"),
            weight=taken("preview"),
        ),
    ),
    centers=dict(loss_cc=dict(type="CenterContrastiveLoss")),
    gram=dict(loss_ca=dict(type="CategoryAlignmentLoss", form="gram")),
)


@pytest.mark.parametrize("name", OPTIONS)
def test_options_take_the_records_of_the_shipped_method(name):
    mapping = OPTIONS[name].get("mapping")
    (loss,) = set(OPTIONS[name]) - {"mapping"}
    distiller = settings(distill_losses={loss: OPTIONS[name][loss]})
    if mapping is not None:  # all views
        distiller["loss_forward_mappings"][loss] = mapping
    usual = build_pckd(STUDENT, TEACHER)
    model = build_pckd(STUDENT, TEACHER, distiller=distiller)
    usual_losses = usual(*batch(6), mode="loss")
    losses = model(*batch(6), mode="loss")
    assert set(losses) == set(usual_losses)
    found = losses[f"distill.{loss}"]
    assert found > 0 and found != usual_losses[f"distill.{loss}"]
    found.backward()
    assert model.student.backbone.conv1.weight.grad is not None or name == "gram"
    assert model.student.head.fc.weight.grad.any()


def test_annealing_follows_the_progress():
    annealed = dict(type="FeatureAlignmentLoss", loss_weight=20.0, anneal_to=0.2)
    distiller = settings(distill_losses=dict(loss_fa=annealed))
    with pytest.raises(ValueError, match="gets no progress; .*=dict") as error:
        MODELS.build(pckd_config(STUDENT, TEACHER, distiller=distiller))
    # As the message says.
    place, _, record = str(error.value).rpartition("add ")[2].partition("=")
    assert place == "loss_forward_mappings.loss_fa.progress"
    distiller["loss_forward_mappings"]["loss_fa"]["progress"] = eval(record.rstrip("."))
    model = build_pckd(STUDENT, TEACHER, distiller=distiller)
    model.progress = 0.5
    found = model(*batch(3), mode="loss")["distill.loss_fa"]
    usual = build_pckd(STUDENT, TEACHER)(*batch(3), mode="loss")["distill.loss_fa"]
    assert_near(found, 0.6 * usual, 1e-6)


# --- errors -----------------------------------------------------------------------


@pytest.mark.parametrize("who", ["student", "teacher"])
def test_source_that_does_not_exist(who):
    distiller = settings(
        **{f"{who}_recorders": dict(feature=dict(type="ModuleInputs", source="hed.fc"))}
    )
    with pytest.raises(ValueError) as error:
        MODELS.build(pckd_config(STUDENT, TEACHER, distiller=distiller))
    for part in (f"{who} recorder feature", "'hed.fc'", "head.fc"):
        assert part in str(error.value)


def test_parameter_that_does_not_exist():
    distiller = settings(
        student_recorders=dict(bias=dict(type="Parameter", source="head.fc.bia"))
    )
    with pytest.raises(ValueError, match="name of a parameter such as head.fc.bias"):
        MODELS.build(pckd_config(STUDENT, TEACHER, distiller=distiller))


@pytest.mark.parametrize("who", ["student", "teacher"])
def test_source_that_is_never_called(who):
    # The head computes its loss by itself; the loss module of the teacher never runs.
    distiller = settings(
        **{
            f"{who}_recorders": dict(
                unused=dict(type="ModuleOutputs", source="data_preprocessor")
            )
        },
        distill_losses=dict(loss_x=dict(type="KLDivergence")),
        loss_forward_mappings=dict(
            loss_x=dict(
                preds_S=dict(recorder="unused", from_student=who == "student"),
                preds_T=dict(recorder="logits", from_student=False),
            )
        ),
    )
    if who == "teacher":
        mapping = distiller["loss_forward_mappings"]["loss_x"]
        mapping.update(preds_S=dict(recorder="logits", from_student=True))
        mapping.update(preds_T=dict(recorder="unused", from_student=False))
    model = build_pckd(STUDENT, TEACHER, distiller=distiller)
    with pytest.raises(RuntimeError) as error:
        model(*batch(2), mode="loss")
    for part in (f"{who} recorder unused", "'data_preprocessor'", "called 0 times"):
        assert part in str(error.value)


def test_call_that_did_not_happen():
    distiller = settings()
    distiller["loss_forward_mappings"]["loss_kd"]["preds_S"]["record_idx"] = 1
    model = build_pckd(STUDENT, TEACHER, distiller=distiller)
    with pytest.raises(RuntimeError, match="call 2 of 'head.fc'.* called 1 times"):
        model(*batch(2), mode="loss")


def test_argument_without_a_record():
    distiller = settings()
    del distiller["loss_forward_mappings"]["loss_cc"]["labels"]
    with pytest.raises(ValueError, match="loss_cc .* gets no labels"):
        MODELS.build(pckd_config(STUDENT, TEACHER, distiller=distiller))


def test_loss_without_a_mapping():
    distiller = settings()
    del distiller["loss_forward_mappings"]["loss_fa"]
    with pytest.raises(ValueError, match="loss_fa .* gets no s_feat"):
        MODELS.build(pckd_config(STUDENT, TEACHER, distiller=distiller))


def test_a_loss_that_mmengine_would_not_add_up():
    with pytest.raises(ValueError, match="loss called kd, .*: call it loss_kd in dist"):
        build_pckd(
            classifier(8),
            classifier(14),
            distiller=dict(
                type="PCKDDistiller",
                preview=None,
                student_recorders=dict(z=dict(type="ModuleOutputs", source="head")),
                teacher_recorders=dict(z=dict(type="ModuleOutputs", source="head")),
                distill_losses=dict(kd=dict(type="KLDivergence")),
                loss_forward_mappings=dict(
                    kd=dict(
                        preds_S=dict(recorder="z", from_student=True),
                        preds_T=dict(recorder="z", from_student=False),
                    )
                ),
            ),
        )


def test_weights_of_connectors_by_their_init_cfg():
    cfg = pckd_config(classifier(8), classifier(14))
    cfg["distiller"]["connectors"]["s_embed"]["init_cfg"] = dict(
        type="Constant", layer="Linear", val=0.25
    )
    model = MODELS.build(cfg)
    model.init_weights()
    weights = list(model.distiller.connectors["s_embed"].parameters())
    assert (weights[0] == 0.25).all()


def test_weights_of_connectors_in_a_row_by_their_init_cfg():
    cfg = pckd_config(classifier(8), classifier(14))
    one = cfg["distiller"]["connectors"]["s_embed"]
    of_layer = dict(type="Constant", layer="Linear")
    cfg["distiller"]["connectors"]["s_embed"] = [
        dict(one, init_cfg=dict(of_layer, val=0.25)),
        dict(one, init_cfg=dict(of_layer, val=0.5)),
    ]
    model = MODELS.build(cfg)
    model.init_weights()
    weights = [p for p in model.distiller.connectors["s_embed"].parameters()]
    assert {p.unique().item() for p in weights if p.ndim > 1} == {0.25, 0.5}
    # Once: what was changed since then stays.
    weights[0].data.fill_(2)
    model.init_connectors()
    assert (weights[0] == 2).all()


WIDE = classifier(14, width=(4, 4, 8, 24))


@pytest.mark.parametrize("named", ["found", "by name", "by class"])
def test_alignment_of_unequal_widths(named):
    cfg = pckd_config(classifier(8), WIDE)
    settings = cfg["distiller"]
    if named == "by name":
        for who in ("student_recorders", "teacher_recorders"):
            settings[who]["centers"]["source"] = "head.fc.weight"
    if named == "by class":
        settings["distill_losses"]["loss_ca"]["type"] = CategoryAlignmentLoss
    assert "loss_ca" not in MODELS.build(cfg).distiller.distill_losses
    settings["distill_losses"]["loss_ca"]["optional"] = False
    with pytest.raises(ValueError, match="loss_ca aligns .* widths 16 and 24; expec"):
        MODELS.build(cfg)


def test_only_alignment_is_optional():
    cfg = pckd_config(classifier(8), classifier(14))
    cfg["distiller"]["distill_losses"]["loss_fa"]["optional"] = True
    with pytest.raises(ValueError, match="loss_fa .*optional=True, which only a"):
        MODELS.build(cfg)


def test_a_parameter_that_was_replaced_is_recorded_anew():
    # As by torch.nn.Module.to_empty, and by libraries that shard parameters.
    model = build_pckd(STUDENT, TEACHER)
    head = model.student.head.fc
    head.weight = torch.nn.Parameter(2 * head.weight.detach())
    model.train()
    record = model.distiller.get_record("centers", from_student=True)
    assert record is head.weight
