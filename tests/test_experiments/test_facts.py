"""What a run says that it was made with."""

import datetime
import re

import pytest
import torch
from mmengine.config import Config
from mmengine.optim import AmpOptimWrapper, OptimWrapper

import pckd_mm.engine  # noqa: F401  # not first where a test feigns a GPU
from pckd_mm.experiments import facts


def test_hardware_and_software_have_names(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    facts.hardware.cache_clear()
    count = facts.cores()
    assert facts.hardware().endswith(f", {count} core{'s' * (count > 1)}")
    found = facts.software()
    assert re.search(
        rf"torch {re.escape(torch.__version__)}, (onedl-)?mmengine 0\.", found
    )
    assert facts.software(("pytest", "none")) == (
        f"{facts.software()}, pytest {pytest.__version__}"
    )
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda gpu: f"GPU {gpu}")
    facts.hardware.cache_clear()
    assert facts.hardware() == "GPU 0" and facts.hardware(2) == "GPU 2"
    facts.hardware.cache_clear()


@pytest.mark.parametrize(
    "wrapper, gpu, expected",
    [
        (None, False, "float32"),
        (dict(), False, "float32"),
        (dict(type="OptimWrapper"), True, "float32"),
        (dict(type=OptimWrapper), True, "float32"),
        (dict(type="pckd_mm.SkipStepOptimWrapper"), True, "float32"),
        (dict(type="AmpOptimWrapper"), True, "float16 autocast"),
        (dict(type=AmpOptimWrapper), True, "float16 autocast"),
        (dict(type="AmpOptimWrapper", dtype="bfloat16"), True, "bfloat16 autocast"),
        (dict(type="AmpOptimWrapper", dtype=torch.bfloat16), True, "bfloat16 autocast"),
        (dict(type="pckd_mm.SkipStepAmpOptimWrapper"), True, "float16 autocast"),
        (dict(type="pckd_mm.BFloat16OptimWrapper"), True, "bfloat16 autocast"),
        (dict(type="pckd_mm.BFloat16OptimWrapper"), "a CPU", "bfloat16 autocast"),
        (dict(type="pckd_mm.BFloat16OptimWrapper"), "an old CPU", "float32"),
        (
            dict(type="pckd_mm.BFloat16OptimWrapper", force=True),
            "an old CPU",
            "bfloat16 autocast",
        ),
        (dict(type="ApexOptimWrapper"), True, "that of ApexOptimWrapper"),
    ],
)
def test_precision_is_that_of_the_config(wrapper, gpu, expected, monkeypatch):
    monkeypatch.setattr(facts, "has_fast_bfloat16", lambda: gpu != "an old CPU")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu is True)
    cfg = Config({} if wrapper is None else dict(optim_wrapper=wrapper))
    assert facts.precision(cfg) == expected


@pytest.mark.parametrize("gpu", [True, False])
def test_a_detector_on_a_cpu_is_in_bfloat16_in_part(gpu, monkeypatch):
    monkeypatch.setattr(facts, "has_fast_bfloat16", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    wrapper = dict(type="pckd_mm.BFloat16OptimWrapper")
    found = facts.precision(Config(dict(optim_wrapper=wrapper, default_scope="mmdet")))
    assert found == "bfloat16 autocast" + ("" if gpu else " of features")


def test_several_runs_together():
    note = facts.made_with("5690811, b1a2c3d", "float32")  # which was resumed
    assert note["commit"] == "5690811, b1a2c3d"
    assert datetime.date.fromisoformat(note["date"])
    other = {**note, "commit": None, "precision": "float16 autocast"}
    assert facts.made_with_together([other, note, note]) == {
        "commit": "5690811, b1a2c3d, unknown",
        "hardware": note["hardware"],
        "software": note["software"],
        "precision": "float16 autocast, float32",
    }
    # An old note says less, which this machine does not know better.
    old = {key: value for key, value in note.items() if key == "hardware"}
    assert facts.made_with_together([old]) == {
        "commit": "unknown",
        "hardware": note["hardware"],
        "software": "unknown",
        "precision": "unknown",
    }
