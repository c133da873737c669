"""Imports that fail, or end the process, and the advice for each."""

import pytest

from pckd_mm.diagnosis import imports
from pckd_mm.diagnosis.imports import NEEDED, check_imports, try_imports

ALL = [*NEEDED, *imports.OF_DETECTORS]


@pytest.fixture
def modules(tmp_path, monkeypatch):
    """Modules in a folder of Python's path."""
    texts = {
        "works": "print('noise')",
        "lacks": "import no_such_module",
        "asserts": "assert 1 > 2, 'versions'",
        "leaves": "raise SystemExit(3)",
        "dies": "import os; os.abort()",
    }
    for name, text in texts.items():
        (tmp_path / f"{name}_trial.py").write_text(text)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))


def test_each_import_is_tried_until_the_process_dies(modules):
    names = ["works", "lacks", "asserts", "leaves", "dies", "works2"]
    found = try_imports([f"{name}_trial" for name in names])
    assert found["works_trial"] == ""
    assert found["lacks_trial"] == (
        "ModuleNotFoundError: No module named 'no_such_module'"
    )
    assert found["asserts_trial"] == "AssertionError: versions"
    assert found["leaves_trial"] == "SystemExit: 3"
    assert found["dies_trial"] == "the process ended with status -6"
    assert "works2_trial" not in found and "devices" not in found


@pytest.mark.parametrize(
    "ops, told",
    [
        ("def get_compiling_cuda_version(): return 'not available'", "not available"),
        ("def get_compiling_cuda_version(): return '13.0'", "13.0"),
        ("raise ImportError('no mmcv._ext')", ""),
        ("", None),  # of another mmcv
    ],
)
def test_mmcv_is_asked_what_its_operators_are_for(tmp_path, monkeypatch, ops, told):
    (tmp_path / "mmcv").mkdir()
    (tmp_path / "mmcv" / "__init__.py").write_text("")
    (tmp_path / "mmcv" / "ops.py").write_text(ops)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert try_imports(["mmcv.ops"])["operators"] == told


def checked(monkeypatch, gpus=("A",), **errors):
    """Findings where all but some imports work."""
    found = {**dict.fromkeys(ALL, ""), "operators": "12.8", **errors}
    found["devices"] = dict(gpus=gpus, bfloat16="of the GPU", cuda="12.8")
    monkeypatch.setattr(imports, "try_imports", lambda names: found)
    return {finding.what: finding for finding in check_imports()}


def test_all_is_well(monkeypatch):
    findings = checked(monkeypatch)
    assert not [each for each in findings.values() if each.advice]
    assert findings["devices"].found == "CPU, A"
    assert findings["bfloat16"].found == "of the GPU"
    assert findings["import mmrazor.models"].found == "works"
    assert findings["detectors"].found.startswith("work")


@pytest.mark.parametrize(
    "error, words",
    [
        ("ImportError: libGL.so.1: cannot open", "apt install libgl1 libglib2.0-0."),
        ("ModuleNotFoundError: No module named 'a.b'", ": pip install a."),
        ("AssertionError: MMCV==2.2.0\nmore", "(AssertionError: MMCV==2.2.0): install"),
        ("x" * 1000, f"({'x' * 200}...)"),
        ("the process ended with status -11", "status -11): install the versions"),
    ],
)
def test_an_import_that_fails_has_its_advice(monkeypatch, error, words):
    findings = checked(monkeypatch, **{"mmpretrain": error})
    faults = [each for each in findings.values() if each.advice]
    assert [each.what for each in faults] == ["import mmpretrain"]
    assert words in faults[0].advice


def test_one_sentence_for_what_several_lack(monkeypatch):
    missing = "ModuleNotFoundError: No module named 'torch'"
    findings = checked(monkeypatch, torch=missing, mmcv=missing, mmpretrain="other")
    faults = [each.what for each in findings.values() if each.advice]
    assert faults == ["import torch", "import mmpretrain"]
    assert [each.what for each in findings.values() if each.follows] == ["import mmcv"]
    of_detectors = {"torch": missing, "mmcv.ops": missing, "mmdet": missing}
    findings = checked(monkeypatch, **of_detectors)
    assert [each.what for each in findings.values() if each.advice] == ["import torch"]
    assert findings["detectors"].follows


def test_detectors_are_optional_unless_mmdet_is_there(monkeypatch):
    missing = "ModuleNotFoundError: No module named 'mmdet'"
    no_operators = "ModuleNotFoundError: No module named 'mmcv._ext'"
    without = {"mmcv.ops": no_operators, "mmdet": missing}
    finding = checked(monkeypatch, **without)["detectors"]
    assert "mmcv has no operators" in finding.found and not finding.advice
    finding = checked(monkeypatch, **{**without, "mmdet": no_operators})["detectors"]
    assert "compile mmcv==2.1.0" in finding.advice


def test_operators_for_the_cpu_are_a_fault_where_there_is_a_gpu(monkeypatch):
    of_cpu = dict(operators="not available")
    finding = checked(monkeypatch, **of_cpu)["detectors"]
    assert finding.found.startswith("work on the CPU only")
    assert (
        "FORCE_CUDA=1, which needs nvcc of CUDA 12.8, with which torch was built"
        in (finding.advice)
    )
    assert finding.advice.count(". ") == 0 and finding.advice.endswith("on the CPU.")
    assert not checked(monkeypatch, gpus=(), **of_cpu)["detectors"].advice
    missing = "ModuleNotFoundError: No module named 'mmdet'"
    assert not checked(monkeypatch, mmdet=missing, **of_cpu)["detectors"].advice


def test_what_was_not_tried_is_no_fault_of_its_own(monkeypatch):
    found = {"torch": "the process ended with status -6"}
    monkeypatch.setattr(imports, "try_imports", lambda names: found)
    faults = [each for each in check_imports() if each.advice]
    assert [each.what for each in faults] == ["import torch"]
