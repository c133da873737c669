"""The frozen network under a new classifier."""

import pytest
import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DefaultScope

from pckd_mm.models.classifiers import LinearProbe
from pckd_mm.registry import MODELS
from tests.builders import CONFIGS, ROOT, batch, build_pckd, classifier


def probe(checkpoint=None, classes=5, **settings):
    torch.manual_seed(7)
    model = MODELS.build(
        dict(
            classifier(8, classes),
            type="pckd_mm.LinearProbe",
            checkpoint=None if checkpoint is None else str(checkpoint),
            **settings,
        )
    )
    return model


def loaded(checkpoint, **settings):
    model = probe(checkpoint, **settings)
    model.init_weights()
    return model


@pytest.fixture
def network():
    """A trained classifier of ten other classes, with statistics of its own."""
    torch.manual_seed(0)
    model = MODELS.build(classifier(8)).train()
    for buffer in model.buffers():
        if buffer.is_floating_point():
            buffer.uniform_(0.5, 1.5)
    return model


def same(module, state):
    found = module.state_dict()
    return found.keys() == state.keys() and all(
        torch.equal(found[name], state[name]) for name in found
    )


@pytest.mark.parametrize(
    "form", ["state", "state_dict", "parallel", "elsewhere", "distillation"]
)
def test_loads_the_backbone_whatever_the_form(tmp_path, network, form):
    state = network.state_dict()
    if form == "parallel":
        state = {f"module.{name}": value for name, value in state.items()}
    elif form == "elsewhere":
        state = {f"module.model.{name}": value for name, value in state.items()}
    elif form == "distillation":
        distillation = build_pckd(classifier(8), classifier(14))
        distillation.student.load_state_dict(state)
        state = distillation.state_dict()
    torch.save(state if form == "state" else {"state_dict": state}, tmp_path / "a.pth")
    model = loaded(tmp_path / "a.pth")
    assert same(model.backbone, network.backbone.state_dict())
    assert model.head.fc.weight.shape == (5, 16)


def test_features_are_those_of_the_network_in_evaluation(tmp_path, network):
    torch.save(network.state_dict(), tmp_path / "a.pth")
    model, inputs = loaded(tmp_path / "a.pth").train(), batch(3, views=1)[0]
    network.eval()
    for stage in ("backbone", "neck"):
        found, expected = (m.extract_feat(inputs, stage) for m in (model, network))
        assert torch.equal(found[0], expected[0]) and not found[0].requires_grad
    pre_logits = model.extract_feat(inputs, "pre_logits")
    assert torch.equal(pre_logits, network.extract_feat(inputs, "pre_logits"))
    logits = model(inputs)
    expected = pre_logits @ model.head.fc.weight.T + model.head.fc.bias
    assert torch.allclose(logits, expected) and logits.requires_grad


def test_only_the_head_learns(tmp_path, network):
    """With weight decay and momentum, in the optimizer of the shipped schedule."""
    torch.save(network.state_dict(), tmp_path / "a.pth")
    model = loaded(tmp_path / "a.pth").train()
    cfg = Config.fromfile(CONFIGS / "_base_/schedules/transfer_100e.py").optim_wrapper
    assert cfg.optimizer.weight_decay == 0
    cfg.optimizer.weight_decay = 0.1
    optim_wrapper = build_optim_wrapper(model, cfg)
    held = [
        p for group in optim_wrapper.optimizer.param_groups for p in group["params"]
    ]
    head = list(model.head.parameters())
    assert {id(p) for p in held} == {id(p) for p in head} and len(held) == 2

    before = {name: value.clone() for name, value in model.state_dict().items()}
    inputs, samples = batch(6, views=1, classes=5)
    for _ in range(2):
        losses, _ = model.parse_losses(model(inputs, samples, mode="loss"))
        optim_wrapper.update_params(losses)
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]) == (not name.startswith("head.")), name


def test_stays_in_evaluation_mode():
    model = probe()
    for mode in (True, False, True):
        assert model.train(mode) is model
        assert not any(m.training for m in model.backbone.modules())
        assert not model.neck.training
        assert model.head.training is mode and model.training is mode
    assert probe().training and not probe().backbone.training


def test_neck_with_weights_is_loaded_and_frozen(tmp_path):
    torch.manual_seed(0)
    neck = dict(
        type="mmpretrain.LinearNeck", in_channels=16, out_channels=16, norm_cfg=None
    )
    trained = MODELS.build(dict(classifier(8), neck=neck))
    torch.save(trained.state_dict(), tmp_path / "a.pth")
    model = MODELS.build(
        dict(
            classifier(8, 5),
            type="pckd_mm.LinearProbe",
            neck=neck,
            checkpoint=str(tmp_path / "a.pth"),
        )
    )
    model.init_weights()
    assert same(model.neck, trained.neck.state_dict())
    trainable = [name for name, p in model.named_parameters() if p.requires_grad]
    assert trainable == ["head.fc.weight", "head.fc.bias"]
    state = {k: v for k, v in trained.state_dict().items() if "neck" not in k}
    torch.save(state, tmp_path / "a.pth")
    with pytest.raises(ValueError, match="The neck in checkpoint .*fc.bias is missing"):
        model.init_weights()


def test_refuses_what_does_not_fit(tmp_path, network):
    state = network.state_dict()
    state["backbone.conv1.weight"] = torch.zeros(3, 3)
    del state["backbone.bn1.running_mean"]
    state["backbone.extra"] = torch.zeros(1)
    torch.save(state, tmp_path / "a.pth")
    with pytest.raises(ValueError) as error:
        loaded(tmp_path / "a.pth")
    for part in (
        f"The backbone in checkpoint {tmp_path / 'a.pth'} does not fit",
        "bn1.running_mean is missing",
        "extra is unknown",
        "conv1.weight is (3, 3) instead of (4, 3, 3, 3)",
    ):
        assert part in str(error.value)


def test_runs_no_code_of_the_checkpoint(tmp_path):
    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    torch.save({"state_dict": {}, "evil": Evil()}, tmp_path / "a.pth")
    with pytest.raises(ValueError, match="is refused"):
        loaded(tmp_path / "a.pth")
    assert not (tmp_path / "ran").exists()


def test_names_how_to_make_a_missing_checkpoint(tmp_path):
    with pytest.raises(FileNotFoundError) as error:
        loaded(tmp_path / "no.pth", checkpoint_config="configs/pckd/some.py")
    assert "no.pth; expected the weights to probe" in str(error.value)
    assert "pckd train configs/pckd/some.py" in str(error.value)
    with pytest.raises(FileNotFoundError) as error:
        loaded(tmp_path / "no.pth")
    assert str(error.value).endswith(
        "set model.checkpoint to the weights of a network."
    )


def test_without_checkpoint_the_features_are_random():
    first, second = probe(), probe()
    first.init_weights()
    torch.manual_seed(8)
    second.init_weights()
    assert not same(first.backbone, second.backbone.state_dict())


def test_test_needs_no_checkpoint(tmp_path):
    model = probe(tmp_path / "no.pth").eval()
    inputs, samples = batch(2, views=1)
    predictions = model(inputs, samples, mode="predict")
    assert [len(prediction.pred_score) for prediction in predictions] == [5, 5]


def test_shipped_configs_take_the_zoos_resnet20():
    zoo = ROOT / "zoo" / "cifar100_resnet20_60e.pth"
    weights = torch.load(zoo, weights_only=True)
    weights = weights.get("state_dict", weights)
    for path, classes in (("stl10", 10), ("tiny_imagenet", 200), ("folder", 20)):
        cfg = Config.fromfile(CONFIGS / "transfer" / f"{path}_resnet20.py")
        cfg.model.checkpoint = str(zoo)
        with DefaultScope.overwrite_default_scope(cfg.default_scope):
            model = MODELS.build(cfg.model)
            model.init_weights()
        assert isinstance(model, LinearProbe)
        assert model.head.fc.weight.shape == (classes, 64)
        for name, value in model.backbone.state_dict().items():
            assert torch.equal(value, weights[f"backbone.{name}"])
