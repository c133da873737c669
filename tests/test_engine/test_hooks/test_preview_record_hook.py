"""PreviewRecordHook: what is written is what the preview did."""

import json
from types import SimpleNamespace

import pytest
import torch
from mmengine.logging import MessageHub
from mmengine.runner import EpochBasedTrainLoop, Runner
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.overrides import TorchFunctionMode

from pckd_mm.engine.hooks import PreviewRecordHook
from pckd_mm.engine.hooks.preview_record_hook import weight_counts
from tests.builders import image_folder, run_config
from tests.fake_device import skip_without_fakes


class Model(nn.Module):
    progress = 0.5
    instances_are_images = True

    def __init__(self, weights):
        super().__init__()
        self.weights = iter(weights)
        self.distiller = SimpleNamespace(
            preview=SimpleNamespace(threshold=lambda progress: 10 * progress)
        )

    def next_batch(self):
        self.distiller.preview_weight = next(self.weights)


def test_one_record_for_each_pass_over_the_data(tmp_path):
    weights = [[1.0, 0.3], [1.0, 0.0], [1.0, 1.0], [1.0, 0.3]]
    model = Model(torch.tensor(w) for w in weights)
    runner = SimpleNamespace(
        model=model,
        train_dataloader=range(2),
        train_loop=None,
        work_dir=str(tmp_path),
        message_hub=MessageHub.get_instance(str(tmp_path)),
        iter=0,
    )
    hook = PreviewRecordHook(bins=4)
    hook.before_train(runner)
    for runner.iter in range(4):
        model.next_batch()
        hook.after_train_iter(runner, runner.iter % 2)
    lines = (tmp_path / "preview.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [
        dict(epoch=1, threshold=5.0, share=0.5, histogram=[1, 1, 0, 2]),
        dict(epoch=2, threshold=5.0, share=0.25, histogram=[0, 1, 0, 3]),
    ]
    share = runner.message_hub.get_scalar("train/preview_share")
    assert share.current() == 0.25


def test_an_epoch_that_is_begun_again_is_one_record(tmp_path):
    """It goes on from more iterations than its first step has."""
    model = Model(torch.tensor([[1.0, 0.3]]).expand(4, 2))
    runner = SimpleNamespace(
        model=model,
        train_dataloader=range(2),
        train_loop=EpochBasedTrainLoop.__new__(EpochBasedTrainLoop),
        work_dir=str(tmp_path),
        message_hub=MessageHub.get_instance(str(tmp_path)),
    )
    hook = PreviewRecordHook(bins=4)
    hook.before_train(runner)
    for runner.iter, (runner.epoch, step) in enumerate(
        [(1, 0), (1, 1), (2, 0), (2, 1)], start=3
    ):
        model.next_batch()
        hook.after_train_iter(runner, step)
    lines = (tmp_path / "preview.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == [2, 3]
    assert [sum(json.loads(line)["histogram"]) for line in lines] == [4, 4]


@pytest.mark.parametrize("rest", ["", '{"epoch": 4, "thr', "[]\n", "\x00\n"])
@pytest.mark.parametrize("end", ["\n", ""])
def test_what_is_trained_again_is_cut_off(tmp_path, rest, end):
    lines = [json.dumps(dict(epoch=epoch)) + "\n" for epoch in (1, 2, 3)]
    path = tmp_path / "preview.jsonl"
    for done, kept in ((0, 0), (2, 2), (3, 3)):
        path.write_text("".join(lines).rstrip("\n") + end + (end and rest))
        before = path.read_text()
        model = Model(torch.ones(2, 2))
        runner = SimpleNamespace(
            model=model,
            train_dataloader=range(2),
            train_loop=None,
            work_dir=str(tmp_path),
            message_hub=MessageHub.get_instance(str(tmp_path)),
        )
        hook = PreviewRecordHook(bins=2)
        hook.before_train(runner)
        for runner.iter in (2 * done, 2 * done + 1):
            assert path.read_text() == before
            model.next_batch()
            hook.after_train_iter(runner, 0)
        found = path.read_text()
        assert found.startswith("".join(lines[:kept]))
        epochs = [json.loads(line)["epoch"] for line in found.splitlines()]
        assert epochs == [*range(1, kept + 1), done + 1]


def test_no_preview_no_record(tmp_path):
    model = Model([None])
    model.next_batch()
    runner = SimpleNamespace(model=model, work_dir=str(tmp_path), iter=0)
    PreviewRecordHook().after_train_iter(runner, 0)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("bins", [1, 3, 7, 20])
def test_counts_are_those_of_histc(bins):
    edges = torch.arange(bins + 1) / bins
    values = [
        *(edges, edges.nextafter(torch.tensor(2.0)), edges.nextafter(-torch.ones(1))),
        *(torch.rand(5000), torch.tensor([-0.01, 1.01, 1.3])),
    ]
    weight = torch.cat(values)
    found = weight_counts(weight, bins)
    assert found.tolist() == torch.histc(weight, bins, 0, 1).tolist()
    for value in weight.unique()[:: max(1, len(weight) // 200)]:
        found = weight_counts(value[None], bins)
        assert found.tolist() == torch.histc(value[None], bins, 0, 1).tolist()
    assert weight_counts(weight[:0], bins).tolist() == [0] * bins


def test_counting_is_deterministic_and_waits_for_nothing():
    """As it would have to be on CUDA, where histc and bincount are neither."""
    skip_without_fakes()
    with FakeTensorMode(), torch.device("cuda"):
        assert weight_counts(torch.empty(4), 20).shape == (20,)
    with TorchFunctions() as called:
        weight_counts(torch.rand(4), 20)
    assert called.names and not {"histc", "bincount"} & called.names


class TorchFunctions(TorchFunctionMode):
    """Collect the names of torch's functions that are called."""

    def __init__(self):
        super().__init__()
        self.names = set()

    def __torch_function__(self, func, types, args=(), kwargs=None):
        self.names.add(func.__name__)
        return func(*args, **(kwargs or {}))


def test_a_strategy_of_weights_only_is_not_recorded(tmp_path):
    """It previews nothing, and the run goes on after its first epoch."""
    data = image_folder(tmp_path / "images")
    cfg = run_config("pckd/cifar100_resnet20_resnet8_30e.py", data, tmp_path / "run")
    cfg.model.teacher_ckpt = None
    cfg.model.distiller.preview = dict(type="FocalStrategy", gamma=1.0)
    cfg.train_cfg.max_epochs = 2
    runner = Runner.from_cfg(cfg)
    runner.train()
    assert runner.epoch == 2
    assert not list((tmp_path / "run").glob("**/preview*"))
    log = next((tmp_path / "run").glob("**/*.log")).read_text()
    assert log.count("records nothing: FocalStrategy has no threshold") == 1


def test_in_a_run_the_threshold_is_that_of_the_epoch(tmp_path):
    data = image_folder(tmp_path / "images")
    cfg = run_config("pckd/cifar100_resnet20_resnet8_30e.py", data, tmp_path / "run")
    cfg.model.teacher_ckpt = None
    Runner.from_cfg(cfg).train()
    lines = (tmp_path / "run" / "preview.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    assert [record["epoch"] for record in records] == [1, 2, 3]
    for record in records:
        assert record["threshold"] == 1.005 ** (240 * (record["epoch"] / 3))
        assert sum(record["histogram"]) == 24
