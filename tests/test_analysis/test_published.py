"""Published values against the tables that they were taken from."""

import re

import pytest

from pckd_mm.analysis import published
from tests.builders import SHARED

METHOD = SHARED / "method.md"
COLUMNS = {
    "same": "wrn_40_2_wrn_16_2 wrn_40_2_wrn_40_1 resnet56_resnet20 resnet110_resnet20 "
    "resnet110_resnet32 resnet32x4_resnet8x4 vgg13_vgg8",
    "cross": "vgg13_mobilenetv2 resnet50_mobilenetv2 resnet50_vgg8 "
    "resnet32x4_shufflev1 resnet32x4_shufflev2 wrn_40_2_shufflev1",
}


def test_a_few_numbers():
    assert published.CIFAR100["resnet56_resnet20"]["pckd"] == 72.21
    assert published.CIFAR100["wrn_40_2_wrn_16_2"]["pckd_wo_kd"] == 76.52
    assert published.CIFAR100["vgg13_vgg8"]["fitnet"] == 71.02
    assert published.CIFAR100["resnet32x4_shufflev2"]["dkd"] == 77.07
    # Neither of these is known.
    assert "dkd" not in published.CIFAR100["resnet50_vgg8"]
    assert "pckd" not in published.CIFAR100["vgg13_mobilenetv2"]
    assert len(published.CIFAR100) == len(published.NETWORKS) == 13


@pytest.mark.skipif(not METHOD.is_file(), reason="needs the shared method page")
@pytest.mark.parametrize("family", ["same", "cross"])
def test_every_number(family):
    text = METHOD.read_text().split("### Published top-1")[1].split("Baselines in")[0]
    same, cross = text.split("Cross family")
    rows = re.findall(
        r"^\| (\w.*?) \| (.+) \|$", {"same": same, "cross": cross}[family], re.MULTILINE
    )
    assert len(rows) == {"same": 9, "cross": 5}[family]
    names = {name: method for method, name in published.METHODS.items()}
    expected = {pair: {} for pair in COLUMNS[family].split()}
    for name, cells in rows:
        values = cells.split(" | ")
        for pair, value in zip(expected, values, strict=True):
            if value != "-":
                expected[pair][names.get(name, name)] = float(value)
    mine = {"same": published.SAME_FAMILY, "cross": published.CROSS_FAMILY}[family]
    assert mine == expected


@pytest.mark.skipif(not METHOD.is_file(), reason="needs the shared method page")
def test_imagenet():
    text = " ".join(METHOD.read_text().split())
    line = text.split("ImageNet ResNet34 -> ResNet18:")[1].split("top-5")[0]
    found = dict(re.findall(r"(\w+) (\d+\.\d+)", line))
    assert published.IMAGENET == {k.lower(): float(v) for k, v in found.items()}
    assert float(re.search(r"/ (\d+\.\d+)", line)[1]) == published.IMAGENET_TOP5["pckd"]


def test_a_network_has_one_value_alone():
    """So the config of a plain network has one published value."""
    values = {}
    for pair, networks in published.NETWORKS.items():
        for role, network in zip(("teacher", "student"), networks, strict=True):
            values.setdefault((role, network), published.CIFAR100[pair][role])
            assert values[role, network] == published.CIFAR100[pair][role]
    assert len({network for _, network in values}) == len(values)


@pytest.mark.parametrize(
    "config, value",
    [
        ("configs/kd/cifar100_resnet56_resnet20.py", 70.66),
        ("configs/pckd_wo_kd/cifar100_wrn_40_2_wrn_40_1.py", 76.22),
        ("configs/vanilla/cifar100_wrn_40_2.py", 75.61),
        ("configs/vanilla/cifar100_resnet20.py", 69.06),
        ("configs/pckd/cifar100_vgg13_mobilenetv2.py", None),
        ("configs/kd/cifar100_resnet20_resnet8_12e.py", None),
        ("configs/vanilla/cifar100_resnet20_12e.py", None),
        ("configs/pckd_focal/cifar100_resnet56_resnet20.py", None),
        ("configs/student/cifar100_resnet56_resnet20.py", None),
        ("configs/kd/digits_resnet20_resnet8_thin.py", None),
    ],
)
def test_published_value_of_a_config(config, value):
    assert published.published_of(config) == value
