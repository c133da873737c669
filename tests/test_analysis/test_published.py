"""Published values against the tables that they were taken from."""

import re

import pytest

from pckd_mm.analysis import published
from pckd_mm.analysis import published_values as values
from pckd_mm.analysis.published_values import DETECTORS
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
    assert published.CIFAR100["resnet110_resnet32"]["at"] == 72.31
    assert published.CIFAR100["resnet32x4_resnet8x4"]["dist"] == 76.31
    # Neither of these is known.
    assert "dkd" not in published.CIFAR100["resnet50_vgg8"]
    assert "pckd" not in published.CIFAR100["vgg13_mobilenetv2"]
    assert len(published.CIFAR100) == len(published.NETWORKS) == 13


# Rows that the table of PCKD's paper lacks, as RepDistiller's README has those of
# FitNet, AT and RKD, and TTM's those of DIST.
MORE = {
    "same": """
| AT | 74.08 | 72.77 | 70.55 | 70.22 | 72.31 | 73.44 | 71.43 |
| DIST | 75.51 | 74.73 | 71.75 | 71.65 | 73.69 | 76.31 | 73.89 |
""",
    "cross": """
| FitNet | 64.14 | 63.16 | 70.69 | 73.59 | 73.54 | 73.73 |
| AT | 59.40 | 58.58 | 71.84 | 71.73 | 72.73 | 73.32 |
| RKD | 64.52 | 64.43 | 71.50 | 72.28 | 73.21 | 72.21 |
| DIST | 68.50 | 68.66 | 74.11 | 76.34 | 77.35 | 76.40 |
""",
}
TABLES = {"same": published.SAME_FAMILY, "cross": published.CROSS_FAMILY}


def by_pair(family, text):
    """The rows of a table, as a dict for each pair."""
    names = {name: method for method, name in published.METHODS.items()}
    found = {pair: {} for pair in COLUMNS[family].split()}
    rows = re.findall(r"^\| (\w.*?) \| (.+) \|$", text, re.MULTILINE)
    for name, cells in rows:
        for pair, value in zip(found, cells.split(" | "), strict=True):
            if value != "-":
                found[pair][names.get(name, name)] = float(value)
    return found, len(rows)


@pytest.mark.parametrize("family", ["same", "cross"])
def test_the_rows_that_the_papers_table_lacks(family):
    expected, rows = by_pair(family, MORE[family])
    assert rows == {"same": 2, "cross": 4}[family]
    for pair, row in expected.items():
        assert row.items() <= TABLES[family][pair].items()


@pytest.mark.skipif(not METHOD.is_file(), reason="needs the shared method page")
@pytest.mark.parametrize("family", ["same", "cross"])
def test_every_number(family):
    text = METHOD.read_text().split("### Published top-1")[1].split("Baselines in")[0]
    same, cross = text.split("Cross family")
    expected, rows = by_pair(family, {"same": same, "cross": cross}[family])
    assert rows == {"same": 9, "cross": 5}[family]
    more, _ = by_pair(family, MORE[family])
    assert TABLES[family] == {
        pair: {**row, **more[pair]} for pair, row in expected.items()
    }


@pytest.mark.skipif(not METHOD.is_file(), reason="needs the shared method page")
def test_imagenet():
    text = " ".join(METHOD.read_text().split())
    line = text.split("ImageNet ResNet34 -> ResNet18:")[1].split("top-5")[0]
    found = dict(re.findall(r"(\w+) (\d+\.\d+)", line))
    assert published.IMAGENET == {k.lower(): float(v) for k, v in found.items()}
    assert float(re.search(r"/ (\d+\.\d+)", line)[1]) == published.IMAGENET_TOP5["pckd"]


def test_a_network_has_one_value_alone():
    """So the config of a plain network has one published value."""
    found = {}
    for pair, networks in published.NETWORKS.items():
        for role, network in zip(("teacher", "student"), networks, strict=True):
            found.setdefault((role, network), published.CIFAR100[pair][role])
            assert found[role, network] == published.CIFAR100[pair][role]
    assert len({network for _, network in found}) == len(found)


@pytest.mark.parametrize(
    "config, value",
    [
        ("configs/kd/cifar100_resnet56_resnet20.py", 70.66),
        ("configs/pckd_wo_kd/cifar100_wrn_40_2_wrn_40_1.py", 76.22),
        ("configs/vanilla/cifar100_wrn_40_2.py", 75.61),
        ("configs/vanilla/cifar100_resnet20.py", 69.06),
        ("configs/pckd/cifar100_vgg13_mobilenetv2.py", None),
        ("configs/kd/cifar100_resnet20_resnet8_30e.py", None),
        ("configs/vanilla/cifar100_resnet20_60e.py", None),
        ("configs/pckd_focal/cifar100_resnet56_resnet20.py", None),
        ("configs/student/cifar100_resnet56_resnet20.py", None),
        ("configs/kd/digits_resnet20_resnet8_thin.py", None),
    ],
)
def test_published_value_of_a_config(config, value):
    assert published.published_of(config) == value


def test_every_row_has_a_source():
    rivals = (*values.FIELD, *values.IMAGENET_FIELD)
    rows = [*values.SAME_FAMILY.values(), *values.CROSS_FAMILY.values()]
    rows += [*values.IMAGENET.values(), *(rival.row for rival in rivals), *DETECTORS]
    used = {row.source for row in rows}
    assert used == set(values.SOURCES)
    for source in values.SOURCES.values():
        assert source.link == f"[{source.name}]({source.url})"
        assert re.fullmatch(r"https://(github\.com|arxiv\.org/abs)/\S+", source.url)


def test_the_field_has_a_value_a_pair():
    assert set(values.FIELD_PAIRS) <= set(published.SAME_FAMILY)
    for rival in values.FIELD:
        assert len(rival.row.values) == len(values.FIELD_PAIRS), rival.name
    for rival in values.IMAGENET_FIELD:
        assert len(rival.row.values) == 1, rival.name
