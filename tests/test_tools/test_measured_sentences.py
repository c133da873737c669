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
    found = scene_values(kind, method)
    return f"{mean(found):.1f} +- {stdev(found):.1f}"


def scene_values(kind, method):
    pair = "r18w8" if method == "vanilla" else "r18w32_r18w8"
    return values(f"{method}/digit_scenes_{kind}_{pair}")


def frcnn(method):
    return mean(scene_values("frcnn", method))


def gfl(method):
    return mean(scene_values("gfl", method))


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
        f"{gap(cifar, 'dist', 'pckd')} behind DIST. With PCKD {cifar('pckd'):.2f}, CRD "
        f"{cifar('crd'):.2f} and DKD {cifar('dkd'):.2f} these three are level.",
    ),
    "without L_KD, results": (
        "docs/results.md",
        f"PCKD without L_KD is level with it, {cifar('pckd_wo_kd'):.2f} and "
        f"{cifar('vanilla'):.2f}: in 30 epochs",
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
    "Faster R-CNN, own detector": (
        "docs/tutorials/own_detector.md",
        f"ahead of the student alone by {gap(frcnn, 'pckd', 'vanilla')} points of "
        f"mAP@0.5, KD by {gap(frcnn, 'kd', 'vanilla')}, three seeds each",
    ),
    "GFL, own detector": (
        "docs/tutorials/own_detector.md",
        f"KD was ahead by {gap(gfl, 'kd', 'vanilla')} points and PCKD by "
        f"{gap(gfl, 'pckd', 'vanilla')}, which",
    ),
    "letters, picture": (
        "docs/tutorials/first_student.md",
        f"PCKD {letters('pckd'):.2f} % after the last epoch, KD {letters('kd'):.2f}, "
        f"the student alone {mean(values('vanilla/letters_resnet8_thin')):.2f}, the "
        f"teacher {mean(values('vanilla/letters_resnet20')):.2f}, with",
    ),
    "DIST on the letters, results": (
        "docs/results.md",
        f"DIST, whose weights nobody searched, has {letters('dist'):.2f} +- "
        f"{stdev(values('dist/letters_resnet20_resnet8_thin')):.2f} on the test.",
    ),
    "30 epochs, standing": (
        "docs/standing.md",
        f"KD {cifar('kd'):.2f}, PCKD {cifar('pckd'):.2f}, PCKD+ "
        f"{cifar('pckd_plus'):.2f}, DIST {cifar('dist'):.2f}.",
    ),
}


def test_what_is_called_level_is_within_a_point():
    for methods in (["pckd", "crd", "dkd"], ["pckd_plus", "dist"]):
        found = [cifar(method) for method in methods]
        assert max(found) - min(found) < 1, methods


@pytest.mark.parametrize("name", SENTENCES)
def test_a_sentence_has_the_measured_values(name):
    page, sentence = SENTENCES[name]
    said = " ".join((ROOT / page).read_text(encoding="utf-8").split())
    assert said.count(sentence) == 1, f"{page} does not say: {sentence}"
