"""Each cell of the page's table of labels and losses, tried."""

import pytest
import torch
from mmpretrain.structures import DataSample

from pckd_mm.registry import MODELS
from tests.builders import ROOT, batch, classifier, method, pckd_config

PAGE = (ROOT / "docs" / "networks.md").read_text(encoding="utf-8")


def table(title):
    """Rows of the table below a heading, as dicts."""
    section = PAGE.split(f"\n## {title}\n", 1)[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [dict(zip(rows[0], row, strict=True)) for row in rows[2:]]


CELLS = [
    (row["loss"], labels, outcome)
    for row in table("Labels")
    for labels, outcome in row.items()
    if labels != "loss"
]
PCKD = dict(
    PreviewKLDivergence="loss_kd",
    CategoryContrastiveLoss="loss_cc",
    CenterContrastiveLoss="loss_cc",
    CategoryAlignmentLoss="loss_ca",
    FeatureAlignmentLoss="loss_fa",
)
BASELINES = dict(
    KLDivergence="kd",
    HintLoss="fitnet",
    AttentionTransferLoss="at",
    DistanceRKDLoss="rkd",
    ContrastiveRepresentationLoss="crd",
    DecoupledKDLoss="dkd",
    DISTRelationLoss="dist",
)


def config(loss, several):
    """A distillation by one loss, or by none."""
    student, teacher = classifier(8), classifier(14)
    for network in (student, teacher):
        if several:
            network["head"].update(
                type="mmpretrain.MultiLabelLinearClsHead",
                loss=dict(type="mmpretrain.CrossEntropyLoss", use_sigmoid=True),
            )
    name, _, option = loss.partition(",")
    settings = dict(calculate_student_loss=loss == "the student's own")
    if name in BASELINES:
        model = {
            **method(BASELINES[name]),
            "architecture": student,
            "teacher": teacher,
            **settings,
        }
        if name == "ContrastiveRepresentationLoss":
            model["distiller"]["distill_losses"]["loss_crd"].update(
                sample_n=40, neg_num=4
            )
        if name == "HintLoss":
            model["input_shape"] = (3, 8, 8)
        return model
    model = pckd_config(student, teacher, **settings)
    distiller = model["distiller"]
    kept = PCKD.get(name, "loss_fa")
    for other in set(PCKD.values()) - {kept}:
        distiller["distill_losses"][other] = None
    if name != "the preview":
        distiller["preview"] = None
        distiller["loss_forward_mappings"][kept].pop("weight", None)
    if "use_sigmoid" in option:
        distiller["distill_losses"]["loss_kd"]["use_sigmoid"] = True
    if name == "CenterContrastiveLoss":
        distiller["distill_losses"]["loss_cc"] = dict(type=name)
    return model


@pytest.mark.parametrize("loss, labels, outcome", CELLS)
def test_cell(loss, labels, outcome):
    model = config(loss, several=labels == "several labels")
    preprocessor = dict(type="pckd_mm.RotatedViewsDataPreprocessor", num_views=1)
    if labels == "one-hot scores":
        preprocessor["to_onehot"] = True
    if labels == "Mixup, CutMix":
        preprocessor["batch_augments"] = dict(
            augments=[
                dict(type=f"mmpretrain.{name}", alpha=1.0)
                for name in ("Mixup", "CutMix")
            ]
        )
    inputs, samples = batch(6, views=1)
    for index, sample in enumerate(samples):
        if labels == "several labels":
            sample.set_gt_label([index, 9])
        sample.set_metainfo(dict(sample_idx=index))
    if labels == "none":
        samples = [DataSample(metainfo=sample.metainfo) for sample in samples]

    def step():
        built = MODELS.build(dict(model, data_preprocessor=preprocessor))
        built.progress = 0.5
        built.load_teacher()
        for part in built.distiller.distill_losses.values():
            if hasattr(part, "set_labels") and labels != "none":
                part.set_labels([index % 10 for index in range(40)])
        data = dict(inputs=inputs, data_samples=samples)
        data = built.train().data_preprocessor(data, training=True)
        losses = built(**data, mode="loss")
        sum(value for name, value in losses.items() if "loss" in name).backward()
        return losses

    torch.manual_seed(0)
    if outcome == "works":
        losses = step()
        wanted = "student." if loss == "the student's own" else "distill."
        found = [value for name, value in losses.items() if name.startswith(wanted)]
        assert found and all(value.isfinite() for value in found)
    else:
        assert outcome == "refused"
        with pytest.raises((ValueError, RuntimeError), match="; expected") as error:
            step()
        # A sentence of ours, and not a library's.
        assert "pckd_mm" in str(error.traceback[-1].path)
