"""How a process has ended, in words."""

import faulthandler
import io
import signal
import sys

import pytest
from torch import nn

from pckd_mm.utils.endings import ending, last_lines, networks_of, trace_faults


@pytest.mark.parametrize(
    "status, expected",
    [
        (0, "failed"),
        (1, "failed"),
        (-11, "was ended by SIGSEGV (segmentation fault), a fault in compiled code"),
        (-6, "was ended by SIGABRT (aborted), a fault in compiled code"),
        (-9, "was ended by SIGKILL (killed), as the system does for lack of memory"),
        (-15, "was ended by SIGTERM (terminated)"),
        (-signal.SIGRTMIN - 1, f"was ended by signal {signal.SIGRTMIN + 1}"),
    ],
)
def test_endings(status, expected):
    assert ending(status) == expected


STUDENT = dict(
    type="ImageClassifier", backbone=dict(type="pckd_mm.CIFARResNet", depth=8)
)
TEACHER = dict(
    type="ImageClassifier", backbone=dict(type="SwinTransformer", arch="tiny")
)


@pytest.mark.parametrize(
    "model, expected",
    [
        (STUDENT, "CIFARResNet (depth 8)"),
        (
            dict(type="TimmClassifier", model_name="vit"),
            "TimmClassifier (model_name vit)",
        ),
        (
            dict(type="HuggingFaceClassifier", model_name="a/vit"),
            "HuggingFaceClassifier (model_name a/vit)",
        ),
        (
            dict(
                architecture=dict(
                    type="pckd_mm.PlainClassifier", model="torchvision.models.resnet18"
                ),
                teacher=dict(type="PlainClassifier", model=nn.Linear(1, 1)),
            ),
            "student PlainClassifier (model torchvision.models.resnet18), teacher "
            "PlainClassifier",
        ),
        (dict(type="LeNet5"), "LeNet5"),
        (dict(type=nn.Linear), "Linear"),
        (
            dict(architecture=STUDENT, teacher=TEACHER, teacher_config="t.py"),
            "student CIFARResNet (depth 8), teacher SwinTransformer (arch tiny)",
        ),
        (
            dict(architecture=STUDENT, teacher=None, teacher_config="t.py"),
            "student CIFARResNet (depth 8), teacher of t.py",
        ),
        (dict(architecture=nn.Linear(1, 1)), "student Linear"),
    ],
)
def test_networks(model, expected):
    assert networks_of(model) == expected


def test_the_end_of_a_log_has_no_list_of_modules():
    lines = [f"line {number}" for number in range(5)]
    log = "\n".join([*lines[:4], "Extension modules: a, b (total: 2)", lines[4]])
    assert last_lines(log, 3) == lines[2:]


def test_the_end_of_a_log_has_no_report_of_what_libraries_leak():
    report = [
        "nanobind: leaked 2 types!",
        ' - leaked type "triton._C.libtriton.ir.block"',
        " - ... skipped remainder",
        "nanobind: this is likely caused by a reference counting issue in the binding "
        "code.",
        "See https://nanobind.readthedocs.io/en/latest/refleaks.html",
    ]
    assert last_lines("\n".join(["why it failed", *report])) == ["why it failed"]


def test_faults_are_traced_where_nothing_traces_them(monkeypatch):
    enabled = []
    monkeypatch.setattr(faulthandler, "enable", lambda file: enabled.append(file))
    monkeypatch.setattr(sys, "__stderr__", stderr := io.StringIO())
    for is_enabled, expected in ((True, []), (False, [stderr])):
        monkeypatch.setattr(faulthandler, "is_enabled", lambda on=is_enabled: on)
        trace_faults()
        assert enabled == expected
    monkeypatch.setattr(sys, "__stderr__", None)  # of a process without a terminal
    trace_faults()
    assert enabled == [stderr]
