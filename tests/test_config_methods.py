"""Methods of shipped configs, by values of the papers and of the CRD benchmark."""

from functools import lru_cache

import pytest

from pckd_mm.utils.config import load_config
from tests.builders import CONFIGS

# Of classifiers; some of detectors are below.
CONFIGS_OF = {
    folder.name: [
        path
        for path in sorted(folder.glob("*.py"))
        if not path.name.startswith(("voc_", "coco_", "digit_"))
    ]
    for folder in CONFIGS.glob("[a-z]*")
    if folder.name not in ("vanilla", "transfer", "pckd_fpn")
}


@lru_cache(None)
def read(path):
    return load_config(path)


# PCKD's weights are those of its published command, and delta = 1.
PCKD = dict(
    loss_kd=dict(type="PreviewKLDivergence", tau=4, loss_weight=1),
    loss_cc=dict(
        type="CategoryContrastiveLoss", tau=4, base_tau=0.07, loss_weight=0.05
    ),
    loss_ca=dict(type="CategoryAlignmentLoss", loss_weight=1, optional=True),
    loss_fa=dict(type="FeatureAlignmentLoss", loss_weight=20),
)
# Huang et al., NeurIPS 2022, for CIFAR-100.
DIST = dict(type="DISTRelationLoss", inter_loss_weight=2, intra_loss_weight=2, tau=4)
# Zhao et al., CVPR 2022: beta goes by the teacher; the warm-up is 20 of 240 epochs.
DKD = dict(type="DecoupledKDLoss", tau=4, alpha=1, beta=8, warmup=20 / 240)
BETAS = dict(resnet56=2, resnet110=2, wrn_40_2=6, vgg13=6, resnet32x4=8, resnet50=8)
BETAS["resnet20"] = 8  # not theirs
CRD = dict(type="ContrastiveRepresentationLoss", sample_n=None, dim_out=128)
CRD.update(neg_num=16384, temperature=0.07, momentum=0.5, loss_weight=0.8)
CENTERS = dict(type="CenterContrastiveLoss", tau=0.07, loss_weight=0.05)
PLUS = dict(loss_cc=dict(PCKD["loss_cc"], loss_weight=0.01))
PLUS["loss_fa"] = dict(PCKD["loss_fa"], loss_weight=60)

# How images are weighted, and the losses beside the student's own. Weights of the
# rivals are those of the CRD benchmark, but for DKD and DIST.
METHODS = dict(
    pckd=("PreviewStrategy", PCKD),
    **{
        f"pckd_wo_{term}": ("PreviewStrategy", {**PCKD, f"loss_{term}": None})
        for term in ("kd", "cc", "ca", "fa")
    },
    pckd_wo_preview=(None, PCKD),
    pckd_curriculum=("CurriculumStrategy", PCKD),
    pckd_focal=("FocalStrategy", PCKD),
    pckd_center=("PreviewStrategy", {**PCKD, "loss_cc": CENTERS}),
    pckd_dist=("PreviewStrategy", {**PCKD, "loss_kd": DIST}),
    pckd_dkd=("PreviewStrategy", {**PCKD, "loss_kd": DKD}),
    pckd_plus=("PreviewStrategy", {**PCKD, **PLUS, "loss_kd": DIST}),
    kd=(None, dict(loss_kd=dict(type="KLDivergence", tau=4, loss_weight=0.9))),
    fitnet=(None, dict(loss_hint=dict(type="HintLoss", loss_weight=100))),
    at=(None, dict(loss_at=dict(type="AttentionTransferLoss", loss_weight=1000))),
    rkd=(
        None,
        dict(
            loss_distance=dict(type="DistanceRKDLoss", loss_weight=25),
            loss_angle=dict(type="AngleRKDLoss", loss_weight=50),
        ),
    ),
    crd=(None, dict(loss_crd=CRD)),
    dkd=(None, dict(loss_dkd=DKD)),
    dist=(None, dict(loss_dist=DIST)),
)


def test_every_method_has_its_values():
    assert set(METHODS) == set(CONFIGS_OF)


@pytest.mark.parametrize("name", METHODS)
def test_losses_of_a_method(name):
    preview, losses = METHODS[name]
    for path in CONFIGS_OF[name]:
        distiller = read(path).model.distiller.to_dict()
        expected = losses
        if name == "dkd":
            teacher = next(each for each in BETAS if f"cifar100_{each}_" in path.stem)
            expected = dict(loss_dkd=dict(DKD, beta=BETAS[teacher]))
        assert distiller["distill_losses"] == expected, path.stem
        assert distiller["preview"] == (preview and dict(type=preview)), path.stem


@pytest.mark.parametrize("name", METHODS)
def test_cross_entropy_is_a_tenth_in_kd_alone(name):
    for path in CONFIGS_OF[name]:
        loss = read(path).model.architecture.head.get("loss", {})
        assert loss.get("loss_weight", 1) == (0.1 if name == "kd" else 1), path.stem


@pytest.mark.parametrize("name", [name for name in METHODS if name.startswith("pckd")])
def test_the_preview_weighs_logits_of_upright_views_and_contrast(name):
    preview, labels, progress = (
        dict(recorder=record, from_student=True)
        for record in ("preview", "labels", "progress")
    )
    weighted = dict.fromkeys(("loss_kd", "loss_cc"), preview)
    upright = dict(recorder="logits", view=0)
    of = "logits" if name in ("pckd_dist", "pckd_plus") else "preds"
    taken = {f"{of}_S": dict(upright, from_student=True)}
    taken[f"{of}_T"] = dict(upright, from_student=False)
    if name == "pckd_dkd":
        taken.update(gt_labels=labels, progress=progress)
    for path in CONFIGS_OF[name]:
        mappings = read(path).model.distiller.loss_forward_mappings.to_dict()
        assert mappings["loss_kd"] == dict(taken, weight=preview), path.stem
        weights = {loss: each.get("weight") for loss, each in mappings.items()}
        assert weights == {**dict.fromkeys(PCKD), **weighted}, path.stem


def test_features_that_rivals_compare():
    for path in CONFIGS_OF["fitnet"]:  # of the second stage
        distiller = read(path).model.distiller
        taken = distiller.loss_forward_mappings.loss_hint
        assert (taken.s_feature.data_idx, taken.t_feature.data_idx) == (1, 1)
        hint = distiller.connectors.hint
        shapes = (hint.in_shape, hint.out_shape)
        assert shapes == ("student.stages.1", "teacher.stages.1")
    for path in CONFIGS_OF["crd"]:  # in as many dimensions as its memories have
        widths = {
            name: (each.in_channels, each.out_channels)
            for name, each in read(path).model.distiller.connectors.items()
        }
        assert widths == dict(s_embed=("student", 128), t_embed=("teacher", 128))


@pytest.mark.parametrize("pair", ["r101_r50", "r101_r18", "r50_mobilenetv2"])
def test_imitation_of_the_pyramid(pair):
    """Cao et al., NeurIPS 2022, with MMRazor's weight, each level that of its place."""
    pytest.importorskip("mmdet.models", exc_type=ImportError)
    distiller = read(CONFIGS / f"pckd_fpn/voc_frcnn_{pair}.py").model.distiller
    losses, mappings = distiller.distill_losses, distiller.loss_forward_mappings
    names = [f"loss_pkd_{level}" for level in range(4)]
    assert set(losses) == set(mappings) == {*PCKD, *names}
    assert {name: losses[name] for name in PCKD} == PCKD
    for level, name in enumerate(names):
        assert losses[name] == dict(type="PKDLoss", loss_weight=6)
        level_of = dict(recorder="pyramid", data_idx=level)
        assert mappings[name] == dict(
            preds_S=dict(level_of, from_student=True),
            preds_T=dict(level_of, from_student=False),
        )
    for who in ("student", "teacher"):
        pyramid = distiller[f"{who}_recorders"].pyramid
        assert pyramid == dict(type="ModuleOutputs", source="neck")


@pytest.mark.parametrize(
    "detector, form",
    [
        ("frcnn", dict(tau=4)),
        ("cascade", dict(tau=4)),
        ("gfl", dict(tau=2, use_sigmoid=True)),
    ],
)
def test_kd_of_detectors_is_of_their_logits_alone(detector, form):
    pytest.importorskip("mmdet.models", exc_type=ImportError)
    path = CONFIGS / f"kd/digit_scenes_{detector}_r18w32_r18w8.py"
    distiller = read(path).model.distiller
    losses = {k: loss for k, loss in distiller.distill_losses.items() if loss}
    assert losses == dict(loss_kd=dict(PCKD["loss_kd"], **form))
    assert distiller.preview is None
