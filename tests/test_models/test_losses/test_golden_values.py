"""All losses and the preview against numbers of an independent program."""

import json
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from pckd_mm.models.losses import (
    CategoryAlignmentLoss,
    CategoryContrastiveLoss,
    FeatureAlignmentLoss,
    PreviewKLDivergence,
)
from pckd_mm.models.task_modules import PreviewStrategy
from tests import reference
from tests.reference import assert_near

GOLDEN = Path(__file__).resolve().parents[4] / "shared/golden/pckd_losses.json"
if not GOLDEN.is_file():
    pytest.skip(f"no golden values at {GOLDEN}", allow_module_level=True)
CASES = json.loads(GOLDEN.read_text())
TOLERANCE = 1e-9

# Golden name: loss, loss of tests.reference, arguments.
LOSSES = {
    "category_contrastive": (
        CategoryContrastiveLoss(),
        reference.category_contrast,
        ("s_embed", "t_embed", "s_centers", "t_centers", "labels", "weight"),
    ),
    "feature_alignment": (
        FeatureAlignmentLoss(),
        reference.feature_alignment,
        ("s_feat", "t_feat"),
    ),
    "category_alignment": (
        CategoryAlignmentLoss(),
        reference.category_alignment,
        ("s_centers", "t_centers", "s_bias", "t_bias"),
    ),
    "preview_kl": (
        PreviewKLDivergence(),
        reference.kl_divergence,
        ("preds_S", "preds_T", "weight"),
    ),
}


def tensors(case):
    """Arguments of the losses by name, all floating-point ones with gradient."""
    values = dict(case["inputs"], weight=case["weight"])
    named = {
        name: torch.tensor(value, dtype=torch.float64, requires_grad=True)
        for name, value in values.items()
    }
    return dict(named, labels=torch.tensor(case["labels"]))


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"seed{case['seed']}")
@pytest.mark.parametrize("of", ["package", "reference"])
def test_losses(case, of):
    checked = set()
    for name, (loss, plain_loss, arguments) in LOSSES.items():
        if name not in case["expected"]:
            continue
        expected = dict(case["expected"][name])
        inputs = tensors(case)
        function = loss if of == "package" else plain_loss
        value = function(*(inputs[argument] for argument in arguments))
        value.backward()
        assert_near(value.detach(), expected.pop("value"), TOLERANCE)
        assert expected
        for gradient, wanted in expected.items():
            found = inputs[gradient.removeprefix("grad_")].grad
            assert_near(found, wanted, TOLERANCE)
        checked.add(name)
    same_width = len(case["inputs"]["s_centers"][0]) == len(
        case["inputs"]["t_centers"][0]
    )
    assert checked == set(LOSSES) - (set() if same_width else {"category_alignment"})


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"seed{case['seed']}")
def test_preview(case):
    inputs = tensors(case)
    losses = F.cross_entropy(inputs["preds_S"], inputs["labels"], reduction="none")
    preview, progress = PreviewStrategy(), case["epoch"] / case["of_epochs"]
    assert_near(preview.difficulty(losses), case["difficulty"], TOLERANCE)
    assert_near(preview.threshold(progress), case["threshold"], TOLERANCE)
    assert_near(preview.weight(losses, progress), case["weight"], TOLERANCE)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"seed{case['seed']}")
def test_preview_of_the_reference(case):
    inputs = tensors(case)
    losses = reference.cross_entropies(inputs["preds_S"], inputs["labels"])
    when = case["epoch"], case["of_epochs"]
    assert_near(reference.difficulties(losses), case["difficulty"], TOLERANCE)
    assert_near(reference.threshold(*when), case["threshold"], TOLERANCE)
    assert_near(reference.preview_weights(losses, *when), case["weight"], TOLERANCE)


def test_golden_cases_cover_both_kinds_of_images():
    weights = torch.tensor([weight for case in CASES for weight in case["weight"]])
    assert (weights == 1).any() and (weights < 1).any()
