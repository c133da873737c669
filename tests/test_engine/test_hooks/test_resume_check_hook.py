"""ResumeCheckHook: what does not fit is told before anything of it is loaded."""

import itertools
import logging

import pytest
import torch
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner
from torch import nn

from tests.builders import Point

names = itertools.count()


class Wide(Point):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(2))


class Two(BaseModel):
    """Parameters that may have settings of their own."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(1, 1)

    def forward(self, inputs, mode="tensor"):
        return {"loss": self.layer(inputs[0]).square().sum()}


def runner(
    folder, model=None, epochs=2, lr=0.1, batch=1, resume=None, ema=False, **wrapper
):
    """A run of four images that says what it warns of."""
    loop = dict(by_epoch=True, max_epochs=epochs)
    if wrapper.pop("by_iteration", False):
        loop = dict(by_epoch=False, max_iters=epochs)
    built = Runner(
        model or Point(),
        str(folder),
        train_dataloader=dict(
            dataset=[{"inputs": torch.zeros(1)}] * 4,
            batch_size=batch,
            sampler=dict(type="DefaultSampler", shuffle=False),
        ),
        train_cfg=loop,
        optim_wrapper=dict(optimizer=dict(type="SGD", lr=lr), **wrapper),
        param_scheduler=dict(type="MultiStepLR", milestones=[1]),
        default_hooks=dict(resume_check=dict(type="pckd_mm.ResumeCheckHook")),
        custom_hooks=[dict(type="EMAHook")] if ema else [],
        resume=resume is not None,
        load_from=resume and str(resume),
        experiment_name=f"resume_check_{next(names)}",
        log_level="WARNING",
    )
    built.said = []

    def keep(record: logging.LogRecord) -> bool:
        if "to be resumed from" in record.getMessage():
            built.said.append(record.getMessage())
        return True

    built.logger.addFilter(keep)
    return built


@pytest.fixture
def saved(tmp_path):
    """Checkpoint of a run's first of two epochs."""
    runner(tmp_path / "before", epochs=1).train()
    return tmp_path / "before" / "epoch_1.pth"


def test_what_fits_goes_on_without_a_word(tmp_path, saved):
    again = runner(tmp_path, resume=saved)
    again.train()
    assert again.said == []
    assert again.iter == 8


def test_another_network_is_refused_unloaded(tmp_path, saved):
    again = runner(tmp_path, Wide(), resume=saved)
    message = (
        r"epoch_1.pth that the run .* 1 tensors: weight is \(1,\) instead of \(2,\)"
    )
    with pytest.raises(ValueError, match=message):
        again.train()
    assert again.model.weight.tolist() == [1, 1]
    # To begin from it is MMEngine's affair.
    begun = runner(tmp_path, Wide())
    begun._load_from = str(saved)
    begun.train()
    assert begun.said == []


OWN = dict(paramwise_cfg=dict(bias_lr_mult=2.0))


def test_several_parameter_groups_that_fit(tmp_path):
    runner(tmp_path, Two(), epochs=1, **OWN).train()
    again = runner(tmp_path, Two(), resume=tmp_path / "epoch_1.pth", **OWN)
    again.train()
    assert again.said == [] and again.iter == 8


def test_another_kind_of_optimizer_is_refused(tmp_path, saved):
    again = runner(tmp_path, resume=saved)
    again.optim_wrapper = OptimWrapper(torch.optim.Adam(again.model.parameters()))
    with pytest.raises(
        ValueError, match="without the setting betas of this run's Adam"
    ):
        again.train()
    assert again.iter == 0


def test_a_runner_may_resume_before_it_trains(tmp_path, saved):
    again = runner(tmp_path, resume=saved)
    again.resume(str(saved))
    assert again.said == []


def test_other_optimizers_groups_are_refused(tmp_path):
    runner(tmp_path, Two(), epochs=1).train()
    again = runner(tmp_path, Two(), resume=tmp_path / "epoch_1.pth", **OWN)
    with pytest.raises(ValueError, match=r"of \[2\] .* and this run one of \[1, 1\];"):
        again.train()


def test_another_learning_rate_is_told(tmp_path, saved):
    again = runner(tmp_path, lr=0.25, resume=saved)
    again.train()
    (said,) = again.said
    assert "began with the learning rate 0.1, and this config has 0.25: the" in said
    # MMEngine goes on with the old one.
    assert again.optim_wrapper.param_groups[0]["initial_lr"] == 0.1


def test_epochs_of_another_length_are_told(tmp_path):
    runner(tmp_path, epochs=2).train()
    again = runner(tmp_path, epochs=3, batch=2, resume=tmp_path / "epoch_2.pth")
    again.train()
    (said,) = again.said
    assert "has 8 iterations in 2 epochs, and 2 epochs of this run are 4: other" in said


@pytest.mark.parametrize("done", [0, 2, 4])
def test_the_middle_of_an_epoch_is_told(tmp_path, done):
    """From which MMEngine begins the epoch again; and its end, before it is counted."""
    first = runner(tmp_path, epochs=1)
    first.train()
    first.train_loop._iter, first.train_loop._epoch = 4 + done, 1
    first.save_checkpoint(str(tmp_path), "middle.pth")
    checkpoint = torch.load(tmp_path / "middle.pth", weights_only=False)
    checkpoint["meta"].update(epoch=1, iter=4 + done)
    torch.save(checkpoint, tmp_path / "middle.pth")
    again = runner(tmp_path, epochs=3, resume=tmp_path / "middle.pth")
    again.train()
    if done == 0:
        assert not again.said
        return
    (said,) = again.said
    assert f"in the middle of epoch 2, behind {done} of its 4 iterations" in said
    assert "default_hooks.checkpoint.by_epoch=True" in said


@pytest.mark.parametrize("before", [False, True])
def test_averages_of_one_of_both_are_told(tmp_path, before):
    runner(tmp_path, epochs=1, ema=before).train()
    again = runner(tmp_path, ema=not before, resume=tmp_path / "epoch_1.pth")
    again.train()
    (said,) = again.said
    assert (
        "it goes on from the averaged ones" if before else "begins with now"
    ) in said


@pytest.mark.parametrize("by_iteration", [False, True])
def test_a_run_at_its_end_is_told(tmp_path, by_iteration):
    settings = dict(by_iteration=by_iteration)
    first = runner(tmp_path, epochs=1, **settings)
    first.train()
    path = tmp_path / "end.pth"
    first.save_checkpoint(str(tmp_path), "end.pth", by_epoch=not by_iteration)
    again = runner(tmp_path, epochs=1, resume=path, **settings)
    again.train()
    what = "iterations" if by_iteration else "epochs"
    assert any(f"all of its 1 {what} behind it" in said for said in again.said)
