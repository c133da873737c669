"""Every loss at the ends of its numbers, against plain float64 that cannot overflow."""

import math

import pytest
import torch
from torch import Tensor

from pckd_mm.models.losses import (
    AngleRKDLoss,
    AttentionTransferLoss,
    CategoryAlignmentLoss,
    CategoryContrastiveLoss,
    CenterContrastiveLoss,
    ContrastiveRepresentationLoss,
    DecoupledKDLoss,
    DistanceRKDLoss,
    DISTRelationLoss,
    FeatureAlignmentLoss,
    HintLoss,
    PreviewKLDivergence,
)
from pckd_mm.models.losses import contrastive_representation_loss as crd
from pckd_mm.models.losses.category_contrastive_loss import supervised_contrast
from pckd_mm.models.losses.utils import l2_normalize

IMAGES, CLASSES, WIDTH = 6, 5, 8
LABELS = torch.tensor([0, 1, 0, 2, 4, 1])
# Preview weights: of an easy image, of one that is 1e4 times as hard as the mean, ...
WEIGHTS = torch.tensor([1.0, 0.0, 1.0, math.exp(-9), 1e-38, 1.0])
ONES = torch.ones(IMAGES)
HUGE = 6e4  # float16 ends at 65504


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def peaks(place: Tensor, size: float) -> Tensor:
    """Logits of ``size`` at one category of each row and ``-size`` at the others."""
    logits = torch.full((IMAGES, CLASSES), -size)
    return logits.scatter(1, place[:, None], size)


LOGITS = {
    "student": (1e4 * noise(IMAGES, CLASSES).sign(), noise(IMAGES, CLASSES, seed=1)),
    "teacher": (noise(IMAGES, CLASSES), 1e4 * noise(IMAGES, CLASSES, seed=1).sign()),
    "both, right": (peaks(LABELS, 1e4), peaks(LABELS, 1e4)),
    "both, wrong": (peaks((LABELS + 1) % CLASSES, 1e4), peaks(LABELS, 1e4)),
    "student wrong, teacher unsure": (
        peaks((LABELS + 1) % CLASSES, 1e4),
        torch.zeros(IMAGES, CLASSES),
    ),
    "all high": (torch.full((IMAGES, CLASSES), 1e4), noise(IMAGES, CLASSES)),
    "all low": (torch.full((IMAGES, CLASSES), -1e4), noise(IMAGES, CLASSES)),
    "equal rows": (
        (1e4 * noise(1, CLASSES)).clamp(-1e4, 1e4).repeat(IMAGES, 1),
        noise(1, CLASSES, seed=1).repeat(IMAGES, 1),
    ),
}
some = noise(IMAGES, WIDTH)
FEATURES = {
    "student zero": (torch.zeros(IMAGES, WIDTH), some),
    "teacher zero": (some, torch.zeros(IMAGES, WIDTH)),
    "both zero": (torch.zeros(IMAGES, WIDTH), torch.zeros(IMAGES, WIDTH)),
    "a row zero": (some * (LABELS != 2)[:, None], some.roll(1, 0)),
    "student huge": (HUGE * some.sign(), some),
    "teacher huge": (some, HUGE * some.sign()),
    "opposite huge": (HUGE * some.sign(), -HUGE * some.sign()),
    "equal rows": (HUGE * some[:1].sign().repeat(IMAGES, 1), some),
    "two equal rows": (some[[0, 0, 1, 2, 3, 4]], some),
    "tiny": (6e-8 * some.sign(), some),
}


# ------------------------------------------------- plain computations in float64


def log_softmax(logits: Tensor) -> Tensor:
    shifted = logits - logits.max(dim=1, keepdim=True).values
    return shifted - shifted.exp().sum(dim=1, keepdim=True).log()


def unit(rows: Tensor) -> Tensor:
    """Rows over their length; zeros stay, with gradient zero."""
    largest = [row.detach().abs().max() for row in rows]
    return torch.stack(
        [
            row / top / (row / top).norm() if top else 0 * row
            for row, top in zip(rows, largest, strict=True)
        ]
    )


def kl(s: Tensor, t: Tensor) -> Tensor:
    """KL of each row, of log-probabilities."""
    return (t.exp() * (t - s)).sum(dim=1)


def plain_kd(s: Tensor, t: Tensor) -> Tensor:
    return 16 * (WEIGHTS * kl(log_softmax(s / 4), log_softmax(t / 4))).mean()


def plain_standardized(s: Tensor, t: Tensor) -> Tensor:
    s, t = (2 * unit(x - x.mean(1, keepdim=True)) for x in (s, t))  # 4 = CLASSES - 1
    return plain_kd(s, t)


def plain_dkd(s: Tensor, t: Tensor, weights: Tensor = ONES) -> Tensor:
    total = 0
    rows = zip(s / 4, t / 4, LABELS.tolist(), weights.double(), strict=True)
    for s_row, t_row, label, v in rows:
        parts = []
        for row in (s_row, t_row):
            others = torch.cat([row[:label], row[label + 1 :]])
            log_rest = others.max() + (others - others.max()).exp().sum().log()
            pair = torch.stack([row[label], log_rest])
            parts.append((log_softmax(pair[None]), log_softmax(others[None])))
        (s_pair, s_others), (t_pair, t_others) = parts
        total = total + v * 16 * (kl(s_pair, t_pair) + 8 * kl(s_others, t_others))
    return total.squeeze() / len(s)


def plain_dist(s: Tensor, t: Tensor, weights: Tensor = ONES) -> Tensor:
    def relation(a: Tensor, b: Tensor, share: Tensor) -> Tensor:
        a, b = (x - (share * x).mean(dim=1, keepdim=True) for x in (a, b))
        a, b = share.sqrt() * a, share.sqrt() * b
        lengths = a.norm(dim=1) * b.norm(dim=1)
        return 1 - (a * b).sum(1) / (lengths + 1e-8)

    s, t = log_softmax(s / 4).exp(), log_softmax(t / 4).exp()
    v = weights.double()
    inter = (v * relation(s, t, torch.ones(CLASSES))).mean()
    return 16 * 2 * (inter + relation(s.T, t.T, v / v.mean()).mean())


def plain_feature_alignment(s: Tensor, t: Tensor) -> Tensor:
    return (2 - 2 * (unit(s) * unit(t)).sum(1)).mean()


def plain_squares(s: Tensor, t: Tensor) -> Tensor:
    return (s - t).square().sum() / s.numel()


def plain_gram(s: Tensor, t: Tensor) -> Tensor:
    s, t = unit(s), unit(t)
    return (s @ s.T - t @ t.T).square().mean()


def plain_attention(s: Tensor, t: Tensor) -> Tensor:
    maps = [unit(x.view(IMAGES, 2, 4).square().mean(1)) for x in (s, t)]
    return (maps[0] - maps[1]).square().mean()


def smooth_l1(difference: Tensor) -> Tensor:
    size = difference.abs()
    return torch.where(size < 1, size.square() / 2, size - 0.5).mean()


def plain_distance(s: Tensor, t: Tensor) -> Tensor:
    def relative(rows: Tensor) -> Tensor:
        square = (rows[:, None] - rows[None]).square().sum(-1)
        distance = square.clamp_min(1e-12).sqrt() * (1 - torch.eye(IMAGES).double())
        return distance / (distance.sum() / (IMAGES * (IMAGES - 1)))

    return 25 * smooth_l1(relative(s) - relative(t))


def plain_angle(s: Tensor, t: Tensor) -> Tensor:
    cosines = []
    for rows in (s, t):
        at = [unit(rows - row) for row in rows]
        cosines.append(torch.stack([directions @ directions.T for directions in at]))
    return 50 * smooth_l1(cosines[0] - cosines[1])


def plain_contrast(s_embed: Tensor, centers: Tensor, t_centers: Tensor) -> Tensor:
    anchors = torch.cat([s_embed @ centers.T, s_embed @ t_centers.T])
    labels = LABELS.repeat(2)
    losses = []
    for a in range(2 * IMAGES):
        others = [b for b in range(2 * IMAGES) if b != a]
        logits = (anchors[others] @ anchors[a]) / 4
        logits = logits - logits.max()
        positive = labels[others] == labels[a]
        losses.append(logits.exp().sum().log() - logits[positive].mean())
    losses = torch.stack(losses) * WEIGHTS.double().repeat(2)
    return 4 / 0.07 * losses.sum() / IMAGES


# ----------------------------------------------------------------------- tests


def maps(x: Tensor) -> Tensor:
    return x.view(IMAGES, 2, 2, 2)


LOGIT_LOSSES = {
    "kd": (lambda s, t: PreviewKLDivergence()(s, t, WEIGHTS), plain_kd),
    "kd, standardized": (
        lambda s, t: PreviewKLDivergence(standardize=True)(s, t, WEIGHTS),
        plain_standardized,
    ),
    "dkd": (lambda s, t: DecoupledKDLoss()(s, t, LABELS), plain_dkd),
    "dkd, weighted": (
        lambda s, t: DecoupledKDLoss()(s, t, LABELS, weight=WEIGHTS),
        lambda s, t: plain_dkd(s, t, WEIGHTS),
    ),
    "dist": (lambda s, t: DISTRelationLoss()(s, t), plain_dist),
    "dist, weighted": (
        lambda s, t: DISTRelationLoss()(s, t, WEIGHTS),
        lambda s, t: plain_dist(s, t, WEIGHTS),
    ),
}
FEATURE_LOSSES = {
    "alignment": (FeatureAlignmentLoss(), plain_feature_alignment),
    "centers": (CategoryAlignmentLoss(), plain_squares),
    "gram": (CategoryAlignmentLoss(form="gram"), plain_gram),
    "hint": (HintLoss(), plain_squares),
    "attention": (
        lambda s, t: AttentionTransferLoss()([maps(s)], [maps(t)]),
        plain_attention,
    ),
    "distance": (DistanceRKDLoss(), plain_distance),
    "angle": (AngleRKDLoss(), plain_angle),
}
DTYPES = [torch.float32, torch.bfloat16, torch.float16]


def assert_sound(loss, plain, inputs, dtype, tolerance=1e-4) -> None:
    """Value and gradients are finite and those of the plain computation.

    Of float32 under autocast as well. What the definition itself
    makes larger than the gradient's type can hold, is infinite in it.
    """
    inputs = [x.detach().to(dtype) for x in inputs]
    exact = [x.to(torch.float64, copy=True).requires_grad_() for x in inputs]
    expected = plain(exact[0], *(x.detach() for x in exact[1:]))
    expected.backward()
    assert expected.isfinite()
    limit = torch.finfo(dtype).max
    for enabled in {False, dtype == torch.float32}:
        student, *rest = [x.clone().requires_grad_() for x in inputs]
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            value = loss(student, *rest)
        assert value.dtype == torch.float32
        assert value.isfinite()
        scale = max(1.0, abs(float(expected)))
        assert abs(float(value) - float(expected)) <= tolerance * scale
        value.backward()
        found = student.grad
        assert not found.isnan().any()
        fits = exact[0].grad.abs() < 0.99 * limit
        assert found[fits].isfinite().all()
        error = (found.double() - exact[0].grad)[fits].abs()
        rounding = 100 * torch.finfo(dtype).eps + 2 * tolerance
        # A gradient of zero is one of what a change of all the input would change.
        natural = scale / (float(inputs[0].abs().max()) or 1.0)
        assert (error <= rounding * exact[0].grad.abs().max() + 1e-6 * natural).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", LOGITS)
@pytest.mark.parametrize("name", LOGIT_LOSSES)
def test_logits(name, case, dtype):
    assert_sound(*LOGIT_LOSSES[name], LOGITS[case], dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", FEATURES)
@pytest.mark.parametrize("name", FEATURE_LOSSES)
def test_features(name, case, dtype):
    assert_sound(*FEATURE_LOSSES[name], FEATURES[case], dtype)


EMBEDS = dict(
    unit=unit(some),
    zero=torch.zeros(IMAGES, WIDTH),
    equal=unit(some)[:1].repeat(IMAGES, 1),
)
CENTERS = dict(
    zero=torch.zeros(CLASSES, WIDTH),
    huge=HUGE * noise(CLASSES, WIDTH, seed=2).sign(),
    equal=1e4 * noise(1, WIDTH, seed=2).sign().repeat(CLASSES, 1),
)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("centers", CENTERS)
@pytest.mark.parametrize("case", FEATURES)
def test_contrast_with_centers(case, centers, dtype):
    s_centers = CENTERS[centers].to(dtype)

    def loss(embed: Tensor, other: Tensor) -> Tensor:
        return CenterContrastiveLoss()(
            embed, other, s_centers, s_centers.flip(0), LABELS, WEIGHTS
        )

    def plain(embed: Tensor, other: Tensor) -> Tensor:
        rows = torch.arange(IMAGES)
        own, theirs = unit(s_centers.double()), unit(s_centers.double().flip(0))
        s = log_softmax(unit(embed) @ own.T / 0.07)
        t = log_softmax(unit(other) @ theirs.T / 0.07)
        return -(WEIGHTS.double() * (s + t)[rows, LABELS]).mean()

    assert_sound(loss, plain, FEATURES[case], dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("centers", CENTERS)
@pytest.mark.parametrize("embed", EMBEDS)
def test_contrast(embed, centers, dtype):
    rows = EMBEDS[embed].to(dtype)
    s_centers = CENTERS[centers].to(dtype, copy=True).requires_grad_()
    t_centers = CENTERS[centers].to(dtype).flip(0)
    expected = plain_contrast(*(x.detach().double() for x in (rows, s_centers)),
                              t_centers.double())  # fmt: skip
    # float32 has similarities to a share of 1e-7 of themselves.
    largest = (rows.double() @ s_centers.detach().double().T).square().sum(1).max()
    for enabled in {False, dtype == torch.float32}:
        student = rows.clone().requires_grad_()
        s_centers.grad = None
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            value = CategoryContrastiveLoss()(
                student, student, s_centers, t_centers, LABELS, WEIGHTS
            )
        assert value.dtype == torch.float32
        error = abs(float(value) - float(expected))
        assert error <= 1e-5 * max(1, float(expected)) + 2e-5 * float(largest)
        # Scaled, so that what a type cannot hold is not the loss's fault.
        (1e-9 * value).backward()
        assert student.grad.isfinite().all()
        assert s_centers.grad.isfinite().all()


def test_contrast_of_equal_rows_shares_their_gradient():
    # All similarities are 1e8, of which float32 knows 8 more or less; yet the loss is
    # the logarithm of 511, and no anchor is better than another.
    anchors = torch.full((512, 1), 2e4, requires_grad=True)
    labels = torch.zeros(512, dtype=torch.long)
    losses = supervised_contrast(anchors, labels, tau=4.0, base_tau=4.0)
    assert losses.detach().tolist() == pytest.approx([math.log(511)] * 512, rel=1e-5)
    losses.sum().backward()
    assert anchors.grad.abs().max() < 1e-2 * 2e4 / 4


def build_crd() -> ContrastiveRepresentationLoss:
    torch.manual_seed(0)
    loss = ContrastiveRepresentationLoss(sample_n=12, neg_num=4, dim_out=WIDTH)
    loss.set_labels(torch.arange(12) % 3)
    return loss


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", FEATURES)
def test_crd(case, dtype, monkeypatch):
    idx = torch.arange(IMAGES)
    negatives = torch.stack([(k + torch.tensor([1, 2, 4, 5])) % 12 for k in idx])
    monkeypatch.setattr(crd, "draw_negatives", lambda *args: negatives)
    drawn = torch.cat([idx[:, None], negatives], dim=1)
    memories = {w: getattr(build_crd(), f"{w}_memory").double() for w in "st"}

    def plain(s: Tensor, t: Tensor) -> Tensor:
        total = 0
        for rows, memory in ((s, memories["t"]), (t, memories["s"])):
            logits = torch.stack(
                [memory[n] @ row / 0.07 for row, n in zip(rows, drawn, strict=True)]
            )
            top = logits.max().detach()
            log_constant = top + ((logits.detach() - top).exp().mean() * 12).log()
            for row in logits - log_constant:
                for k, x in enumerate(row):
                    both = torch.logaddexp(
                        x, torch.tensor(4 / 12 + 1e-7).double().log()
                    )
                    own = math.log(4 / 12) if k else x
                    total = total - (own - both)
        return total / IMAGES

    loss = build_crd().eval()
    assert_sound(lambda s, t: loss(s, t, idx), plain, FEATURES[case], dtype, 5e-3)

    loss.train()
    for step in range(2):  # by the constants of the batch, then by the stored ones
        inputs = [x.to(dtype, copy=True).requires_grad_() for x in FEATURES[case]]
        value = loss(*inputs, idx)
        value.backward()
        assert value.isfinite(), step
        assert inputs[0].grad.isfinite().all()
        for buffer in loss.buffers():
            assert buffer.isfinite().all()


@pytest.mark.parametrize("size", [1e-45, 1e-39, 1e-38, 1e38])
def test_rows_of_length_one_of_any_size(size):
    rows = torch.full((2, 3), size, requires_grad=True)
    normalised = l2_normalize(rows)
    (normalised * noise(2, 3)).sum().backward()
    assert rows.grad.isfinite().all()
    expected = 0 if size < torch.finfo(torch.float32).tiny else 1 / math.sqrt(3)
    assert normalised.detach().flatten().tolist() == pytest.approx([expected] * 6)
