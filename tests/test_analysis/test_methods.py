"""What a line of a table is of."""

import pytest
from mmengine.config import Config

from pckd_mm.analysis.methods import name_of_teacher


@pytest.mark.parametrize(
    "model, name",
    [
        (dict(type="ImageClassifier"), ""),
        (dict(architecture={}, teacher_ckpt="./zoo//a.pth"), "zoo/a.pth"),
        (dict(architecture={}, teacher_ckpt="https://x.org/a"), "https://x.org/a"),
        (
            dict(architecture={}, teacher_ckpt="resnet18_8xb32_in1k"),
            "resnet18_8xb32_in1k",
        ),
        (dict(architecture={}, teacher_ckpt=None), "that of configs/a.py"),
        (dict(architecture={}), "that of configs/a.py"),
    ],
)
def test_a_teacher_is_named_by_its_weights(model, name):
    assert name_of_teacher(Config(dict(model=model)), "configs/a.py") == name
