"""LossShareHook: the shares are those of each loss alone, and nothing else changes."""

import json
from types import SimpleNamespace

import pytest
import torch
from mmengine.logging import MMLogger
from mmengine.runner import Runner

from pckd_mm.engine.hooks import LossShareHook
from pckd_mm.engine.hooks import loss_share_hook as module
from pckd_mm.engine.hooks.loss_share_hook import terms_of
from tests.builders import (
    batch,
    build_pckd,
    classifier,
    image_folder,
    in_processes,
    run_config,
)


def test_terms_are_what_mmengine_adds_up():
    losses = {
        "student.loss_rpn": [torch.tensor(1.0), torch.tensor([2.0, 4.0])],
        "student.loss_cls": torch.tensor(0.5),
        "student.acc": torch.tensor(90.0),
        "distill.loss_kd": torch.tensor(3.0),
    }
    found = {name: float(value) for name, value in terms_of(losses).items()}
    assert found == dict(student=4.5, loss_kd=3.0)


class Scalars(dict):
    """A visualizer that keeps what it gets."""

    def add_scalars(self, scalars, step):
        self[step] = scalars


def hooked(model, hook, step, total, scalars):
    runner = SimpleNamespace(
        model=model,
        iter=step,
        max_iters=total,
        optim_wrapper=SimpleNamespace(),
        logger=MMLogger.get_current_instance(),
        visualizer=scalars,
    )
    hook.before_train_iter(runner, 0)
    inputs, samples = batch(6)
    loss, _ = model.parse_losses(model(inputs, samples, mode="loss"))
    hook.after_train_iter(runner, 0)
    return loss


def alone(model, name):
    """Norm of the gradient of one loss, by a backward pass of its own."""
    return alone_vector(model, name).norm().item()


def alone_vector(model, name):
    model.zero_grad()
    inputs, samples = batch(6)
    losses = model(inputs, samples, mode="loss")
    sum(v for k, v in losses.items() if k.endswith(name)).backward()
    weights = model.student.parameters()
    grads = [torch.zeros_like(w) if w.grad is None else w.grad for w in weights]
    return torch.cat([grad.flatten() for grad in grads])


def test_shares_of_the_gradient():
    model = build_pckd(classifier(8), classifier(14))
    scalars = Scalars()
    hooked(model, LossShareHook(), 0, 10, scalars)
    names = ("loss_kd", "loss_cc", "loss_ca", "loss_fa")
    norms = {name: alone(model, name) for name in names}
    norms["student"] = alone(model, "student.loss")
    total = sum(norms.values())
    expected = {f"gradient_share/{k}": v / total for k, v in norms.items()}
    found = scalars.pop(1)
    cosines = {k: found.pop(k) for k in list(found) if k.startswith("gradient_cos")}
    assert found == pytest.approx(expected, rel=1e-4) and not scalars
    assert cosines.pop("gradient_cosine/student") == pytest.approx(1)
    assert len(cosines) == 4 and all(-1 <= value <= 1 for value in cosines.values())
    # By backward passes of their own.
    both = alone_vector(model, "student.loss"), alone_vector(model, "loss_kd")
    expected = torch.cosine_similarity(*both, dim=0).item()
    assert cosines["gradient_cosine/loss_kd"] == pytest.approx(expected, rel=1e-4)


def test_how_often():
    model = build_pckd(classifier(8), classifier(14))
    tried = (0, 1, 50, 100, 200, 399, 400)
    for total, steps in (
        (10, [1]),
        (1000, [1, 101, 201, 401]),
        (20000, [1, 401]),  # 50 times
    ):
        scalars, hook = Scalars(), LossShareHook()
        for step in tried[:2] if total == 10 else tried:
            hooked(model, hook, step, total, scalars)
        assert list(scalars) == steps
    assert model.on_losses is None


def test_a_graph_that_is_walked_once_is_told_once(monkeypatch):
    class Once(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        def backward(ctx, grad):
            raise RuntimeError("compiled with donated buffers\nmore")

    model = build_pckd(classifier(8), classifier(14))
    model.student.head.fc.register_forward_hook(lambda m, i, o: Once.apply(o))
    scalars, hook = Scalars(), LossShareHook(least_interval=1)
    said = []
    monkeypatch.setattr(module, "print_log", lambda text, **_: said.append(text))
    hooked(model, hook, 0, 2, scalars)
    hooked(model, hook, 1, 2, scalars)
    assert scalars == {}
    (text,) = said
    assert text.endswith("not measured: compiled with donated buffers")


def test_an_error_of_one_process_of_several_ends_the_run(monkeypatch):
    """The others would go on, and wait for each other in different places."""
    model = build_pckd(classifier(8), classifier(14))

    def fails(*args):
        raise RuntimeError(reason)

    monkeypatch.setattr(module, "compare_gradients", fails)
    monkeypatch.setattr(module, "print_log", lambda text, **_: None)
    reason = "CUDA out of memory"
    hooked(model, LossShareHook(), 0, 2, Scalars())
    monkeypatch.setattr(module, "get_world_size", lambda: 2)
    with pytest.raises(RuntimeError, match="out of memory"):
        hooked(model, LossShareHook(), 0, 2, Scalars())
    reason = "This backward function was compiled with non-empty donated buffers which"
    hooked(model, LossShareHook(), 0, 2, Scalars())


def train(folder, hooks, processes=False):
    cfg = run_config(
        "pckd/cifar100_resnet20_resnet8_30e.py", folder.parent / "data", folder
    )
    cfg.model.teacher_ckpt = None
    cfg.custom_hooks = hooks
    cfg.optim_wrapper.pop("force", None)
    runner = Runner.from_cfg(cfg)
    runner.train()
    return runner


def test_a_run_is_the_same_and_its_log_has_the_shares(tmp_path):
    image_folder(tmp_path / "data")
    states = []
    for name, hooks in (
        ("with", [dict(type="pckd_mm.LossShareHook", least_interval=2)]),
        ("without", []),
    ):
        torch.manual_seed(0)
        runner = train(tmp_path / name, hooks)
        states.append(runner.model.state_dict())
    for key, value in states[0].items():
        assert torch.equal(value, states[1][key]), key
    (file,) = (tmp_path / "with").glob("*/vis_data/scalars.json")
    lines = map(json.loads, file.read_text().splitlines())
    found = [line for line in lines if "gradient_share/loss_cc" in line]
    assert [line["step"] for line in found] == [1, 3, 5, 7, 9, 11]
    for line in found:
        shares = [v for k, v in line.items() if k.startswith("gradient_share/")]
        assert len(shares) == 5 and sum(shares) == pytest.approx(1)
    (log,) = (tmp_path / "with").glob("*/*.log")
    text = log.read_text()
    assert "that of the student's own loss), step 1: student " in text


def _in_process(rank):
    from mmengine.model import MMDistributedDataParallel

    model = build_pckd(classifier(8), classifier(14))
    wrapped = MMDistributedDataParallel(model)
    scalars, hook = Scalars(), LossShareHook()
    runner = SimpleNamespace(
        model=wrapped,
        iter=0,
        max_iters=10,
        optim_wrapper=SimpleNamespace(),
        logger=MMLogger.get_current_instance(),
        visualizer=scalars,
    )
    gradients = []
    for measured in (False, True):
        if measured:
            hook.before_train_iter(runner, 0)
        wrapped.zero_grad()
        inputs, samples = batch(6, seed=rank)
        losses = wrapped(inputs, samples, mode="loss")
        loss, _ = model.parse_losses(losses)
        loss.backward()
        gradients.append([w.grad.clone() for w in model.student.parameters()])
    hook.after_train_iter(runner, 0)
    shares = [v for k, v in scalars[1].items() if k.startswith("gradient_share/")]
    assert sum(shares) == pytest.approx(1)
    for one, other in zip(*gradients, strict=True):
        assert torch.allclose(one, other, rtol=1e-4, atol=1e-6)


def test_with_ddp(tmp_path):
    in_processes(2, _in_process, tmp_path)
