"""Losses that are not finite: what is said of them, and what becomes of the run."""

import contextlib
import itertools
import logging
import math
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Collection, Dict, Union

import pytest
import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.evaluator import BaseMetric, Evaluator
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.runner import Runner
from mmpretrain.structures import DataSample
from torch import nn

from pckd_mm.engine import NonFiniteLossHook, SkipStepAmpOptimWrapper, SkipStepMixin
from pckd_mm.engine.guards import use_guards
from pckd_mm.registry import HOOKS
from pckd_mm.utils.checkpoint import read_checkpoint
from tests.builders import (
    CONFIGS,
    build_pckd,
    classifier,
    in_processes,
)

IMAGES, BATCH, CLASSES = 12, 2, 3
STEPS = IMAGES // BATCH
STOP = dict(type="pckd_mm.NonFiniteLossHook")
SKIP = dict(STOP, action="skip")
names = itertools.count()


def images(bad: Collection[int] = (), value: float = math.nan) -> list:
    """Images of which some hold one number of this value."""
    generator = torch.Generator().manual_seed(0)
    items = []
    for index in range(IMAGES):
        image = torch.randn(3, 8, 8, generator=generator)
        if index in bad:
            image[1, 2, 3] = value
        meta = dict(sample_idx=index, img_path=f"{index}.png")
        sample = DataSample(metainfo=meta).set_gt_label(index % CLASSES)
        items.append(dict(inputs=image, data_samples=sample))
    return items


class Net(BaseModel):
    """A classifier with BatchNorm behind its head, or with none."""

    def __init__(self, batch_norm: bool = True):
        super().__init__()
        generator = torch.Generator().manual_seed(1)
        self.head = nn.Linear(192, CLASSES)
        with torch.no_grad():
            self.head.weight.copy_(0.05 * torch.randn(3, 192, generator=generator))
            self.head.bias.zero_()
        self.norm = nn.BatchNorm1d(192) if batch_norm else nn.Identity()

    def forward(self, inputs, data_samples=None, mode="tensor"):
        if mode == "predict":
            return []
        logits = self.head(self.norm(torch.stack(list(inputs)).flatten(1)))
        labels = torch.cat([sample.gt_label for sample in data_samples])
        return dict(loss=F.cross_entropy(logits, labels), top=logits.detach().max())


class Extra(Net):
    """Has a second loss, infinite from a step on."""

    def __init__(self, step: int):
        super().__init__()
        self.calls = itertools.count(1)
        self.step = step

    def forward(self, *args, mode="tensor", **kwargs):
        outputs = super().forward(*args, mode=mode, **kwargs)
        if mode == "loss":
            extra = math.inf if next(self.calls) >= self.step else 1.0
            outputs["loss_extra"] = extra + 0 * self.head.bias.sum()
        return outputs


class Steep(Net):
    """A finite loss with a gradient that is not."""

    def forward(self, *args, mode="tensor", **kwargs):
        outputs = super().forward(*args, mode=mode, **kwargs)
        bias = self.head.bias
        return dict(outputs, loss_steep=(bias - bias.detach()).sqrt().sum())


class Metric(BaseMetric):
    def process(self, data_batch, data_samples):
        self.results.append(0)

    def compute_metrics(self, results):
        return dict(batches=len(results))


class Late(NonFiniteLossHook):
    """Reads as on a GPU: the flags are there when their event is waited for."""

    def _note(self, *args):
        step = NonFiniteLossHook._note(*args)
        flags = step.flags.clone()
        step.flags.fill_(7)  # what nobody may read yet
        event = SimpleNamespace(synchronize=lambda: step.flags.copy_(flags))
        return step._replace(event=event)

    def _stop_if_bad(self, step, alone=False):
        self.alone = alone  # in the main process only
        super()._stop_if_bad(step, alone)


class Saving(Hook):
    """Saves in every step, and is no CheckpointHook."""

    priority = "LOWEST"

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        runner.save_checkpoint(runner.work_dir, f"iter_{runner.iter + 1}.pth")


def build(
    folder: Path,
    model: BaseModel,
    hook,
    bad: Collection[int] = (),
    value: float = math.nan,
    epochs: int = 2,
    by_epoch: bool = True,
    wrapper: Union[str, dict] = "pckd_mm.SkipStepOptimWrapper",
    accumulate: int = 1,
    checkpoint: int = 1,
    checkpoint_by_epoch: bool = False,
    val: bool = False,
    **settings,
) -> Runner:
    loader = dict(
        batch_size=BATCH,
        num_workers=0,
        dataset=images(bad, value),
        sampler=dict(type="DefaultSampler", shuffle=False),
        collate_fn=dict(type="pseudo_collate"),
    )
    loop = dict(by_epoch=True, max_epochs=epochs, val_interval=1)
    if not by_epoch:
        loop = dict(by_epoch=False, max_iters=epochs * STEPS, val_interval=3)
    if val:
        settings.update(
            val_dataloader=loader, val_cfg={}, val_evaluator=Evaluator(Metric())
        )
    return Runner(
        model,
        str(folder),
        train_dataloader=loader,
        train_cfg=loop,
        optim_wrapper=dict(
            **(wrapper if isinstance(wrapper, dict) else dict(type=wrapper)),
            accumulative_counts=accumulate,
            optimizer=dict(type="SGD", lr=0.1, momentum=0.9, weight_decay=1e-2),
        ),
        default_hooks=dict(
            runtime_info=dict(type="pckd_mm.DeferredRuntimeInfoHook"),
            checkpoint=dict(
                type="CheckpointHook",
                interval=checkpoint,
                by_epoch=checkpoint_by_epoch,
            ),
            non_finite=hook,
        ),
        randomness=dict(seed=0),
        experiment_name=f"non_finite_{next(names)}_{os.getpid()}",
        log_level="WARNING",
        default_scope="mmpretrain",
        **settings,
    )


def warnings_of(runner: Runner) -> list:
    """What a run will say of steps that it left out."""
    said = []

    def keep(record: logging.LogRecord) -> bool:
        if record.getMessage().startswith(("Not finite", "Left out")):
            said.append(record.getMessage())
        return True

    runner.logger.addFilter(keep)
    return said


def saved(folder: Path) -> Dict[str, dict]:
    """Weights of the checkpoints in a folder, all of them finite."""
    found = {
        path.name: read_checkpoint(str(path))["state_dict"]
        for path in sorted(folder.glob("*.pth"))
    }
    for state in found.values():
        assert all(tensor.isfinite().all() for tensor in state.values())
    return found


def plain_run(model: nn.Module, left_out: Collection[int], accumulate=1, context=None):
    """Two epochs of SGD, in a loop that never saw the images that are left out."""
    optimizer = torch.optim.SGD(model.parameters(), 0.1, 0.9, weight_decay=1e-2)
    data, gradients = images(), False
    for step in range(2 * STEPS):
        first = BATCH * (step % STEPS)
        places = range(first, first + BATCH)
        if not set(places) & set(left_out):
            inputs = [data[k]["inputs"] for k in places]
            samples = [data[k]["data_samples"] for k in places]
            with context or contextlib.nullcontext():
                loss = model(inputs, samples, mode="loss")["loss"]
            (loss / accumulate).backward()
            gradients = True
        if (step + 1) % accumulate == 0 and gradients:
            optimizer.step()
            optimizer.zero_grad()
            gradients = False
    return optimizer


def assert_bit_identical(model: nn.Module, expected: nn.Module) -> None:
    for (name, found), wanted in zip(
        model.state_dict().items(), expected.state_dict().values(), strict=True
    ):
        assert torch.equal(found, wanted), name


# ------------------------------------------------------------------ stop


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("batch_norm", [True, False])
def test_stop_names_iteration_and_image(tmp_path, batch_norm, value):
    # With BatchNorm the logits of both images of the batch are NaN.
    runner = build(tmp_path, Net(batch_norm), STOP, [7], value)
    message = (
        r"^Not finite in iteration 4 \(epoch 1\): loss of the image with sample_idx 7 "
        r"\(img_path 7\.png\); expected finite numbers: .*non_finite\.action=skip"
    )
    with pytest.raises(FloatingPointError, match=message):
        runner.train()
    assert list(saved(tmp_path)) == ["iter_1.pth", "iter_2.pth", "iter_3.pth"]


def test_logits_tell_where_the_images_do_not(tmp_path):
    # Finite, but too large for the head.
    runner = build(tmp_path, Net(False), STOP, [9], 3e38)
    runner.model.head.weight.data[:, 64 + 2 * 8 + 3] = 100
    with pytest.raises(FloatingPointError, match="iteration 5 .* image with .*idx 9 "):
        runner.train()


def test_another_loss_is_named_with_its_batch(tmp_path):
    runner = build(tmp_path, Extra(8), STOP)
    message = (
        r"iteration 8 \(epoch 2\): loss_extra of the batch of 2 images with "
        r"sample_idx 2 \(img_path 2.png\), sample_idx 3 \(img_path 3.png\);"
    )
    with pytest.raises(FloatingPointError, match=message):
        runner.train()
    assert len(saved(tmp_path)) == 7


def test_iteration_based_loops_have_no_epoch(tmp_path):
    hook = STOP
    runner = build(tmp_path, Net(), hook, [7], by_epoch=False)
    with pytest.raises(FloatingPointError, match="in iteration 4: loss of the image"):
        runner.train()


@pytest.mark.parametrize(
    ("bad", "settings", "checkpoints", "at"),
    [
        # In the next step.
        (0, dict(checkpoint=100), [], 1),
        # For a checkpoint of this step, the end of the epoch, validation.
        (7, dict(checkpoint=2), ["iter_2.pth"], 3),
        (11, dict(checkpoint=1, checkpoint_by_epoch=True), [], 6),
        (5, dict(by_epoch=False, val=True, checkpoint=100), [], 3),
        (11, dict(by_epoch=False, epochs=1, checkpoint=100), [], 5),
    ],
)
def test_late_reading_is_in_time(tmp_path, bad, settings, checkpoints, at):
    hook = Late()
    runner = build(tmp_path, Net(), hook, [bad], **settings)
    message = rf"iteration {bad // BATCH + 1}\b.* of the image with sample_idx {bad} "
    with pytest.raises(FloatingPointError, match=message):
        runner.train()
    assert list(saved(tmp_path)) == checkpoints
    assert runner.iter == at
    assert not hook.alone


def test_late_reading_of_a_checkpoint_that_nobody_expects(tmp_path):
    hooks = [Saving()]
    runner = build(tmp_path, Net(), Late(), [7], checkpoint=100, custom_hooks=hooks)
    with pytest.raises(FloatingPointError, match="iteration 4 .* sample_idx 7"):
        runner.train()
    assert len(saved(tmp_path)) == 3


def test_weights_that_are_not_finite_are_not_saved(tmp_path):
    runner = build(tmp_path, Steep(), STOP)
    message = r"weights head\.\w+ are not finite in iteration 1 .*clip_grad"
    with pytest.raises(FloatingPointError, match=message):
        runner.train()
    assert not saved(tmp_path)


def test_a_distillation_names_all_losses(tmp_path):
    model = build_pckd(classifier(8, CLASSES), classifier(14, CLASSES))
    model.init_weights = lambda: None
    model.data_preprocessor = type(
        "Views",
        (nn.Module,),
        dict(
            forward=lambda self, data, training: dict(
                inputs=torch.stack(data["inputs"]).repeat_interleave(4, 0),
                data_samples=data["data_samples"],
            )
        ),
    )()
    hook = STOP
    runner = build(tmp_path, model, hook, [7], checkpoint=100)
    with pytest.raises(FloatingPointError, match="sample_idx 7 ") as error:
        runner.train()
    for name in ("student.loss", "distill.loss_kd", "distill.loss_cc", "loss_fa"):
        assert name in str(error.value)
    assert "loss_ca" not in str(error.value)  # of weights alone


def test_fine_runs_go_on_and_end(tmp_path):
    for hook in (STOP, Late()):
        runner = build(tmp_path, Net(), hook, checkpoint=100)
        runner.train()
        assert runner.iter == 2 * STEPS
        assert not runner.model.head._forward_hooks
        expected = Net()
        plain_run(expected, ())
        assert_bit_identical(runner.model, expected)


# ------------------------------------------------------------------ skip


@pytest.mark.parametrize(
    ("bad", "accumulate"),
    [
        ([7], 1),
        ([0, 11], 1),
        ([7], 2),  # the second batch of two
        ([5], 2),  # the first of them
        ([5, 7], 2),  # both: no step at all
        ([1, 4, 11], 3),
    ],
)
def test_skip_is_a_run_that_never_saw_the_batch(tmp_path, bad, accumulate):
    runner = build(
        tmp_path,
        Net(),
        SKIP,
        bad,
        accumulate=accumulate,
        checkpoint=4,
        custom_hooks=[dict(type="EMAHook")],
    )
    runner.train()
    expected = Net()
    optimizer = plain_run(expected, bad, accumulate)
    assert_bit_identical(runner.model, expected)
    momenta = runner.optim_wrapper.optimizer.state_dict()["state"]
    for key, state in optimizer.state_dict()["state"].items():
        assert torch.equal(momenta[key]["momentum_buffer"], state["momentum_buffer"])
    assert runner.optim_wrapper.inner_count == 2 * STEPS
    assert len(saved(tmp_path)) == 3


def test_skip_in_bfloat16(tmp_path):
    # On a CPU without bfloat16 too.
    wrapper = dict(type="pckd_mm.BFloat16OptimWrapper", force=True)
    runner = build(tmp_path, Net(), SKIP, [7], wrapper=wrapper, checkpoint=100)
    runner.train()
    expected = Net()
    plain_run(expected, [7], context=torch.autocast("cpu", torch.bfloat16))
    assert_bit_identical(runner.model, expected)


def test_skipped_steps_are_counted_and_named(tmp_path):
    runner = build(tmp_path, Net(), SKIP, [7], checkpoint=100)
    said = warnings_of(runner)
    runner.train()
    assert said == [
        "Not finite in iteration 4 (epoch 1): loss of the image with sample_idx 7 "
        "(img_path 7.png); left out this step, no. 1.",
        "Not finite in iteration 10 (epoch 2): loss of the image with sample_idx 7 "
        "(img_path 7.png); left out this step, no. 2.",
        "Left out 2 steps in this run.",
    ]


def test_too_many_skips_in_a_row_stop(tmp_path):
    hook = dict(SKIP, max_skips=2)
    runner = build(tmp_path, Net(), hook, [2, 3, 4, 7, 11])
    message = r"iteration 4 .*idx 7 .* in the 2 steps before; expected max_skips=2"
    with pytest.raises(FloatingPointError, match=message):
        runner.train()
    # Three skips, but of two in a row at most.
    build(tmp_path / "fine", Net(), hook, [2, 5, 11]).train()


def test_skip_needs_a_wrapper_that_can(tmp_path):
    runner = build(tmp_path, Net(), SKIP, wrapper="OptimWrapper")
    with pytest.raises(TypeError, match="OptimWrapper; .*pckd_mm.SkipStepOptimWrapper"):
        runner.train()


def test_stop_is_for_any_wrapper(tmp_path):
    hook = STOP
    runner = build(tmp_path, Net(), hook, [7], wrapper="OptimWrapper")
    with pytest.raises(FloatingPointError, match="sample_idx 7"):
        runner.train()


# ------------------------------------------------------------- several processes


# Process 1 has images 1, 3; 5, 7; 9, 11: three steps an epoch. Image 7 is in the middle
# of three batches whose gradients are accumulated, image 11 at their end, where the
# processes exchange them.
RUNS = dict(
    stop=(STOP, 7, 1), middle=(SKIP, 7, 1), within=(SKIP, 7, 3), end=(SKIP, 11, 3)
)


def work(rank: int, folder: Path) -> None:
    os.environ.update(LOCAL_RANK=str(rank))
    found = {}
    for name, (hook, bad, accumulate) in RUNS.items():
        wrapper = dict(type="MMDistributedDataParallel", device_ids=None)
        runner = build(
            folder / name,
            Net(False),
            hook,
            [bad],
            epochs=3,
            accumulate=accumulate,
            launcher="pytorch",
            cfg=dict(model_wrapper_cfg=wrapper),
        )
        said = warnings_of(runner)
        try:
            runner.train()
        except FloatingPointError as error:
            said.append(str(error))
        weights = {k: v.clone() for k, v in runner.model.module.state_dict().items()}
        found[name] = dict(said=said, weights=weights)
    torch.save(found, f"{folder}/{rank}.pth")


@pytest.fixture(scope="module")
def by_two(tmp_path_factory) -> tuple:
    """The folder of the runs, and what each of both processes found."""
    folder = tmp_path_factory.mktemp("by_two")
    in_processes(2, work, folder, folder)
    found = [torch.load(folder / f"{k}.pth", weights_only=True) for k in (0, 1)]
    return folder, found


@pytest.mark.parametrize("name", ["middle", "within", "end"])
def test_processes_skip_alike(name, by_two):
    _, bad, accumulate = RUNS[name]
    model, data = Net(False), images()
    optimizer = torch.optim.SGD(model.parameters(), 0.1, 0.9, weight_decay=1e-2)
    for step in range(9):
        places = [4 * (step % 3) + k for k in range(4)]
        if bad not in places:
            inputs = [data[k]["inputs"] for k in places]
            samples = [data[k]["data_samples"] for k in places]
            (model(inputs, samples, mode="loss")["loss"] / accumulate).backward()
        if (step + 1) % accumulate == 0 and not (accumulate == 1 and bad in places):
            optimizer.step()
            optimizer.zero_grad()
    first, second = (found[name] for found in by_two[1])
    for key, expected in model.state_dict().items():
        assert torch.equal(first["weights"][key], second["weights"][key])
        torch.testing.assert_close(first["weights"][key], expected)
    assert first["said"] == second["said"]
    *steps, total = first["said"]
    assert total == "Left out 3 steps in this run."
    assert len(steps) == 3
    expected = f": in process 1 loss of the image with sample_idx {bad} "
    assert all(expected in said for said in steps)


def test_processes_stop_together(by_two):
    folder, found = by_two
    for process in found:
        (said,) = process["stop"]["said"]
        assert said.startswith(
            "Not finite in iteration 2 (epoch 1): in process 1 loss of the image with "
            "sample_idx 7 "
        )
    assert list(saved(folder / "stop")) == ["iter_1.pth"]


# ----------------------------------------------------------------- small parts


@pytest.mark.parametrize("what", ["weight", "running_mean"])
def test_weights_that_are_not_finite_are_told_before_the_first_step(tmp_path, what):
    model = Net(batch_norm=True)
    getattr(model.norm, what).data[5] = math.nan
    model.register_buffer("mask", torch.full((2,), -math.inf))
    runner = build(tmp_path, model, STOP)
    message = f"^norm.{what} of the model is not finite before the first step, as are 1"
    with pytest.raises(
        FloatingPointError, match=f"{message} .*: mend what initialises"
    ):
        runner.train()
    path = str(tmp_path / "net.pth")
    torch.save(dict(state_dict=model.state_dict()), path)
    runner = build(tmp_path, Net(batch_norm=True), STOP, load_from=path)
    with pytest.raises(FloatingPointError, match=f"{message} .* than {path}, or mend"):
        runner.train()


def test_the_advice_is_about_what_is_at_fault(tmp_path):
    images = "look at these images, train anew with a lower learning rate"
    with pytest.raises(FloatingPointError, match=images):
        build(tmp_path / "a", Net(), STOP, [1]).train()
    torch.save(dict(state_dict=Net().state_dict()), tmp_path / "net.pth")
    origin = "go on from another checkpoint than .*net.pth, whose weights may be at"
    for bad, expected in ((1, origin), (7, images)):  # in the first step, or later
        start = dict(load_from=str(tmp_path / "net.pth"))
        runner = build(tmp_path / f"b{bad}", Net(), STOP, [bad], **start)
        with pytest.raises(FloatingPointError, match=expected):
            runner.train()


def test_a_resumed_run_counts_on(tmp_path):
    hook = dict(SKIP, max_skips=2)
    with pytest.raises(FloatingPointError, match="iteration 4 .* in the 2 steps befo"):
        build(tmp_path, Net(), hook, [3, 5, 7]).train()
    assert sorted(saved(tmp_path)) == ["iter_1.pth", "iter_2.pth", "iter_3.pth"]
    start = dict(resume=True, load_from=str(tmp_path / "iter_3.pth"))
    runner = build(tmp_path, Net(), hook, [3, 5, 7], by_epoch=False, **start)
    with pytest.raises(FloatingPointError, match="iteration 4: .* in the 2 steps befo"):
        runner.train()


@pytest.mark.parametrize("settings", [dict(action="go"), dict(max_skips=-1)])
def test_impossible_settings(settings):
    with pytest.raises(ValueError, match="NonFiniteLossHook found action="):
        NonFiniteLossHook(**settings)


def test_float16_can_skip_too():
    assert issubclass(SkipStepAmpOptimWrapper, SkipStepMixin)
    backward = SkipStepAmpOptimWrapper.backward.__qualname__
    assert backward == "AmpOptimWrapper.backward"


@pytest.mark.parametrize(
    "path",
    [
        *("pckd/digits_resnet20_resnet8_thin.py", "vanilla/imagenet_resnet18.py"),
        *("pckd/voc_frcnn_r101_r50.py", "vanilla/digit_scenes_frcnn_r18w8.py"),
        "transfer/stl10_resnet20.py",
    ],
)
def test_configs_choose_by_one_setting(path):
    cfg = Config.fromfile(CONFIGS / path)
    if cfg.default_scope == "mmdet":  # hooks that plain mmdet knows
        assert "non_finite" not in cfg.default_hooks
        use_guards(cfg)
    hook = HOOKS.build(cfg.default_hooks.non_finite)
    assert isinstance(hook, NonFiniteLossHook)
    assert (hook.action, hook.max_skips) == ("stop", 10)
    assert cfg.optim_wrapper.type == "pckd_mm.SkipStepOptimWrapper"
