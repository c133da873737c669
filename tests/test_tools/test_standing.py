"""docs/standing.md: its tables, and what its sentences say of them."""

import re
import sys

import pytest

from pckd_mm.analysis import published
from pckd_mm.analysis.measured import read_measured
from pckd_mm.analysis.published_values import DETECTORS, FIELD, IMAGENET_FIELD
from tests.builders import CONFIGS, ROOT

sys.path.insert(0, str(ROOT / "tools" / "dev"))
from result_tables import standing  # noqa: E402

PAGE = (ROOT / "docs" / "standing.md").read_text(encoding="utf-8")
PARTS = standing.parts(ROOT)
PROSE = re.sub(r"<!-- begin .*?<!-- end .*? -->", "", PAGE, flags=re.DOTALL)
PAIRS = (
    "resnet56 -> resnet20",
    "wrn_40_2 -> wrn_16_2",
    "resnet32x4 -> resnet8x4",
    "vgg13 -> vgg8",
)


def table(name):
    """Rows of a generated table, as dicts."""
    lines = PARTS[name].splitlines()
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]
    return [dict(zip(cells[0], row, strict=True)) for row in cells[2:]]


def test_pckds_own_table():
    rows = {row["pair"]: row for row in table("pckd")}
    assert len(rows) == 7
    row = rows["wrn_40_2 -> wrn_16_2"]
    assert (row["KD"], row["PCKD"], row["PCKD over KD"]) == ("74.92", "76.97", "+2.05")


def test_the_field():
    rows = {row["method"]: row for row in table("field")}
    assert list(rows)[0] == "PCKD" and len(rows) == len(FIELD) + 5
    assert [rows["SKD"][pair] for pair in PAIRS] == ["72.50", "76.60", "78.33", "75.75"]
    assert [rows["DKD"][pair] for pair in PAIRS] == ["71.97", "76.24", "76.32", "74.68"]
    assert rows["HSAKD"]["vgg13 -> vgg8"] == "-"
    assert rows["PCKD"]["beyond the common protocol"] == "four rotated views"
    assert all(
        re.fullmatch(r"\[.+\]\(https://.+\)", r["source"]) for r in rows.values()
    )


def test_what_is_ahead():
    found = [(r["pair"], r["ahead of it"], r["by"]) for r in table("ahead")]
    # By hand: differences from 72.21, 76.97, 77.14 and 75.80, the largest first.
    assert found == [
        (PAIRS[0], "HSAKD", "+0.37"),
        (PAIRS[0], "SKD", "+0.29"),
        (PAIRS[0], "MLKD + logit standardization", "+0.12"),
        (PAIRS[0], "DKD + logit standardization", "+0.11"),
        (PAIRS[1], "HSAKD", "+0.23"),
        (PAIRS[2], "SKD", "+1.19"),
        (PAIRS[2], "MLKD + logit standardization", "+1.14"),
        (PAIRS[2], "WTTM + ITRD", "+0.22"),
        (PAIRS[2], "HSAKD", "+0.12"),
        (PAIRS[3], "none of these", "-"),
    ]
    said = " ".join(PROSE.split())
    assert f"On {PAIRS[3]} no method listed here is ahead of PCKD." in said
    assert f"On {PAIRS[1]} only HSAKD is." in said
    assert f"On {PAIRS[0]} and {PAIRS[2]} several are." in said


def test_what_standardization_adds():
    rows = {row.pop("added to"): list(row.values()) for row in table("standardization")}
    assert rows == {
        "KD": ["+0.77", "+1.19", "+3.29", "+1.38"],
        "DKD": ["+0.35", "+0.15", "+0.69", "+0.13"],
        "MLKD": ["+0.14", "+0.32", "+1.20", "+0.04"],
    }


def test_imagenet_is_in_order():
    rows = table("imagenet")
    values = [float(row["top-1"]) for row in rows[2:]]
    assert values == sorted(values, reverse=True) and len(values) == 12
    here = {row["method"]: row["in this project"] for row in rows}
    assert (here["PCKD"], here["DKD"], here["SDD"]) == (
        "yes",
        "the loss, no config",
        "no",
    )
    assert not (CONFIGS / "dist" / "imagenet_resnet34_resnet18.py").exists()
    # "as far without a teacher as with most of these methods"
    alone = next(float(r["top-1"]) for r in rows if r["method"].startswith("none"))
    assert sum(value > alone for value in values) == 1


def test_detectors():
    assert len(table("detectors")) == len(DETECTORS)
    changes = {"AP": [], "mAP@0.5": []}
    for row in table("detectors"):
        if row["distilled by"] == "LD, R101":
            change = float(row["distilled"]) - float(row["alone"])
            changes[row["metric"]].append(round(change, 1))
    # "LD raises AP while mAP@0.5 stays or falls": 0.1 counts as staying.
    assert changes == {"AP": [0.3, 1.2], "mAP@0.5": [-0.5, 0.1]}


def test_the_cost_is_that_of_the_page_on_speed():
    rows = {(row["pair"], row["precision, options"]): row for row in table("cost")}
    row = rows["resnet56 -> resnet20", "bfloat16, `--fast --compile --amp`"]
    # 405 / 110 = 3.68
    assert (row["PCKD ms"], row["KD ms"], row["PCKD / KD"]) == ("405", "110", "3.7")
    assert ("resnet56 -> resnet20", "float32, none") not in rows
    ratios = [float(r["PCKD / KD"]) for r in table("cost")]
    assert [ratios.pop() for _ in range(2)] == [1.0, 1.0]  # the detectors'
    # "about four times"
    assert 3.5 < sum(ratios) / len(ratios) < 4.5
    speed = (ROOT / "docs" / "speed.md").read_text(encoding="utf-8")
    for command in re.findall(r"`(python tools/benchmarks/[^`]+)`", PROSE):
        assert " ".join(command.split()) in " ".join(speed.split())


@pytest.mark.parametrize("method", published.METHODS)
def test_methods_have_a_config_for_each_pair(method):
    for pair in published.NETWORKS:
        assert (CONFIGS / method / f"cifar100_{pair}.py").is_file()
    assert published.METHODS[method] in PROSE or method == "pckd_wo_kd"


def test_what_is_not_here_is_named():
    missing = PROSE.split("It does not have", 1)[1].split("## What it costs")[0]
    names = {rival.name for rival in (*FIELD, *IMAGENET_FIELD) if rival.here == "no"}
    for name in names - {"none, resnet18 alone"}:
        for part in name.removesuffix(standing.STANDARDIZED).split(" + "):
            assert part in missing or part in published.METHODS.values(), name


def test_values_in_sentences():
    """They are published values, or measured here, or stand here alone."""
    known = {
        f"{value:.2f}"
        for pair in published.CIFAR100.values()
        for value in pair.values()
    }
    known |= {f"{e.mean:.2f}" for e in read_measured(ROOT / "docs" / "measured.yml")}
    alone = {
        "0.32": "logs of logit standardization, mean",
        "0.92": "logs of logit standardization, largest",
        "71.54": "RepDistiller, issue 62",
        "76.23": "mdistiller, README",
        "74.43": "DIST_KD, README",
    }
    found = re.findall(
        r"(?<![\d./:])\d+\.\d\d(?!\d)", re.sub(r"\(http.*?\)", "", PROSE)
    )
    assert set(found) - known == set(alone)
    assert len(found) == len(set(found))


def test_it_is_linked():
    for page in ("README.md", "docs/results.md", "docs/design.md"):
        assert "standing.md" in (ROOT / page).read_text(encoding="utf-8")
