"""What a run is about to do, in words."""

import copy

import pytest
import torch
from mmengine.dataset import ConcatDataset
from mmengine.optim import OptimWrapper, OptimWrapperDict
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from pckd_mm.engine.run_summary import count, summarize
from pckd_mm.utils.nested_datasets import inner_datasets
from tests.builders import image_folder, run_config

LOOKS = ["tensorboard --logdir here", "wandb sync there"]


@pytest.mark.parametrize(
    "number, words",
    [
        (0, "0"),
        (999, "999"),
        (1000, "1.00 thousand"),
        (83900, "83.9 thousand"),
        (278324, "278 thousand"),
        (999_700, "1.00 million"),
        (41_400_000, "41.4 million"),
        (1_234_000_000, "1.23 billion"),
    ],
)
def test_counts(number, words):
    assert count(number) == words


def rows(runner, looks=()) -> dict:
    text = summarize(runner, looks)
    return dict(line.strip().split(maxsplit=1) for line in text.splitlines())


@pytest.fixture
def built(tmp_path):
    """Gives a run whose parts are built, as they are before its first step."""
    images = image_folder(tmp_path / "images")

    def build(path="pckd/cifar100_resnet20_resnet8_6e.py", **settings):
        cfg = run_config(path, images, tmp_path / "work")
        cfg.merge_from_dict(settings)
        runner = Runner.from_cfg(cfg)
        runner._train_loop = runner.build_train_loop(runner._train_loop)
        runner.optim_wrapper = runner.build_optim_wrapper(runner.optim_wrapper)
        runner.param_schedulers = runner.build_param_scheduler(runner.param_schedulers)
        if runner._val_loop is not None:
            runner._val_loop = runner.build_val_loop(runner._val_loop)
        return runner

    return build


def parameters(network: torch.nn.Module) -> str:
    return f"{count(sum(p.numel() for p in network.parameters()))} parameters"


def test_a_distillation(built):
    runner = built()
    found = rows(runner, LOOKS)
    assert found["Method"].startswith("loss_kd, loss_cc, loss_ca, loss_fa, by Multi")
    assert found["Student"].endswith(parameters(runner.model.student))
    assert found["Teacher"].endswith(parameters(runner.model.teacher))
    # Three classes of eight images each, in either split.
    assert found["Data"].endswith("3 classes; 24 images to train on, 24 to validate on")
    assert found["Curves"] == "wandb sync there"
    # Of several trackers each has a line.
    assert "tensorboard --logdir here" in summarize(runner, LOOKS)


def test_several_data_sets_are_all_named(built):
    runner = built()
    one = next(inner_datasets(runner.train_dataloader.dataset))
    other = copy.deepcopy(one)
    other.data_root = "elsewhere"
    loader = DataLoader(ConcatDataset([one, one, other]))
    runner.train_loop.dataloader = loader
    kind, root = type(one).__name__, one.data_root
    assert rows(runner)["Data"].startswith(
        f"{kind} in {root}, {kind} in elsewhere, 3 classes; 72 images to train on"
    )


def test_a_run_of_steps_without_validation(built):
    runner = built("vanilla/cifar100_resnet8x4.py")
    runner._train_loop = runner.build_train_loop(dict(by_epoch=False, max_iters=7))
    runner._val_loop = None
    found = rows(runner)
    assert found["Schedule"].startswith("7 steps, batches of ")
    assert found["Data"].endswith("24 images to train on")
    assert "Method" not in found and "Teacher" not in found


def test_weights_that_stay(built):
    runner = built("vanilla/cifar100_resnet8x4.py")
    for weight in runner.model.backbone.parameters():
        weight.requires_grad_(False)
    head = count(sum(p.numel() for p in runner.model.head.parameters()))
    assert rows(runner)["Network"].endswith(f"of which {head} are trained")


def test_several_optimizers(built):
    runner = built("vanilla/cifar100_resnet8x4.py")
    model = runner.model
    runner.optim_wrapper = OptimWrapperDict(
        body=OptimWrapper(torch.optim.SGD(model.backbone.parameters(), lr=0.5)),
        head=OptimWrapper(torch.optim.Adam(model.head.parameters(), lr=0.25)),
    )
    found = rows(runner)["Optimizer"]
    assert found.startswith("SGD, learning rate 0.5, Adam, learning rate 0.25")
