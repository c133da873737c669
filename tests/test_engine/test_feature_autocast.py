"""bfloat16 in front of a detector's predictions, and nowhere else."""

import pytest
import torch
from torch import nn

pytest.importorskip("mmdet.models", exc_type=ImportError)

from mmengine.config import ConfigDict
from mmengine.optim import OptimWrapper
from mmengine.registry import DefaultScope

from pckd_mm.engine import BFloat16OptimWrapper
from pckd_mm.engine.feature_autocast import autocast_features, feature_layers
from pckd_mm.registry import MODELS
from tests.builders import classifier, detector, scenes
from tests.dense_steps import BOXES, pair


def trained(model, kind: type = BFloat16OptimWrapper, **options):
    """A step; its loss, and the gradients."""
    torch.manual_seed(1)
    data = model.data_preprocessor(scenes(BOXES), True)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    wrapper = kind(optimizer=optimizer, **options)
    with wrapper.optim_context(model):
        losses = model(**data, mode="loss")
        total, _ = model.parse_losses(losses)
    total.backward()
    return total, [p.grad for p in model.parameters() if p.grad is not None]


def types_of(model, names) -> dict:
    """Number types of what some modules give."""
    found = {}
    for name in names:
        module = model.get_submodule(name)
        module.register_forward_hook(
            lambda _, inputs, output, name=name: found.update({name: output.dtype})
        )
    return found


def test_heads_and_features_are_in_float32():
    with DefaultScope.overwrite_default_scope("mmdet"):
        model = MODELS.build(ConfigDict(detector()))
    inside = ("backbone.layer1", "neck.lateral_convs.0")
    after = ("rpn_head.rpn_cls", "bbox_roi_extractor", "bbox_head.fc_cls")
    after = [x if x.startswith("rpn") else f"roi_head.{x}" for x in after]
    found = types_of(model, (*inside, *after))
    towers = []
    for layer in (model.rpn_head.rpn_conv, model.roi_head.bbox_head.shared_fcs[0]):
        layer.register_forward_hook(lambda _, args, output: towers.append(output))
    total, gradients = trained(model, force=True)
    assert {found[name] for name in inside} == {torch.bfloat16}
    assert {found[name] for name in after} == {torch.float32}
    # Computed in bfloat16, given in float32.
    for output in towers:
        assert output.dtype == torch.float32
        assert torch.equal(output, output.bfloat16().float())
    assert total.dtype == torch.float32 and total.isfinite()
    assert all(g.dtype == torch.float32 and g.isfinite().all() for g in gradients)


@pytest.mark.parametrize("kind", ["retina", "gfl"])
def test_a_distillation_is_that_of_float32_but_for_rounding(kind):
    plain, expected = trained(pair(kind), OptimWrapper)
    model = pair(kind)
    types = types_of(model.teacher, ["backbone.conv1"])
    found, gradients = trained(model, force=True)
    assert found != plain and types == {"backbone.conv1": torch.bfloat16}
    torch.testing.assert_close(found, plain, rtol=0.05, atol=0)
    assert len(gradients) == len(expected)


def test_layers_are_found():
    model = pair("gfl")
    found = feature_layers(nn.DataParallel(model))
    assert len(found) == len(set(found))
    for detector_ in (model.student, model.teacher):
        head = detector_.bbox_head
        own = [detector_.backbone, detector_.neck, *head.cls_convs, *head.reg_convs]
        assert set(own) <= set(found)
        assert not {head.gfl_cls, head.gfl_reg} & set(found)
        found = [layer for layer in found if layer not in own]
    assert found == []
    assert feature_layers(MODELS.build(classifier(8))) == []


def test_operators_of_mmcv_are_in_float32():
    cfg = detector()
    cfg["neck"]["in_channels"] = [4 * width for width in cfg["neck"]["in_channels"]]
    cfg["backbone"].update(
        depth=50,
        dcn=dict(type="DCNv2", deform_groups=1),
        stage_with_dcn=(False, False, True),
    )
    with DefaultScope.overwrite_default_scope("mmdet"):
        model = MODELS.build(ConfigDict(cfg))
    found = types_of(model, ["backbone.layer3.0.conv2", "backbone.layer3.1.conv1"])
    total, gradients = trained(model, force=True)
    assert list(found.values()) == [torch.float32, torch.bfloat16]
    assert total.isfinite() and all(g.isfinite().all() for g in gradients)


class Failing(nn.Module):
    def forward(self, x):
        raise RuntimeError("no")


def test_an_error_leaves_no_autocast_behind():
    part = Failing()
    with autocast_features([part], "cpu"):
        with pytest.raises(RuntimeError, match="no"):
            part(torch.ones(1))
        ones = torch.ones(1, 1)
        assert (ones @ ones).dtype is torch.float32  # bfloat16 under autocast
    assert not part._forward_hooks and not part._forward_pre_hooks
