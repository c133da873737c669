"""What sentences say of measured values is what ``docs/measured.yml`` has."""

from statistics import mean, stdev

import pytest
import yaml

from tests.builders import ROOT

ENTRIES = {
    entry["config"].removeprefix("configs/").removesuffix(".py"): entry
    for entry in yaml.safe_load((ROOT / "docs" / "measured.yml").read_text())
    if not entry.get("options")
}


def values(config):
    entry = ENTRIES[config]
    return list((entry.get("top1") or entry["map50"]).values())


def cifar(method):
    """The mean of a method on CIFAR-100 in 30 epochs."""
    if method == "vanilla":
        return mean(values("vanilla/cifar100_resnet8_30e"))
    return mean(values(f"{method}/cifar100_resnet20_resnet8_30e"))


def letters(method):
    """The mean of a method on the letters."""
    return mean(values(f"{method}/letters_resnet20_resnet8_thin"))


def scenes(kind, method):
    """Mean and deviation of a method on scenes of digits, as pages have them."""
    student = "w16" if kind == "rtmdet" else "r18w8"
    pair = student if method == "vanilla" else f"r18w32_{student}"
    found = values(f"{method}/digit_scenes_{kind}_{pair}")
    return f"{mean(found):.1f} +- {stdev(found):.1f}"


def gap(values, better, worse):
    return f"{values(better) - values(worse):.1f}"


SENTENCES = {
    "letters, README": (
        "README.md",
        f"ahead of KD by {gap(letters, 'pckd', 'kd')} points on [printed letters]",
    ),
    "30 epochs, README": (
        "README.md",
        f"[ahead by {gap(cifar, 'pckd', 'kd')}](#results) after 30.",
    ),
    "PCKD+, README": (
        "README.md",
        f"ahead of PCKD by {gap(letters, 'pckd_plus', 'pckd')} on the letters and by "
        f"{gap(cifar, 'pckd_plus', 'pckd')} on CIFAR-100",
    ),
    "Faster R-CNN, README": (
        "README.md",
        f"mAP@0.5 of {scenes('frcnn', 'vanilla')} alone, {scenes('frcnn', 'kd')} by "
        f"KD and {scenes('frcnn', 'pckd')} by PCKD",
    ),
    "GFL, README": (
        "README.md",
        f"a one-stage GFL {scenes('gfl', 'vanilla')}, {scenes('gfl', 'kd')} and "
        f"{scenes('gfl', 'pckd')}.",
    ),
    "Cascade, README": (
        "README.md",
        f"{scenes('cascade', 'vanilla')}, {scenes('cascade', 'kd')} and "
        f"{scenes('cascade', 'pckd')}.",
    ),
    "30 epochs, results": (
        "docs/results.md",
        f"PCKD is {gap(cifar, 'pckd', 'kd')} ahead of KD and "
        f"{gap(cifar, 'dist', 'pckd')} behind DIST",
    ),
    "PCKD+, results": (
        "docs/results.md",
        f"[{cifar('pckd_plus'):.2f}](#30-epochs), "
        f"{gap(cifar, 'pckd_plus', 'pckd')} ahead of PCKD and "
        f"{gap(cifar, 'pckd_plus', 'vanilla')} of the student alone, and level with "
        f"DIST, {cifar('dist'):.2f}.",
    ),
    "letters, results": (
        "docs/results.md",
        f"of KD by {gap(letters, 'pckd', 'kd')} points",
    ),
    "30 epochs, standing": (
        "docs/standing.md",
        f"KD {cifar('kd'):.2f}, PCKD {cifar('pckd'):.2f}, PCKD+ "
        f"{cifar('pckd_plus'):.2f}, DIST {cifar('dist'):.2f}.",
    ),
}


@pytest.mark.parametrize("name", SENTENCES)
def test_a_sentence_has_the_measured_values(name):
    page, sentence = SENTENCES[name]
    said = " ".join((ROOT / page).read_text(encoding="utf-8").split())
    assert said.count(sentence) == 1, f"{page} does not say: {sentence}"
