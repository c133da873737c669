"""Each speed-up leaves the result of a run as it is, to the stated tolerance."""

import copy

import pytest
import torch
from mmengine.config import Config
from mmengine.model import MMDistributedDataParallel
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from torch import nn

from pckd_mm.engine.hooks import SpeedUpHook, speed_up_hook
from pckd_mm.engine.hooks.speed_up_hook import use_fused_kernel
from pckd_mm.registry import MODELS
from tests.builders import build_pckd, classifier, image_folder, run_config

PCKD = "pckd/cifar100_resnet20_resnet8_12e.py"
PLAIN = dict(channels_last=False, keep_memory=False)


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return image_folder(tmp_path_factory.mktemp("images"))


def trained(images, work_dir, **options) -> nn.Module:
    """Weights after 12 steps of a run."""
    cfg = run_config(PCKD, images, work_dir)
    cfg.model.teacher_ckpt = None
    cfg.train_cfg.max_epochs = 3
    cfg.optim_wrapper.optimizer.lr = 0.01
    cfg.default_hooks.speed_up.update(options)
    runner = Runner.from_cfg(cfg)
    return runner.train()


@pytest.fixture(scope="module")
def plain(images, tmp_path_factory):
    return trained(images, tmp_path_factory.mktemp("plain"), **PLAIN)


@pytest.mark.parametrize(
    "option, tolerance",
    [
        (dict(), 0),
        (dict(keep_memory=True), 0),
        (dict(channels_last=True), 1e-5),
        (dict(fold_teacher=True), 1e-5),
        (dict(fused_optimizer=True), 1e-5),
        (dict(compile=dict(backend="aot_eager")), 1e-5),
    ],
    ids=str,
)
def test_weights_are_those_of_the_plain_run(images, plain, tmp_path, option, tolerance):
    found = trained(images, tmp_path, **{**PLAIN, **option})
    expected = plain.state_dict()
    assert found.state_dict().keys() == expected.keys()
    for name, value in found.state_dict().items():
        difference = (value - expected[name]).double().norm()
        assert difference <= tolerance * expected[name].double().norm(), name


def before_train(model, hook, **runner) -> None:
    class FakeRunner:
        pass

    fake = FakeRunner()
    fake.model = model
    for name, value in runner.items():
        setattr(fake, name, value)
    hook.before_train(fake)


def is_channels_last(model: nn.Module) -> bool:
    weights = [p for p in model.parameters() if p.ndim == 4 and p.shape[1] > 1]
    assert weights
    return all(w.is_contiguous(memory_format=torch.channels_last) for w in weights)


def test_classifiers_get_channels_last():
    model = build_pckd(classifier(8), classifier(14))
    before_train(model, SpeedUpHook(keep_memory=False))
    assert is_channels_last(model.student) and is_channels_last(model.teacher)
    plain = MODELS.build(classifier(8))
    before_train(plain, SpeedUpHook(keep_memory=False))
    assert is_channels_last(plain)


def test_weights_of_ddp_keep_their_layout(tmp_path):
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1
    )
    try:
        model = build_pckd(classifier(8), classifier(14))
        wrapped = MMDistributedDataParallel(model, device_ids=None)
        before_train(wrapped, SpeedUpHook(keep_memory=False))
        assert not is_channels_last(model.student)
        assert is_channels_last(model.teacher)
    finally:
        torch.distributed.destroy_process_group()


def test_detectors_keep_their_layout():
    pytest.importorskip("mmdet.models", exc_type=ImportError)
    from tests.builders import detector

    with DefaultScope.overwrite_default_scope("mmdet"):
        model = MODELS.build(Config(detector())._cfg_dict)
    before_train(model, SpeedUpHook(keep_memory=False))
    assert not is_channels_last(model)


@pytest.mark.parametrize("device, expected", [("cpu", [1]), ("meta", [])])
def test_memory_is_kept_on_the_cpu_only(monkeypatch, device, expected):
    called = []
    monkeypatch.setattr(speed_up_hook, "keep_freed_memory", lambda: called.append(1))
    before_train(nn.Conv2d(3, 4, 3, device=device), SpeedUpHook())
    assert called == expected


def test_teachers_without_folding_are_no_error():
    before_train(nn.Conv2d(3, 4, 3), SpeedUpHook(fold_teacher=True, keep_memory=False))


def steps(optimizer, parameter) -> torch.Tensor:
    for _ in range(3):
        parameter.grad = parameter.detach().sin()
        optimizer.step()
    return parameter.detach()


def test_a_fused_optimizer_makes_the_same_steps():
    found = []
    for fused in (False, True):
        parameter = nn.Parameter(torch.linspace(-1, 1, 50))
        optimizer = torch.optim.SGD([parameter], 0.1, 0.9, weight_decay=5e-4)
        if fused:
            # As after a resume: there is state, and settings of a checkpoint.
            state = copy.deepcopy(optimizer.state_dict())
            assert use_fused_kernel(optimizer, parameter.device)
            optimizer.load_state_dict(state)
            assert not optimizer.param_groups[0]["fused"]
            assert use_fused_kernel(optimizer, parameter.device)
            assert optimizer.param_groups[0]["fused"]
        found.append(steps(optimizer, parameter))
    torch.testing.assert_close(*found, rtol=1e-6, atol=1e-7)


def test_optimizers_without_a_fused_kernel_stay():
    parameter = nn.Parameter(torch.ones(3))
    optimizer = torch.optim.RMSprop([parameter], 0.1)
    groups = copy.deepcopy(optimizer.param_groups)
    assert not use_fused_kernel(optimizer, parameter.device)
    assert optimizer.param_groups[0].keys() == groups[0].keys()
