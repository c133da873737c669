"""What the tests compare with: PCKD's objective, as plain as its definition.

It loops over images, views, anchors and positives on float64 numbers, with nothing of
pckd_mm in it. Every number that a gradient flows through is a torch scalar, so autograd
gives the expected gradients as well. Slow on purpose: for small batches only.
"""

import math
import zlib
from typing import Callable, Dict, List, Optional, Sequence, Tuple, Union

import numpy as np
import torch
from torch import Tensor, nn

Rows = Union[Tensor, Callable[[Tensor], Tensor]]


# ------------------------------------------------------------------ small steps


def mean(values: Sequence):
    """Mean of some numbers."""
    return sum(values) / len(values)


def correlation(vector: Tensor, centers: Tensor) -> List[Tensor]:
    """Scalar products of a vector with every category center."""
    return [(vector * center).sum() for center in centers]


def cosine(a: Tensor, b: Tensor) -> Tensor:
    """Cosine between two vectors; 0 where one of them is zero."""
    if not a.any() or not b.any():
        return torch.zeros((), dtype=torch.float64)
    return (a * b).sum() / (a.square().sum().sqrt() * b.square().sum().sqrt())


def log_softmax(logits: Tensor) -> List[Tensor]:
    """Logarithms of the class probabilities."""
    log_total = sum(logit.exp() for logit in logits).log()
    return [logit - log_total for logit in logits]


def double(value: Tensor) -> Tensor:
    """The same numbers in float64, with their gradient."""
    return value.double()


def constants(weights: Optional[Sequence], images: int) -> List[float]:
    """Weights of the images as plain numbers, ones for None."""
    if weights is None:
        return [1.0] * images
    return torch.as_tensor(weights).tolist()


# ------------------------------------------------------------------ preview strategy


def threshold(epoch: int, epochs: int) -> float:
    """mu(e) = 1.005^e, e counted from 1, of 240; other lengths sweep the same."""
    return math.pow(1.005, 240 * epoch / epochs)


def difficulties(sample_losses: Sequence) -> List[float]:
    """gamma_i, the loss of an image over the mean of its batch."""
    losses = [float(torch.as_tensor(loss).detach()) for loss in sample_losses]
    return [loss / mean(losses) for loss in losses]


def preview_weights(sample_losses: Sequence, epoch: int, epochs: int) -> List[float]:
    """v_i: 1 up to the threshold, exp(-gamma_i^2) above. Plain numbers: no gradient."""
    limit = threshold(epoch, epochs)
    return [
        1.0 if gamma <= limit else math.exp(-(gamma**2))
        for gamma in difficulties(sample_losses)
    ]


# ------------------------------------------------------------------ terms


def cross_entropies(s_logits: Tensor, labels: Tensor) -> List[Tensor]:
    """CE_i of each image."""
    s_logits = double(s_logits)
    return [-log_softmax(z)[int(y)] for z, y in zip(s_logits, labels, strict=True)]


def kl_divergence(
    s_logits: Tensor,
    t_logits: Tensor,
    weights: Optional[Sequence[float]] = None,
    tau: float = 4.0,
) -> Tensor:
    """L_KD: (1/B) sum_i v_i T^2 KL(softmax(z_t / T) // softmax(z_s / T))."""
    s_logits, t_logits = double(s_logits), double(t_logits.detach())
    weights = constants(weights, len(s_logits))
    total = 0.0
    for z_s, z_t, v in zip(s_logits, t_logits, weights, strict=True):
        log_s, log_t = log_softmax(z_s / tau), log_softmax(z_t / tau)
        for ours, theirs in zip(log_s, log_t, strict=True):
            total = total + v * tau**2 * theirs.exp() * (theirs - ours)
    return total / len(s_logits)


def log_sigmoid(logit: Tensor) -> Tensor:
    """Logarithm of the probability of a category by itself."""
    return -(1 + (-logit).exp()).log()


def binary_cross_entropies(s_logits: Tensor, labels: Sequence) -> List[Tensor]:
    """Of each instance, the sum over the categories of having it or not."""
    losses = []
    for logits, label in zip(double(s_logits), labels, strict=True):
        terms = [
            -log_sigmoid(logit if c == int(label) else -logit)
            for c, logit in enumerate(logits)
        ]
        losses.append(sum(terms))
    return losses


def binary_kl_divergence(
    s_logits: Tensor,
    t_logits: Tensor,
    weights: Optional[Sequence[float]] = None,
    tau: float = 2.0,
) -> Tensor:
    """L_KD of scores by sigmoids: of each category, having it or not, added up."""
    s_logits, t_logits = double(s_logits), double(t_logits.detach())
    weights = constants(weights, len(s_logits))
    total = 0.0
    for z_s, z_t, v in zip(s_logits, t_logits, weights, strict=True):
        for ours, theirs in zip(z_s / tau, z_t / tau, strict=True):
            for sign in (1, -1):
                log_t, log_s = log_sigmoid(sign * theirs), log_sigmoid(sign * ours)
                total = total + v * tau**2 * log_t.exp() * (log_t - log_s)
    return total / len(s_logits)


def feature_alignment(mapped: Tensor, t_feat: Tensor) -> Tensor:
    """L_FA: mean over the rows of 2 - 2 cos(MLP(f_s)_n, f_t,n)."""
    mapped, t_feat = double(mapped), double(t_feat.detach())
    pairs = zip(mapped, t_feat, strict=True)
    return mean([2 - 2 * cosine(ours, theirs) for ours, theirs in pairs])


def category_alignment(
    s_weight: Tensor,
    t_weight: Tensor,
    s_bias: Optional[Tensor] = None,
    t_bias: Optional[Tensor] = None,
) -> Tensor:
    """L_CA: mean squared difference of the entries of [W_s / b_s] and [W_t / b_t]."""
    s_weight, t_weight = double(s_weight), double(t_weight.detach())
    squares = []
    for c in range(len(s_weight)):
        for k in range(s_weight.shape[1]):
            squares.append((s_weight[c, k] - t_weight[c, k]) ** 2)
        if s_bias is not None:
            squares.append((double(s_bias)[c] - double(t_bias.detach())[c]) ** 2)
    return mean(squares)


def contrast_of_anchor(
    a: int, anchors: List[Tensor], labels: List[int], tau: float, base_tau: float
) -> Tensor:
    """l(a): supervised contrast of one anchor against all the others."""
    total, positives = 0.0, []
    for b in range(len(anchors)):
        if b == a:
            continue
        logit = (anchors[a] * anchors[b]).sum() / tau
        total = total + logit.exp()
        if labels[b] == labels[a]:
            positives.append(logit)
    return -(tau / base_tau) * mean([logit - total.log() for logit in positives])


def category_contrast(
    s_embed: Tensor,
    t_embed: Tensor,
    s_weight: Tensor,
    t_weight: Tensor,
    labels: Tensor,
    weights: Optional[Sequence[float]] = None,
    tau: float = 4.0,
    base_tau: float = 0.07,
    group: Optional[Sequence[int]] = None,
) -> Tensor:
    """L_CC: (1/N) sum_n v_image(n) (l(u_n) + l(w_n)).

    ``labels`` and ``weights`` are those of the B images; the N rows of the embeddings
    are their views, sample by sample. ``group`` says which of several weights, shape
    (G, C, D), an image has.
    """
    rows, images = len(s_embed), len(labels)
    views = rows // images
    weights = constants(weights, images)
    s_embed, t_embed = double(s_embed), double(t_embed)
    s_weight, t_weight = double(s_weight), double(t_weight.detach())
    own = [0] * rows
    if s_weight.ndim == 2:
        s_weight, t_weight = s_weight[None], t_weight[None]
    else:
        own = [int(group[n // views]) for n in range(rows)]
    u = [torch.stack(correlation(s_embed[n], s_weight[own[n]])) for n in range(rows)]
    w = [torch.stack(correlation(t_embed[n], t_weight[own[n]])) for n in range(rows)]
    row_labels = [int(labels[n // views]) for n in range(rows)]
    total = 0.0
    for n in range(rows):
        for a in (n, rows + n):
            loss = contrast_of_anchor(a, u + w, row_labels * 2, tau, base_tau)
            total = total + weights[n // views] * loss
    return total / rows


# ------------------------------------------------------------------ objective


def total_loss(
    *,
    s_logits: Tensor,
    t_logits: Tensor,
    t_feat: Tensor,
    s_weight: Tensor,
    s_bias: Optional[Tensor],
    t_weight: Tensor,
    t_bias: Optional[Tensor],
    labels: Tensor,
    mapped: Rows,
    s_embed: Rows,
    t_embed: Rows,
    epoch: int,
    epochs: int = 240,
    s_feat: Optional[Tensor] = None,
    alpha: float = 1.0,
    beta: float = 0.05,
    phi: float = 20.0,
    delta: float = 1.0,
) -> Dict[str, Tensor]:
    """L = L_CE + delta L_KD + beta L_CC + alpha L_CA + phi L_FA.

    Args:
        s_logits, t_logits: Logits of the upright views, (B, C).
        t_feat: The teacher's features of all views, sample by sample, (N, D_t).
        s_weight, s_bias, t_weight, t_bias: The classifiers, (C, D_s), (C,), (C, D_t),
            (C,); both biases may be None.
        labels: Of the images, (B,).
        mapped: MLP(f_s), (N, D_t), or the MLP itself.
        s_embed: E_s(f_s), rows of length one, (N, D_s), or E_s itself.
        t_embed: E_t(f_s), rows of length one, (N, D_t), or E_t itself.
        epoch, epochs: Epoch counted from 1, and how many there are.
        s_feat: The student's features, (N, D_s), where MLP, E_s or E_t is given.
        alpha, beta, phi, delta: Weights of the terms.

    Returns:
        ``ce``, ``kd``, ``cc``, ``ca`` and ``fa`` before their weights (``ca`` only
        where the shapes agree), ``total``, and ``weight``, the preview's (B,).
    """
    mapped, s_embed, t_embed = (
        rows(s_feat) if callable(rows) else rows for rows in (mapped, s_embed, t_embed)
    )
    sample_losses = cross_entropies(s_logits, labels)
    v = preview_weights(sample_losses, epoch, epochs)
    terms = {
        "ce": mean(sample_losses),
        "kd": kl_divergence(s_logits, t_logits, v),
        "cc": category_contrast(s_embed, t_embed, s_weight, t_weight, labels, v),
        "fa": feature_alignment(mapped, t_feat),
    }
    if s_weight.shape == t_weight.shape:
        terms["ca"] = category_alignment(s_weight, t_weight, s_bias, t_bias)
    factors = {"ce": 1.0, "kd": delta, "cc": beta, "ca": alpha, "fa": phi}
    total = sum(factors[name] * term for name, term in terms.items())
    weight = torch.tensor(v, dtype=torch.float64)
    return {**terms, "total": total, "weight": weight}


# ------------------------------------------------------------------ networks


def golden_tensor(name: str, shape: Sequence[int]) -> Tensor:
    """What a published tensor is filled with for the golden outputs."""
    rng = np.random.RandomState(zlib.crc32(name.encode()))
    if name.endswith("num_batches_tracked"):
        return torch.zeros((), dtype=torch.long)
    if name.endswith("running_var"):
        values = 1 + 0.1 * rng.rand(*shape)
    elif name.endswith(("running_mean", "bias")):
        values = 0.1 * rng.randn(*shape)
    elif len(shape) == 1:
        values = 1 + 0.1 * rng.randn(*shape)
    else:
        values = rng.randn(*shape) * math.sqrt(2 / math.prod(shape[1:]))
    return torch.from_numpy(values)


def assert_golden_outputs(classifier: nn.Module, golden: dict) -> None:
    """Compare what a classifier of MMPretrain gives, filled and in float64."""
    classifier.eval()
    inputs = torch.from_numpy(np.random.RandomState(0).randn(2, 3, 32, 32))
    with torch.no_grad():
        (feature,) = classifier.extract_feat(inputs)
        logits = classifier(inputs, mode="tensor")
    assert feature.shape[1] == golden["feature_width"]
    for found, expected in [
        (feature[:, :4], golden["feature_first4"]),
        (logits[:, :4], golden["logits_first4"]),
        (logits.sum(dim=1), golden["logits_sum"]),
    ]:
        np.testing.assert_allclose(found.numpy(), expected, rtol=1e-9)


# ------------------------------------------------------------------ comparing


def value_and_gradients(
    function: Callable[..., Tensor], *inputs: Tensor
) -> Tuple[Tensor, List[Optional[Tensor]]]:
    """Value of a scalar function and its gradient for each floating-point input."""
    inputs = [x.detach().clone().requires_grad_(x.is_floating_point()) for x in inputs]
    value = function(*inputs)
    if value.requires_grad:
        value.backward()
    return value.detach(), [x.grad for x in inputs]


def assert_near(found, expected, relative: float) -> None:
    """Equal up to a share of the largest expected entry.

    The zeros of an expected gradient are compared on the scale of the whole, not with
    themselves; None, no gradient at all, counts as zeros.
    """
    if found is None or expected is None:
        for other in (found, expected):
            assert other is None or not torch.as_tensor(other).any()
        return
    found = torch.as_tensor(found, dtype=torch.float64)
    expected = torch.as_tensor(expected, dtype=torch.float64)
    assert found.shape == expected.shape
    scale = expected.abs().max().clamp_min(1e-3)
    error = float(((found - expected).abs() / scale).max())
    assert error <= relative, f"relative error {error:.2e}, allowed {relative:.0e}"


def assert_same(
    function: Callable[..., Tensor],
    plain: Callable[..., Tensor],
    inputs: Sequence[Tensor],
    tolerance: float,
    gradient_tolerance: Optional[float] = None,
) -> None:
    """Two functions have the same value and gradients for some inputs."""
    value, gradients = value_and_gradients(function, *inputs)
    expected, expected_gradients = value_and_gradients(plain, *inputs)
    assert_near(value, expected, tolerance)
    for found, wanted in zip(gradients, expected_gradients, strict=True):
        assert_near(found, wanted, gradient_tolerance or tolerance)
