"""What the config of a distiller says."""

import pytest

from pckd_mm.models.distillers.distiller_config import in_scope, resolve_widths
from pckd_mm.registry import MODELS


def test_in_scope_leaves_the_config_and_given_scopes_alone():
    cfg = dict(type="MLPConnector", in_channels=3)
    assert in_scope(cfg, MODELS)["type"] == "pckd_mm.MLPConnector"
    assert cfg["type"] == "MLPConnector"
    assert in_scope(dict(type="mmdet.PKDLoss"), MODELS)["type"] == "mmdet.PKDLoss"
    row = in_scope([dict(type="MLPConnector"), dict(type="Unknown")], MODELS)
    assert [part["type"] for part in row] == ["pckd_mm.MLPConnector", "Unknown"]


def test_resolve_widths():
    connectors = dict(
        one=dict(type="A", in_channels="student", out_channels=7),
        two=[dict(type="B", in_channels="teacher"), dict(type="student")],
    )
    assert resolve_widths(connectors, student=64, teacher=128) == dict(
        one=dict(type="A", in_channels=64, out_channels=7),
        two=[dict(type="B", in_channels=128), dict(type="student")],
    )


def test_width_that_is_not_known():
    connectors = dict(align=dict(type="A", in_channels="student"))
    with pytest.raises(ValueError, match="align .* width of the .* as in_channels"):
        resolve_widths(connectors, student=None)
