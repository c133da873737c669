"""CRD: against MMRazor's memory for given negatives, plain loops, and its state."""

import copy
import math

import pytest
import torch
import torch.nn.functional as F
from mmrazor.models.losses.crd_loss import ContrastLoss, ContrastMemory

from pckd_mm.models.losses import ContrastiveRepresentationLoss
from pckd_mm.models.losses import contrastive_representation_loss as crd
from pckd_mm.registry import MODELS
from tests.reference import assert_near

SAMPLES, CLASSES, NEGATIVES, WIDTH = 24, 4, 7, 5
LABELS = torch.arange(SAMPLES) % CLASSES


def make_loss(seed=0, **settings):
    torch.manual_seed(seed)
    settings = dict(sample_n=SAMPLES, neg_num=NEGATIVES, dim_out=WIDTH) | settings
    loss = ContrastiveRepresentationLoss(**settings)
    loss.set_labels(LABELS)
    return loss.double()


def make_inputs(seed=0, images=3):
    torch.manual_seed(seed)
    features = [
        F.normalize(torch.randn(images, WIDTH, dtype=torch.float64)) for _ in range(2)
    ]
    return [x.requires_grad_() for x in features], torch.randperm(SAMPLES)[:images]


@pytest.fixture
def drawn(monkeypatch):
    """Negatives as they are drawn in each step."""
    record, draw = [], crd.draw_negatives

    def recorded(*args):
        record.append(draw(*args))
        return record[-1]

    monkeypatch.setattr(crd, "draw_negatives", recorded)
    return record


def plain_step(state, s_feat, t_feat, idx, negatives, tau=0.07):
    """Losses in loops; ``state`` is None for the first batch's constants."""
    total = 0
    for memory, anchors, name in (("t", s_feat, "Z_s"), ("s", t_feat, "Z_t")):
        rows = [
            [
                ((anchors[b] * state[memory][n]).sum() / tau).exp()
                for n in [int(idx[b]), *negatives[b].tolist()]
            ]
            for b in range(len(idx))
        ]
        if name not in state:
            scores = [float(x) for row in rows for x in row]
            state[name] = sum(scores) / len(scores) * SAMPLES
        noise = NEGATIVES / SAMPLES
        for positive, *others in rows:
            p = positive / state[name]
            total = total - (p / (p + noise + 1e-7)).log()
            for other in others:
                p = other / state[name]
                total = total - (noise / (p + noise + 1e-7)).log()
    return total / len(idx)


@pytest.mark.parametrize("tau, momentum", [(0.07, 0.5), (0.5, 0.75)])
def test_two_steps_against_loops(tau, momentum, drawn):
    loss = make_loss(temperature=tau, momentum=momentum)
    state = {who: getattr(loss, f"{who}_memory").clone() for who in "st"}
    for seed in range(2):
        (s, t), idx = make_inputs(seed)
        value = loss(s, t, idx)
        found = torch.autograd.grad(value, (s, t))
        expected = plain_step(state, s, t, idx, drawn[-1], tau)
        assert_near(value.detach(), expected.detach(), 1e-9)
        for gradient, wanted in zip(
            found, torch.autograd.grad(expected, (s, t)), strict=True
        ):
            assert_near(gradient, wanted, 1e-9)
        for who, feature in (("s", s), ("t", t)):
            for b, n in enumerate(idx.tolist()):
                row = momentum * state[who][n]
                row += (1 - momentum) * feature[b].detach()
                state[who][n] = row / row.square().sum().sqrt()
            assert_near(getattr(loss, f"{who}_memory"), state[who], 1e-12)


def test_two_steps_against_mmrazors_memory(drawn):
    loss = make_loss()
    razors = ContrastMemory(WIDTH, SAMPLES, NEGATIVES).double()
    # Its params hold temperature and momentum too.
    razors.params.copy_(torch.tensor([NEGATIVES, 0.07, -1, -1, 0.5]).double())
    razors.memory_v1.copy_(loss.s_memory)
    razors.memory_v2.copy_(loss.t_memory)
    criterion = ContrastLoss(SAMPLES)
    for seed in range(2):
        (s, t), idx = make_inputs(seed)
        value = loss(s, t, idx)
        gradients = torch.autograd.grad(value, (s, t))
        rows = torch.cat([idx[:, None], drawn[-1]], dim=1)
        expected = sum(criterion(out) for out in razors(s, t, idx, rows)).sum()
        torch.testing.assert_close(value, expected)
        torch.testing.assert_close(gradients, torch.autograd.grad(expected, (s, t)))
        torch.testing.assert_close(loss.s_memory, razors.memory_v1)
        torch.testing.assert_close(loss.t_memory, razors.memory_v2)
        # MMRazor calls a constant by its anchors, we by its memory.
        torch.testing.assert_close(loss.t_constant, razors.params[2])
        torch.testing.assert_close(loss.s_constant, razors.params[3])


def test_momentum_is_the_share_that_stays():
    loss = make_loss(dim_out=2, momentum=0.75)
    for memory in (loss.s_memory, loss.t_memory):
        memory[4] = torch.tensor([1.0, 0.0])
    feature = torch.tensor([[0.0, 1.0]]).double()
    loss(feature, feature, torch.tensor([4]))
    # (0.75, 0.25), brought to length one.
    for memory in (loss.s_memory, loss.t_memory):
        assert memory[4].tolist() == pytest.approx([0.9487, 0.3162], abs=1e-4)


def test_negatives_are_different_images_of_other_classes():
    torch.manual_seed(0)
    idx = torch.tensor([0, 1, 5, 23])
    counts = torch.zeros(len(idx), SAMPLES)
    rounds = 2000
    for _ in range(rounds):
        drawn = crd.draw_negatives(LABELS, idx, NEGATIVES)
        assert drawn.shape == (len(idx), NEGATIVES)
        counts.scatter_add_(1, drawn, torch.ones(drawn.shape))
        assert all(len(set(row)) == NEGATIVES for row in drawn.tolist())
    for row, anchor in zip(counts, idx, strict=True):
        same = LABELS == LABELS[anchor]
        assert not row[same].any()
        # Of the 18 others each with the same chance; 5 standard deviations.
        share = NEGATIVES / 18
        deviation = math.sqrt(rounds * share * (1 - share))
        assert (row[~same] - rounds * share).abs().max() < 5 * deviation


def test_anchors_have_negatives_of_their_own():
    torch.manual_seed(0)
    first, second = crd.draw_negatives(LABELS, torch.tensor([0, 4]), NEGATIVES)
    assert set(first.tolist()) != set(second.tolist())


def test_memory_starts_within_its_bound():
    memory = ContrastiveRepresentationLoss(sample_n=2000, neg_num=1).s_memory
    bound = 1 / math.sqrt(128 / 3)
    assert memory.abs().max() <= bound
    assert memory.std() == pytest.approx(bound / math.sqrt(3), rel=0.02)


def test_evaluation_leaves_the_state_alone():
    loss = make_loss().eval()
    before = copy.deepcopy(loss.state_dict())
    (s, t), idx = make_inputs()
    assert loss(s, t, idx).isfinite()
    for name, value in loss.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_state_dict_resumes_bit_by_bit():
    loss = make_loss()
    (s, t), idx = make_inputs()
    loss(s, t, idx)
    other = make_loss(seed=9)
    other.load_state_dict(loss.state_dict())
    results = []
    for each in (loss, other):
        (s, t), idx = make_inputs(seed=1)
        torch.manual_seed(3)
        value = each(s, t, idx)
        value.backward()
        results.append((value.detach(), s.grad, t.grad, *each.state_dict().values()))
    for first, second in zip(*results, strict=True):
        assert torch.equal(first, second)


def test_loss_weight():
    (s, t), idx = make_inputs()
    values = []
    for weight in (1.0, 0.8):
        loss = make_loss(loss_weight=weight)
        torch.manual_seed(1)
        values.append(loss(s, t, idx))
    assert_near(values[1].detach(), 0.8 * values[0].detach(), 1e-12)


def test_autocast_computes_in_full_precision():
    loss = make_loss().float()
    (s, t), idx = make_inputs()
    values = []
    for enabled in (False, True):
        each = copy.deepcopy(loss)
        torch.manual_seed(1)
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            values.append(each(s.float(), t.float(), idx))
    assert values[1].dtype == torch.float32
    assert torch.equal(*values)


def test_one_feature_of_each_image():
    loss = make_loss()
    (s_feat, t_feat), idx = make_inputs()
    match = "found 6 features of the student, 6 of the teacher and 3 images"
    for loss.training in (True, False):
        with pytest.raises(ValueError, match=match):
            loss(s_feat.repeat(2, 1), t_feat.repeat(2, 1), idx)


def test_labels_must_be_known():
    (s, t), idx = make_inputs()
    loss = ContrastiveRepresentationLoss(SAMPLES, NEGATIVES, WIDTH)
    with pytest.raises(RuntimeError, match="SampleLabelsHook"):
        loss(s, t, idx)


def test_labels_that_do_not_fit():
    loss = ContrastiveRepresentationLoss(SAMPLES, NEGATIVES, WIDTH)
    with pytest.raises(ValueError, match="sample_n=24 and a training set of 23 images"):
        loss.set_labels(LABELS[1:])
    loss = ContrastiveRepresentationLoss(SAMPLES, 19, WIDTH)
    with pytest.raises(ValueError, match="neg_num=19 and a class with 18 images"):
        loss.set_labels(LABELS.tolist())


def test_as_many_images_as_there_are_labels():
    """As with sample_n=24, and with as many negatives as the largest class leaves."""
    torch.manual_seed(4)
    loss = ContrastiveRepresentationLoss(None, NEGATIVES, WIDTH)
    assert len(loss.s_memory) == 0
    torch.manual_seed(0)
    loss.set_labels(LABELS)
    assert loss.neg_num == NEGATIVES
    same = make_loss()
    for name, value in loss.double().state_dict().items():
        assert torch.equal(value, same.state_dict()[name]), name
    results = []
    for each in (loss, same):
        (s, t), idx = make_inputs()
        torch.manual_seed(3)
        results.append(each(s, t, idx).detach())
    assert torch.equal(*results)

    few = ContrastiveRepresentationLoss(None, 100, WIDTH)
    few.set_labels(LABELS)
    assert few.neg_num == 18
    with pytest.raises(ValueError, match="3 images of one class; expected others too"):
        ContrastiveRepresentationLoss(None, 100, WIDTH).set_labels([1, 1, 1])


def test_memories_of_a_checkpoint_are_taken_as_they_are():
    """Whether labels come before it or behind it."""
    stored = make_loss().float().state_dict()
    for known in (True, False):
        loss = ContrastiveRepresentationLoss(None, NEGATIVES, WIDTH)
        if known:
            loss.set_labels(LABELS)
        loss.load_state_dict(stored)
        loss.set_labels(LABELS)
        assert torch.equal(loss.s_memory, stored["s_memory"])
    with pytest.raises(ValueError, match="24 images, as of a checkpoint, and a"):
        loss.set_labels(LABELS[1:])


def test_constants_of_other_images_are_not_taken():
    first, (features, idx) = make_loss(), make_inputs()
    first(*features, idx)
    stored = first.state_dict()
    assert stored["s_constant"] > 0
    other = ContrastiveRepresentationLoss(None, NEGATIVES, WIDTH)
    other.set_labels(LABELS[1:])
    with pytest.raises(RuntimeError, match="size mismatch"):
        other.load_state_dict(stored)
    assert other.s_constant == other.t_constant == -1


def test_built_from_registry():
    cfg = dict(type="pckd_mm.ContrastiveRepresentationLoss", sample_n=9)
    loss = MODELS.build(cfg)
    assert isinstance(loss, ContrastiveRepresentationLoss)
    assert (loss.neg_num, loss.temperature, loss.momentum) == (16384, 0.07, 0.5)
    assert loss.s_memory.shape == loss.t_memory.shape == (9, 128)
    assert not list(loss.parameters())
