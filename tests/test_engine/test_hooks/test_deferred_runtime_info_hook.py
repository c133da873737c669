"""DeferredRuntimeInfoHook: the log of RuntimeInfoHook, without its waits."""

import itertools
import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.evaluator import BaseMetric, Evaluator
from mmengine.hooks import Hook, LoggerHook, RuntimeInfoHook
from mmengine.logging import MessageHub
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch import nn

from pckd_mm.engine.hooks import DeferredRuntimeInfoHook
from pckd_mm.utils.checkpoint import read_checkpoint
from tests.builders import CONFIGS

DEFERRED = dict(type="pckd_mm.DeferredRuntimeInfoHook")
PLAIN = dict(type="RuntimeInfoHook")
# Of the clock, which two runs never share.
OF_TIME = {"time", "data_time", "memory"}
names = itertools.count()


class Model(BaseModel):
    """One weight; its outputs are of several types, and differ between steps."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([0.3]))
        self.step = 0

    def forward(self, inputs, mode="tensor"):
        if mode == "predict":
            return [0]
        error = (self.weight * inputs - 1) ** 2
        losses = dict(loss_error=error.mean(), largest=error.max().double())
        if inputs.sum() > 3:
            losses["loss_now_and_then"] = 0.1 * error.mean().bfloat16()
        return losses

    def train_step(self, data, optim_wrapper):
        outputs = super().train_step(data, optim_wrapper)
        count = data["inputs"].numel()
        outputs.update(number=0.1 * count, of_numpy=np.float32(0.1), count=count)
        outputs.update(integer=torch.tensor(2**53 + count))
        return outputs


class Metric(BaseMetric):
    def process(self, data_batch, data_samples):
        self.results.append(0)

    def compute_metrics(self, results):
        return dict(batches=len(results))


def run(folder, hook, by_epoch=True, interval=3, stop=None, val=False, **settings):
    """Train, seven batches an epoch, and return the runner."""
    length = 3 if by_epoch else 20
    sampler = dict(type="DefaultSampler" if by_epoch else "InfiniteSampler")
    loader = dict(
        batch_size=2,
        num_workers=0,
        dataset=[dict(inputs=0.25 * torch.tensor([value])) for value in range(14)],
        sampler=dict(sampler, shuffle=True),
        collate_fn=dict(type="default_collate"),
    )
    part = "max_epochs" if by_epoch else "max_iters"
    of_val = {}
    if val:
        of_val = dict(
            val_dataloader=dict(
                loader, sampler=dict(type="DefaultSampler", shuffle=False)
            ),
            val_cfg=dict(),
            val_evaluator=Evaluator(Metric()),
        )
    runner = Runner(
        Model(),
        str(folder),
        train_dataloader=loader,
        train_cfg={
            "by_epoch": by_epoch,
            part: stop or length,
            "val_interval": 1 if by_epoch else 5,
        },
        optim_wrapper=dict(optimizer=dict(type="SGD", lr=0.05)),
        param_scheduler=dict(type="ExponentialLR", gamma=0.9, by_epoch=by_epoch),
        default_hooks={
            "runtime_info": hook,
            "logger": dict(type="LoggerHook", interval=interval),
            "checkpoint": dict(
                type="CheckpointHook", interval=1 if by_epoch else 5, by_epoch=by_epoch
            ),
            **settings.pop("default_hooks", {}),
        },
        log_processor=dict(by_epoch=by_epoch, window_size=4),
        visualizer=dict(type="Visualizer", vis_backends=[dict(type="LocalVisBackend")]),
        randomness=dict(seed=0),
        experiment_name=f"deferred_{next(names)}",
        log_level="ERROR",
        default_scope="mmengine",
        **of_val,
        **settings,
    )
    runner.train()
    return runner


def histories(scalars):
    """Type, values and counts of each scalar that does not depend on the clock."""
    return {
        key: (logs.dtype, logs.tolist(), counts.dtype, counts.tolist())
        for key, (logs, counts) in ((key, h.data) for key, h in scalars.items())
        if key.split("/")[1] not in OF_TIME
    }


def lines(folder):
    files = sorted(folder.glob("*/vis_data/scalars.json"))
    return [
        {key: value for key, value in json.loads(line).items() if key not in OF_TIME}
        for file in files
        for line in file.read_text().splitlines()
    ]


@pytest.mark.parametrize("by_epoch", [True, False])
@pytest.mark.parametrize("interval", [3, 50])
@pytest.mark.parametrize("val", [True, False])
def test_log_is_that_of_the_plain_hook(tmp_path, by_epoch, interval, val):
    options = dict(by_epoch=by_epoch, interval=interval, val=val)
    plain = run(tmp_path / "plain", PLAIN, **options)
    deferred = run(tmp_path / "deferred", DEFERRED, **options)
    hooks = [type(hook) for hook in deferred.hooks]
    assert hooks.count(DeferredRuntimeInfoHook) == 1
    assert RuntimeInfoHook not in hooks

    expected = histories(plain.message_hub.log_scalars)
    assert histories(deferred.message_hub.log_scalars) == expected
    assert len(expected["train/loss"][1]) == (21 if by_epoch else 20)
    assert 0 < len(expected["train/loss_now_and_then"][1]) < 20
    assert min(expected["train/integer"][1]) > 2**53  # no float holds it

    logged = lines(tmp_path / "deferred")
    assert logged == lines(tmp_path / "plain")
    # A line every three steps; for interval=50 the end of each epoch of seven steps.
    steps = {3: [3, 6] if by_epoch else [3, 6, 7, 9, 12, 15, 18], 50: [7]}[interval]
    epochs = 3 if by_epoch else 1
    if not (by_epoch or interval == 50):
        steps = [step for step in steps if step != 7]  # ignore_last
    assert len([line for line in logged if "loss" in line]) == epochs * len(steps)


@pytest.mark.parametrize("by_epoch", [True, False])
def test_checkpoint_has_the_complete_history(tmp_path, by_epoch):
    # Every five steps, between two lines of the log.
    saving = dict(checkpoint=dict(type="CheckpointHook", interval=5, by_epoch=False))
    options = dict(by_epoch=by_epoch, interval=6, default_hooks=saving)
    run(tmp_path / "plain", PLAIN, **options)
    run(tmp_path / "deferred", DEFERRED, **options)
    for step in (5, 10, 15):
        saved, expected = (
            read_checkpoint(str(tmp_path / name / f"iter_{step}.pth"))["message_hub"]
            for name in ("deferred", "plain")
        )
        found = histories(saved["log_scalars"])
        assert found == histories(expected["log_scalars"])
        assert len(found["train/loss"][1]) == step
        assert dict(saved["resumed_keys"]) == dict(expected["resumed_keys"])
        assert saved["runtime_info"]["iter"] == expected["runtime_info"]["iter"]


@pytest.mark.parametrize("by_epoch", [True, False])
def test_resumed_run_has_the_history_of_the_uninterrupted_one(tmp_path, by_epoch):
    whole = run(tmp_path / "whole", DEFERRED, by_epoch=by_epoch, interval=4)
    name = "epoch_2.pth" if by_epoch else "iter_15.pth"
    resumed = run(
        tmp_path / "resumed",
        DEFERRED,
        by_epoch=by_epoch,
        interval=4,
        resume=True,
        load_from=str(tmp_path / "whole" / name),
    )
    expected = histories(whole.message_hub.log_scalars)
    assert histories(resumed.message_hub.log_scalars) == expected
    assert len(expected["train/loss"][1]) == (21 if by_epoch else 20)


class Interrupt(Hook):
    """Interrupt the run once, in front of its 13th step."""

    runner = None

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.iter == 12 and self.runner is None:
            self.runner = runner
            raise KeyboardInterrupt


def test_what_an_interrupted_run_kept_is_no_part_of_the_resumed_one(tmp_path):
    runs = {}
    for name, hook in dict(plain=PLAIN, deferred=DEFERRED).items():
        interrupt = Interrupt()
        options = dict(by_epoch=False, interval=50, custom_hooks=[interrupt])
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / name, hook, **options)
        runs[name] = interrupt.runner
        runs[name]._load_from = str(tmp_path / name / "iter_10.pth")
        runs[name]._resume, runs[name]._has_loaded = True, False
        runs[name].train()
    expected = histories(runs["plain"].message_hub.log_scalars)
    assert histories(runs["deferred"].message_hub.log_scalars) == expected
    assert len(expected["train/loss"][1]) == 20


class Transfers:
    """Count what reads a tensor from the host."""

    methods = (
        *("item", "tolist", "cpu", "numpy", "to", "type"),
        *("__bool__", "__float__", "__int__", "__index__", "__array__"),
    )

    def __init__(self, monkeypatch):
        self.names = []
        for name in self.methods:
            monkeypatch.setattr(torch.Tensor, name, self.counting(name))

    def counting(self, name):
        original = getattr(torch.Tensor, name)

        def counted(tensor, *args, **kwargs):
            self.names.append(name)
            return original(tensor, *args, **kwargs)

        return counted

    def take(self):
        names, self.names = self.names, []
        return names


class Loader:
    dataset = ()

    def __init__(self, batches):
        self.batches = batches

    def __len__(self):
        return self.batches


def fake_runner(*hooks, batches=10):
    return SimpleNamespace(
        hooks=hooks,
        train_dataloader=Loader(batches),
        message_hub=MessageHub.get_instance(f"deferred_{next(names)}"),
        epoch=0,
        iter=0,
        max_epochs=1,
        max_iters=batches,
    )


def losses(step):
    parameter = torch.tensor(0.5 + step, requires_grad=True)
    return dict(loss=parameter * 2, acc=torch.tensor(float(step)), number=step)


def test_one_transfer_where_the_log_is_written_and_none_else(monkeypatch):
    hook = DeferredRuntimeInfoHook()
    runner = fake_runner(hook, LoggerHook(interval=4))
    hook.before_train(runner)
    transfers, found = Transfers(monkeypatch), []
    for step in range(10):
        hook.after_train_iter(runner, step, outputs=losses(step))
        found.append(transfers.take())
    read = ["tolist"]
    # Two lines, and the end of the epoch.
    assert found == [[], [], [], read, [], [], [], read, [], read]
    history = runner.message_hub.get_scalar("train/loss").data[0].tolist()
    assert history == [1.0 + 2 * step for step in range(10)]


@pytest.mark.parametrize("event", ["after_train_epoch", "before_val", "after_train"])
def test_events_that_read(event):
    hook = DeferredRuntimeInfoHook()
    runner = fake_runner(LoggerHook(interval=100), batches=1000)
    hook.before_train(runner)
    hook.after_train_iter(runner, 0, outputs=losses(0))
    assert "train/loss" not in runner.message_hub.log_scalars
    for _ in range(2):
        getattr(hook, event)(runner)
        assert runner.message_hub.get_scalar("train/loss").data[0].tolist() == [1.0]


@pytest.mark.parametrize("logger", [[], [LoggerHook(interval=1000)]])
def test_what_is_kept_is_bounded(logger):
    hook = DeferredRuntimeInfoHook(max_steps=3)
    runner = fake_runner(*logger, batches=1000)
    hook.before_train(runner)
    lengths = []
    for step in range(7):
        hook.after_train_iter(runner, step, outputs=losses(step))
        scalars = runner.message_hub.log_scalars
        lengths.append(len(scalars["train/loss"].data[0]) if scalars else 0)
    assert lengths == [0, 0, 3, 3, 3, 6, 6]
    assert DeferredRuntimeInfoHook().max_steps == 100


@pytest.mark.parametrize("tensors", [1, 2])
def test_outputs_are_copied_and_their_graph_is_let_go(tensors):
    hook = DeferredRuntimeInfoHook()
    runner = fake_runner(batches=1000)
    hook.before_train(runner)
    output = torch.zeros(())
    for step in range(3):
        output.fill_(step)  # in place, as a CUDA graph does
        of_graph = torch.ones((), dtype=torch.float64, requires_grad=True) * step
        outputs = dict(loss=output, other=of_graph)
        outputs = dict(itertools.islice(outputs.items(), tensors))
        hook.after_train_iter(runner, step, outputs=outputs)
        outputs.clear()
    kept = [tensor for of_kind in hook._tensors.values() for tensor in of_kind]
    assert [tensor.shape for tensor in kept] == [(tensors,)] * 3
    assert not any(tensor.requires_grad for tensor in kept)
    hook.after_train_epoch(runner)
    for key in ("train/loss", "train/other")[:tensors]:
        assert runner.message_hub.get_scalar(key).data[0].tolist() == [0.0, 1.0, 2.0]


@pytest.mark.parametrize(
    "value, kept",
    [
        (torch.tensor([[True]]), [True]),
        (torch.tensor(0.1, dtype=torch.float64), [0.1]),
        (torch.tensor(0.1), [0.10000000149011612]),
        (torch.tensor(2**53 + 1), [2**53 + 1]),
        (np.array([7], dtype=np.int32), [7]),
        (np.float64(0.1), [0.1]),
        (7, [7]),
        (float("inf"), [float("inf")]),
    ],
)
def test_values_keep_type_and_precision_beside_others(value, kept):
    hook = DeferredRuntimeInfoHook(max_steps=1)
    runner = fake_runner()
    # bfloat16 and 8-bit integers would lose most of them.
    others = dict(
        first=torch.tensor(0.5, dtype=torch.bfloat16),
        second=torch.tensor(3, dtype=torch.uint8),
    )
    hook.after_train_iter(runner, 0, outputs=dict(others, value=value))
    hub, plain = runner.message_hub, fake_runner().message_hub
    plain.update_scalar("value", value)
    found, expected = hub.get_scalar("train/value"), plain.get_scalar("value")
    assert found.data[0].tolist() == kept
    assert found.data[0].dtype == expected.data[0].dtype
    assert hub.get_scalar("train/first").data[0].tolist() == [0.5]
    assert hub.get_scalar("train/second").data[0].tolist() == [3]


@pytest.mark.parametrize("value", [torch.zeros(3), np.zeros(2), "text", None])
def test_an_output_that_is_no_scalar_is_named(value):
    hook = DeferredRuntimeInfoHook()
    runner = fake_runner()
    hook.before_train(runner)
    with pytest.raises(ValueError, match="'odd' of train_step is no scalar"):
        hook.after_train_iter(runner, 0, outputs=dict(odd=value))


def test_max_steps_must_be_positive():
    with pytest.raises(ValueError, match="max_steps=0"):
        DeferredRuntimeInfoHook(max_steps=0)


@pytest.mark.parametrize(
    "path", ["pckd/digits_resnet20_resnet8_thin.py", "vanilla/cifar100_resnet20.py"]
)
def test_configs_use_it(path):
    hooks = Config.fromfile(CONFIGS / path).default_hooks
    assert hooks.runtime_info == dict(type="pckd_mm.DeferredRuntimeInfoHook")
