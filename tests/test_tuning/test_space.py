"""What a search varies."""

import pytest

from pckd_mm.experiments import ExperimentError
from pckd_mm.tuning.space import find_ranges
from tests.builders import ROOT

PCKD = "configs/pckd/cifar100_resnet20_resnet8_6e.py"
LOSS = "model.distiller.distill_losses."


@pytest.fixture(autouse=True)
def in_the_repository(monkeypatch):
    monkeypatch.chdir(ROOT)


def test_the_losses_around_the_values_of_the_config():
    found = {entry.name: entry for entry in find_ranges(PCKD)}
    assert {n: (e.path, e.first, e.low, e.high) for n, e in found.items()} == {
        "loss_kd": (LOSS + "loss_kd.loss_weight", 1.0, 0.1, 10.0),
        "loss_kd.tau": (LOSS + "loss_kd.tau", 4.0, 1.0, 16.0),
        "loss_cc": (LOSS + "loss_cc.loss_weight", 0.05, 0.005, 0.5),
        "loss_ca": (LOSS + "loss_ca.loss_weight", 1.0, 0.1, 10.0),
        "loss_fa": (LOSS + "loss_fa.loss_weight", 20.0, 2.0, 200.0),
    }
    assert all(entry.log and not entry.whole for entry in found.values())
    dist = find_ranges("configs/dist/cifar100_resnet20_resnet8_6e.py")
    assert len(dist) >= 2 and all(entry.first > 0 for entry in dist)
    # A weight of both would be one too many.
    names = ["loss_dist.inter_loss_weight", "loss_dist.intra_loss_weight"]
    assert [entry.name for entry in dist] == names


def test_losses_whose_config_says_no_weight():
    """DKD's weight is 1, of its class; so are a weight and temperature left out."""
    (dkd,) = find_ranges("configs/dkd/cifar100_resnet20_resnet8_30e.py")
    assert (dkd.name, dkd.path) == ("loss_dkd", LOSS + "loss_dkd.loss_weight")
    assert (dkd.first, dkd.low, dkd.high) == (1.0, 0.1, 10.0)
    kd = dict(type="PreviewKLDivergence")
    found = find_ranges(PCKD, None, {LOSS + "loss_kd": dict(_delete_=True, **kd)})
    ranges = {entry.name: (entry.first, entry.low, entry.high) for entry in found}
    assert ranges["loss_kd"] == (1.0, 0.1, 10.0)
    assert ranges["loss_kd.tau"] == (4.0, 1.0, 16.0) and len(ranges) == 5


@pytest.mark.parametrize(
    "config",
    ["kd/voc_frcnn_r101_r50", "kd/digit_scenes_gfl_r18w32_r18w8", PCKD],
)
def test_a_loss_that_is_left_out_is_not_searched(config):
    options = {LOSS[:-1] + ".loss_ca": None} if config == PCKD else {}
    found = {entry.name for entry in find_ranges(f"{config}", None, options)}
    assert "loss_kd" in found and "loss_ca" not in found


def test_named_settings():
    texts = [
        "loss_fa=5..50",
        "loss_kd.standardize=True,False",
        "train_dataloader.batch_size=16..256",
        "optim_wrapper.optimizer.momentum=0..0.95",
        "loss_kd.tau=1,2,4",
    ]
    fa, standardize, batch, momentum, tau = find_ranges(PCKD, texts)
    assert (fa.first, fa.low, fa.high, fa.log, fa.whole) == (20.0, 5.0, 50.0, True, 0)
    # Not in the config: what the class has without it.
    assert standardize.first is False and standardize.choices == (True, False)
    assert batch.first == 64 and batch.whole and batch.log
    assert momentum.first == 0.9 and not momentum.log and not momentum.whole
    assert tau.first == 4.0 and tau.choices == (1.0, 2.0, 4.0)
    assert str(fa) == "loss_fa=5..50" and str(tau) == "loss_kd.tau=1.0,2.0,4.0"


def test_values_are_not_cut_to_whole_numbers():
    options = {LOSS + "loss_fa.loss_weight": 1}
    (fa,) = find_ranges(PCKD, ["loss_fa=0.5,1,2"], options)
    assert fa.choices == (0.5, 1, 2)


def test_what_is_named_later_replaces_what_was_before():
    found = {e.name: e for e in find_ranges(PCKD, ["losses", "loss_fa=10..30"])}
    assert len(found) == 5 and found["loss_fa"].low == 10


def test_the_values_are_those_with_the_options():
    options = {LOSS + "loss_fa.loss_weight": 3}
    found = {entry.name: entry for entry in find_ranges(PCKD, None, options)}
    assert (found["loss_fa"].low, found["loss_fa"].high) == (0.3, 30.0)


def test_values_that_people_can_read():
    kd, batch = find_ranges(PCKD, ["loss_kd=0.3333..3", "train_cfg.max_epochs=2..9"])
    assert kd.rounded(1.23456) == 1.23 and kd.rounded(0.3334) == 0.3333  # not below
    assert batch.rounded(7) == 7


@pytest.mark.parametrize(
    "text, reason",
    [
        ("loss_fa", "expected NAME=LOW..HIGH, NAME=A,B,C or losses"),
        ("loss_fb=1..2", "has no loss_fb; expected one of its losses, .*mean loss_fa"),
        ("loss_fa=a..b", "expected two numbers, such as loss_fa=0.1..10"),
        ("loss_fa=5..2", "expected the lower number in front"),
        ("loss_fa=1..2", "has 20.0 there; expected values with that one among them"),
        ("loss_fa=1,2", "has 20.0 there; expected values with that one among them"),
        ("loss_kd.type=1..2", "has PreviewKLDivergence there; expected values one by"),
        ("loss_kd.taus=1..2", "does not say its value, which is the first trial's"),
        ("a.b=1..2", "does not say its value"),
        ("randomness.seed=0..9", "expected a setting: give that seed by --seed"),
    ],
)
def test_what_cannot_be_searched(text, reason):
    with pytest.raises(ExperimentError, match=reason):
        find_ranges(PCKD, [text])


def test_a_config_without_losses():
    with pytest.raises(ExperimentError, match="no loss whose weight could be searched"):
        find_ranges("configs/vanilla/cifar100_resnet8_6e.py")
