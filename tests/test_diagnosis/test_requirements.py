"""Versions beside the ranges of the package's metadata."""

import platform

import pytest

from pckd_mm.diagnosis.requirements import check_requirements

REQUIRES = [
    "torch<2.16,>=2.1",
    "mmengine<0.11,>=0.10.7",
    "never>=1; python_version < '3'",
    "mmcv-lite==2.1.0; extra == 'lite'",
    "mmcv==2.1.0; extra == 'detection'",
    "mmdet<3.4,>=3.3; extra == 'detection'",
    "timm<2,>=1.0; extra == 'zoo'",
    "transformers<4.50,>=4.47; extra == 'zoo'",
]
GOOD = {"torch": "2.11.0+cpu", "mmengine": "0.10.7", "mmcv-lite": "2.1.0"}


def faults(installed: dict, python=">=3.10") -> dict:
    findings = check_requirements(REQUIRES, python, installed.get)
    return {finding.what: finding.advice for finding in findings if finding.advice}


def test_what_fits_is_no_fault():
    assert faults(GOOD) == {}
    findings = {each.what: each for each in check_requirements(REQUIRES, "", GOOD.get)}
    assert list(findings) == [
        *("Python", "torch", "mmengine", "mmcv", "[detection]", "[zoo]")
    ]
    assert findings["Python"].found == platform.python_version()
    assert findings["torch"].found == "2.11.0+cpu"
    assert findings["mmcv"].found == "mmcv-lite 2.1.0"
    assert findings["[zoo]"].found == "without timm, transformers"


@pytest.mark.parametrize(
    "change, what, words",
    [
        (
            {"torch": None},
            "torch",
            'torch is not installed: pip install "torch<2.16,>=2.1".',
        ),
        ({"torch": "2.0.1"}, "torch", "torch is 2.0.1; expected <2.16,>=2.1: pip inst"),
        ({"mmcv-lite": None}, "mmcv", "Neither mmcv nor mmcv-lite is installed: pip i"),
        ({"mmcv": "2.1.0"}, "mmcv", "mmcv 2.1.0 and mmcv-lite 2.1.0 are both inst"),
        (
            {"mmcv-lite": "2.2.0"},
            "mmcv",
            "mmcv-lite 2.2.0 is installed; expected ==2.1",
        ),
        ({"timm": "0.9"}, "[zoo]", "timm is 0.9; expected <2,>=1.0: pip install"),
    ],
)
def test_each_fault_has_its_advice(change, what, words):
    installed = {**GOOD, **change}
    found = faults(installed)
    assert list(found) == [what]
    assert found[what].startswith(words) and found[what].endswith(".")


def test_python_of_another_version():
    (advice,) = faults(GOOD, python=">=4").values()
    assert advice.startswith(f"Python is {platform.python_version()}; expected >=4: ")


def test_the_maintained_line_stands_for_the_packages():
    installed = {"torch": "2.11.0", "onedl-mmengine": "0.10.12", "onedl-mmcv": "2.3.6"}
    assert faults(installed) == {}
    findings = check_requirements(REQUIRES, "", installed.get)
    shown = {each.what: each.found for each in findings}
    assert shown["mmengine"] == "0.10.12 of onedl-mmengine"
    assert shown["mmcv"] == "2.3.6 of onedl-mmcv"


def test_a_package_that_is_not_installed(monkeypatch):
    from importlib import metadata

    def missing(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "metadata", missing)
    (finding,) = check_requirements()
    assert "pip install -e ." in finding.advice
