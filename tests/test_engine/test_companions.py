"""MMEngine's and MMRazor's own parts beside a distillation."""

import json
import os
import runpy
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmengine._strategy.colossalai import ColossalAIModelWrapper
from mmengine._strategy.deepspeed import MMDeepSpeedEngineWrapper
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.model import (
    MMDistributedDataParallel,
    convert_sync_batchnorm,
    revert_sync_batchnorm,
)
from mmengine.model.wrappers import MMFullyShardedDataParallel
from mmengine.optim import OptimWrapper
from mmengine.registry import MODELS, DefaultScope
from mmengine.runner import Runner
from mmengine.utils import digit_version
from torch import Tensor, nn

from pckd_mm.compat import prepare_cpu_processes
from pckd_mm.engine.preflight_model import check_wrapper
from tests.builders import (
    CONFIGS,
    ROOT,
    batch,
    build_pckd,
    classifier,
    detector,
    image_folder,
    in_processes,
    method,
    run_config,
    scenes,
)

PCKD = "pckd/cifar100_resnet20_resnet8_30e.py"
# 24 images in batches of 6, three epochs.
STEPS, EPOCHS = 4, 3
BOXES = [[[4, 4, 30, 30], [34, 10, 60, 40]], [[20, 20, 52, 56]]]


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return image_folder(tmp_path_factory.mktemp("images"))


def config(images, work_dir, **changes) -> Config:
    """PCKD on the small folder, its random teacher the same in every run."""
    cfg = run_config(PCKD, images, work_dir)
    cfg.model.teacher_ckpt = None
    cfg.optim_wrapper.optimizer.lr = 1e-3
    cfg.log_processor = dict(window_size=1)
    cfg.merge_from_dict(changes)
    return cfg


class Watch(Hook):
    """Call functions of the runner at points of a run."""

    priority = "VERY_HIGH"

    def __init__(self, **functions) -> None:
        for name, function in functions.items():
            setattr(self, name, lambda runner, *_, f=function, **__: f(runner))


def train(cfg: Config, **functions) -> Runner:
    runner = Runner.from_cfg(cfg)
    if functions:
        runner.register_hook(Watch(**functions))
    runner.train()
    return runner


def load(path) -> dict:
    return torch.load(path, weights_only=True)


def parameters(model: nn.Module) -> dict:
    return {name: value.detach().clone() for name, value in model.named_parameters()}


def logged(work_dir) -> list:
    """Lines of the log that hold losses."""
    files = sorted(work_dir.glob("*/vis_data/scalars.json"))
    lines = [json.loads(row) for file in files for row in file.read_text().splitlines()]
    return [line for line in lines if "loss" in line]


def assert_same(found, expected, where="") -> None:
    """Equal to the last bit."""
    if isinstance(expected, Tensor):
        assert torch.equal(found, expected), where
    elif isinstance(expected, dict):
        assert found.keys() == expected.keys(), where
        for key, value in expected.items():
            assert_same(found[key], value, f"{where}.{key}")
    elif isinstance(expected, (list, tuple)):
        assert len(found) == len(expected), where
        for index, value in enumerate(expected):
            assert_same(found[index], value, f"{where}.{index}")
    else:
        assert found == expected, where


def assert_close(found: dict, expected: dict, tolerance: float = 1e-5) -> None:
    """Tensors by name, relative to the size of each."""
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        error = (found[name] - value).norm()
        # A bias in front of a BatchNorm has gradient zero, but for rounding.
        assert error <= tolerance * value.norm() + 1e-6, (name, error, value.norm())


def freeze_statistics(model: nn.Module) -> nn.Module:
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.eval()
    return model


def step(model: nn.Module, *inputs) -> dict:
    """Losses and gradients of one step."""
    losses = model(*inputs, mode="loss")
    total, log = model.parse_losses(losses)
    total.backward()
    found = {f"loss {name}": value.detach() for name, value in log.items()}
    for name, parameter in model.named_parameters():
        found[f"gradient {name}"] = parameter.grad.clone()
    model.zero_grad()
    return found


def build_roi(student: dict, teacher: dict, seed: int = 0) -> nn.Module:
    """PCKD for two small detectors."""
    torch.manual_seed(seed)
    cfg = Config.fromfile(CONFIGS / "_base_" / "methods" / "pckd_roi.py").method
    cfg.update(architecture=student, teacher=teacher)
    with DefaultScope.overwrite_default_scope("mmdet"):
        model = MODELS.build(cfg)
        model.init_weights()
    model.progress = 0.25
    return model.train()


def roi_inputs(model: nn.Module) -> tuple:
    data = model.data_preprocessor(scenes(BOXES), True)
    return data["inputs"], data["data_samples"]


# --- EMA --------------------------------------------------------------------------


def test_ema_is_the_average_of_the_steps_and_what_is_validated_and_exported(
    images, tmp_path
):
    cfg = config(images, tmp_path)
    cfg.train_cfg.max_epochs = 2
    cfg.default_hooks.checkpoint.save_best = "auto"
    cfg.custom_hooks.append(dict(type="EMAHook", momentum=0.3))
    steps, validated, afterwards = [], [], []
    runner = train(
        cfg,
        after_train_iter=lambda runner: steps.append(parameters(runner.model)),
        before_val_iter=lambda runner: validated.append(parameters(runner.model)),
        before_save_checkpoint=lambda runner: afterwards.append(
            parameters(runner.model)
        ),
    )

    average = dict(steps[0])
    for weights in steps[1:]:
        for name, value in weights.items():
            average[name] = 0.7 * average[name] + 0.3 * value
    assert not [name for name in average if "teacher" in name]
    torch.testing.assert_close(validated[-1], average)
    assert_same(parameters(runner.model), steps[-1])  # training goes on from its own

    checkpoint = load(tmp_path / "epoch_2.pth")
    for name, value in average.items():
        saved, kept = (
            checkpoint[part][prefix + name]
            for part, prefix in (("state_dict", ""), ("ema_state_dict", "module."))
        )
        torch.testing.assert_close(saved, value)
        assert torch.equal(kept, steps[-1][name]), name  # what a resumed run goes on
    students = [tmp_path / "epoch_2_student.pth"]
    students += tmp_path.glob("best_*_student.pth")
    assert len(students) == 2
    of_epoch = int(students[1].name.split("_epoch_")[1].split("_")[0])
    expected = [validated[-1], validated[(of_epoch - 1) * len(validated) // 2]]
    for path, weights in zip(students, expected, strict=True):
        exported = load(path)["state_dict"]
        for name, value in parameters(runner.model.student).items():
            found = exported[name]
            assert torch.equal(found, weights[f"architecture.{name}"]), (path, name)
            assert not torch.equal(found, value) or not value.any(), (path, name)


def test_ema_of_a_detector_is_the_average_and_predicts_as_one():
    model = build_roi(detector(8), detector(8))
    average = MODELS.build(
        dict(type="ExponentialMovingAverage", momentum=0.4),
        default_args={"model": model},
    )
    before = parameters(model)
    average.update_parameters(model)  # the first is taken as it is
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    model.parse_losses(model(*roi_inputs(model), mode="loss"))[0].backward()
    optimizer.step()
    average.update_parameters(model)
    after = parameters(model)
    assert not [name for name in average.state_dict() if "teacher" in name]
    for name, value in parameters(average.module).items():
        expected = 0.6 * before[name] + 0.4 * after[name]
        torch.testing.assert_close(value, expected, msg=name)

    data = scenes(BOXES)
    for sample in data["data_samples"]:
        sample.set_metainfo(dict(scale_factor=(1.0, 1.0)))
    data = model.data_preprocessor(data, False)
    found = average.module.eval()(**data, mode="predict")[0].pred_instances
    model.load_state_dict(average.module.state_dict())
    expected = model.eval()(**data, mode="predict")[0].pred_instances
    assert len(expected) and torch.equal(found.scores, expected.scores)
    assert torch.equal(found.bboxes, expected.bboxes)


# --- resuming with companions ------------------------------------------------------


def by_iterations(cfg: Config, interval: int = 5) -> None:
    """Ten iterations, which is no whole number of passes over the data."""
    cfg.train_cfg = dict(by_epoch=False, max_iters=10, val_interval=interval)
    cfg.default_hooks.checkpoint.update(by_epoch=False, interval=interval)
    cfg.param_scheduler = dict(type="MultiStepLR", milestones=[4], by_epoch=False)
    cfg.train_dataloader.sampler = dict(type="InfiniteSampler", shuffle=True)


def with_ema(cfg: Config) -> None:
    cfg.custom_hooks.append(dict(type="EMAHook", momentum=0.3))


def with_accumulation(cfg: Config) -> None:
    cfg.optim_wrapper.accumulative_counts = 2


def with_stop(cfg: Config) -> None:
    cfg.custom_hooks.append(dict(type="mmrazor.StopDistillHook", stop_epoch=1))


def with_all(cfg: Config) -> None:
    with_ema(cfg)
    with_accumulation(cfg)
    with_stop(cfg)


@pytest.mark.parametrize(
    "change, middle, last",
    [
        (with_all, "epoch_2.pth", "epoch_3.pth"),
        (by_iterations, "iter_5.pth", "iter_10.pth"),
    ],
)
def test_a_resumed_run_ends_with_the_very_same_state(
    change, middle, last, images, tmp_path
):
    for name in ("whole", "resumed"):
        cfg = config(images, tmp_path / name)
        change(cfg)
        if name == "resumed":
            cfg.resume, cfg.load_from = True, str(tmp_path / "whole" / middle)
        train(cfg)
    whole, resumed = (load(tmp_path / name / last) for name in ("whole", "resumed"))
    parts = whole.keys() - {"meta", "message_hub"}
    assert {"state_dict", "optimizer", "param_schedulers"} <= parts
    assert ("ema_state_dict" in parts) is (change is with_all)
    for part in parts:
        assert_same(resumed[part], whole[part], part)
    begun = load(tmp_path / "whole" / middle)["state_dict"]
    weight = "architecture.head.fc.weight"
    assert not torch.equal(begun[weight], whole["state_dict"][weight])


# --- SyncBN ------------------------------------------------------------------------


def spied(model: nn.Module) -> dict:
    """How often each recorder of the student's layers recorded in a step."""
    calls = {}
    compute = model.distiller.compute_distill_losses

    def count() -> dict:
        for name, recorder in model.distiller.student_recorders.recorders.items():
            calls[name] = len(recorder.data_buffer)
        return compute()

    model.distiller.compute_distill_losses = count
    return calls


def of_roi() -> tuple:
    model = build_roi(detector(8), detector(8))
    return model, roi_inputs(model)


def of_images() -> tuple:
    return build_pckd(classifier(8), classifier(14)), batch(6)


@pytest.mark.parametrize("make", [of_images, of_roi])
def test_a_step_after_the_conversion_to_sync_bn_and_back(make):
    # In one process SyncBN is BatchNorm; MMEngine turns it back where a run has one.
    model, inputs = make()
    torch.manual_seed(1)
    plain = step(model, *inputs)
    teachers = [type(module) for module in model.teacher.modules()]
    for convert in (convert_sync_batchnorm, revert_sync_batchnorm):
        model = convert(make()[0])
        has_sync = any(isinstance(m, nn.SyncBatchNorm) for m in model.modules())
        assert has_sync is (convert is convert_sync_batchnorm)
        if not has_sync:
            model = convert(convert_sync_batchnorm(model))
        assert [type(module) for module in model.teacher.modules()] == teachers
        calls = spied(model.train())
        torch.manual_seed(1)
        assert_close(step(model, *inputs), plain)
        assert calls["feature"] == calls["logits"] == calls["labels"] == 1


def test_a_run_with_sync_bn_in_its_config_is_that_with_batch_norm(images, tmp_path):
    weights = []
    for norm in ("BN", "SyncBN"):
        cfg = config(images, tmp_path / norm)
        cfg.train_cfg.max_epochs = 1
        cfg.model.distiller.distill_losses.loss_ca = None  # of other widths
        for network in (cfg.model.architecture, cfg.model.teacher):
            network.backbone = dict(
                type="ResNet_CIFAR",
                depth=18,
                base_channels=4,
                stem_channels=4,
                norm_cfg=dict(type=norm),
            )
            network.head.in_channels = 32
        runner = train(cfg)
        # That of the teacher, which is no part of the module, is in evaluation mode.
        sync = isinstance(runner.model.teacher.backbone.bn1, nn.SyncBatchNorm)
        assert sync is (norm == "SyncBN")
        weights.append(runner.model.state_dict())
    assert_same(weights[1], weights[0])


# --- torch.compile as MMEngine does it ----------------------------------------------


@pytest.mark.skipif(
    digit_version(torch.__version__) < digit_version("2.2"),
    reason="torch 2.1 cannot compile its own SGD, which MMEngine's compile asks for",
)
def test_a_compiled_run_has_the_losses_of_the_plain_one(images, tmp_path):
    # Of iterations, since progress and threshold are other numbers in each then.
    found = []
    torch._dynamo.reset()
    for name, compiled in (("plain", False), ("compiled", dict(backend="eager"))):
        cfg = config(images, tmp_path / name, compile=compiled)
        by_iterations(cfg)
        cfg.train_cfg.max_iters = 5  # more than the four of a pass
        cfg.model.teacher.backbone.depth = 8
        train(cfg)
        found.append(logged(tmp_path / name))
    torch._dynamo.reset()
    assert len(found[0]) == len(found[1]) == 5
    for plain, compiled in zip(*found, strict=True):
        losses = [name for name in plain if "loss" in name]
        assert len(losses) == 6
        for name in losses:
            assert compiled[name] == pytest.approx(plain[name], rel=1e-4), name
        assert compiled.get("preview_threshold") == plain.get("preview_threshold")


# --- gradient accumulation -----------------------------------------------------------


def accumulated(model: nn.Module, parts: list, lr: float = 0.1) -> dict:
    """The gradient that MMEngine's wrapper steps by after these parts of a batch."""
    before = parameters(model)
    optimizer = torch.optim.SGD(model.parameters(), lr)
    wrapper = OptimWrapper(optimizer, accumulative_counts=len(parts))
    for inputs, samples in parts:
        losses = model(inputs, samples, mode="loss")
        wrapper.update_params(model.parse_losses(losses)[0])
    after = parameters(model)
    model.load_state_dict({**model.state_dict(), **before})
    return {name: (before[name] - after[name]) / lr for name in before}


def split(inputs: Tensor, samples: list, sizes: list) -> list:
    ends = torch.tensor(sizes).cumsum(0).tolist()
    return [
        (inputs[4 * (end - size) : 4 * end], samples[end - size : end])
        for end, size in zip(ends, sizes, strict=True)
    ]


def gradients(model: nn.Module, *inputs) -> dict:
    found = step(model, *inputs)
    prefix = "gradient "
    return {k.removeprefix(prefix): v for k, v in found.items() if k.startswith(prefix)}


def accumulating(**changes) -> nn.Module:
    """PCKD in double precision, for differences of weights, with frozen statistics."""
    settings = method("pckd")["distiller"]
    settings.update(changes)
    model = build_pckd(classifier(8), classifier(14), distiller=settings).double()
    return freeze_statistics(model)


def double(inputs: Tensor, samples: list) -> tuple:
    return inputs.double(), samples


@pytest.mark.parametrize("parts", [2, 4])
def test_accumulated_terms_of_single_images_are_those_of_the_whole_batch(parts):
    losses = {**method("pckd")["distiller"]["distill_losses"], "loss_cc": None}
    model = accumulating(preview=None, distill_losses=losses)
    whole = double(*batch(12))
    expected = gradients(model, *whole)
    terms = model(*whole, mode="loss")
    assert terms.keys() == {
        "student.loss",
        *(f"distill.loss_{x}" for x in ("kd", "ca", "fa")),
    }
    assert_close(accumulated(model, split(*whole, [12 // parts] * parts)), expected)
    # Each part counts alike, whatever its size.
    found = accumulated(model, split(*whole, [8, 4]))
    name = "architecture.head.fc.weight"
    assert (found[name] - expected[name]).norm() > 1e-3 * expected[name].norm()


@pytest.mark.parametrize("leave_out", ["loss_cc", "preview"])
def test_preview_and_contrast_are_of_each_part(leave_out):
    changes = dict(preview=None)
    if leave_out == "loss_cc":
        losses = method("pckd")["distiller"]["distill_losses"]
        changes = dict(distill_losses={**losses, "loss_cc": None})
    model = accumulating(**changes)
    model.progress = 1 / 240  # when an image above the mean is a hard one
    whole = double(*batch(12))
    parts = split(*whole, [6, 6])
    found = accumulated(model, parts)
    each = [gradients(model, *part) for part in parts]
    mean = {name: (each[0][name] + each[1][name]) / 2 for name in found}
    assert_close(found, mean)
    expected = gradients(model, *whole)
    worst = max((found[n] - v).norm() / (v.norm() + 1e-6) for n, v in expected.items())
    assert worst > 1e-3


def test_updates_and_schedule_of_a_run_that_accumulates(images, tmp_path):
    # Twelve iterations by five: the last update is of two, as a mean of these two.
    cfg = config(images, tmp_path)
    cfg.optim_wrapper = dict(optimizer=dict(type="SGD", lr=1e-3), accumulative_counts=5)
    cfg.param_scheduler = dict(type="StepLR", step_size=1, gamma=0.5, by_epoch=False)
    weights, rates, progress = [], [], []

    def watch(runner) -> None:
        weights.append(parameters(runner.model))
        rates.append(runner.optim_wrapper.optimizer.param_groups[0]["lr"])
        progress.append(runner.model.progress)

    train(cfg, after_train_iter=watch)
    changed = [
        index + 2
        for index, (a, b) in enumerate(zip(weights, weights[1:], strict=False))
        if not torch.equal(
            a["architecture.head.fc.weight"], b["architecture.head.fc.weight"]
        )
    ]
    assert changed == [5, 10, 12]
    # Schedules, progress and threshold count iterations, updated or not.
    assert rates == pytest.approx([1e-3 * 0.5**k for k in range(12)])
    assert progress == [1 / 3] * 4 + [2 / 3] * 4 + [1] * 4


def test_the_last_update_is_the_mean_of_what_is_left():
    model = accumulating(preview=None)
    parts = split(*double(*batch(12)), [4, 4, 4])
    lr = 0.1
    optimizer = torch.optim.SGD(model.parameters(), lr)
    wrapper = OptimWrapper(optimizer, accumulative_counts=2)
    wrapper.initialize_count_status(model, 0, 3)
    for index, part in enumerate(parts):
        if index == 2:
            expected = gradients(model, *part)
            before = parameters(model)
        wrapper.update_params(model.parse_losses(model(*part, mode="loss"))[0])
    after = parameters(model)
    assert_close({n: (before[n] - after[n]) / lr for n in before}, expected)


# --- activation checkpointing --------------------------------------------------------


def resnet(with_cp: bool, **settings) -> dict:
    network = classifier(8, width=(4, 4, 8, 64))
    network["backbone"] = dict(
        type="mmpretrain.ResNet",
        depth=18,
        base_channels=8,
        stem_channels=8,
        with_cp=with_cp,
    )
    return network


def recording(kind: str, source: str) -> dict:
    """A distiller that imitates the teacher's layer too."""
    settings = method("pckd")["distiller"]
    settings["distill_losses"]["loss_ca"] = None
    for who in ("student_recorders", "teacher_recorders"):
        settings[who] = {**settings[who], "layer": dict(type=kind, source=source)}
    settings["distill_losses"]["loss_layer"] = dict(type="mmrazor.L2Loss")
    index = {"data_idx": 2} if kind == "StageOutputs" else {}
    settings["loss_forward_mappings"]["loss_layer"] = {
        f"{who}_feature": dict(recorder="layer", from_student=who == "s", **index)
        for who in "st"
    }
    return settings


def calls_of(module: nn.Module) -> list:
    calls = []
    module.register_forward_hook(lambda *_: calls.append(torch.is_grad_enabled()))
    return calls


@pytest.mark.parametrize(
    "kind, source",
    [("StageOutputs", "backbone"), ("ModuleOutputs", "backbone.layer3.0")],
)
def test_gradients_with_checkpointed_activations_are_those_without(kind, source):
    found = []
    for with_cp in (False, True):
        settings = recording(kind, source)
        model = build_pckd(resnet(with_cp), resnet(False), distiller=settings, seed=3)
        runs = calls_of(model.student.backbone.layer3[0].conv2)
        calls = spied(model)
        found.append(step(model, *batch(4, size=32)))
        # Run again for the gradient, and recorded once.
        assert runs == ([False, True] if with_cp else [True])
        assert calls["layer"] == calls["feature"] == calls["logits"] == 1
        records = model.distiller.student_recorders.recorders
        assert not records["layer"].data_buffer and not records["feature"].data_buffer
    assert_close(found[1], found[0])


def test_gradients_of_a_detector_with_checkpointed_activations():
    found = []
    for with_cp in (False, True):
        student = detector(8)
        student["backbone"]["with_cp"] = with_cp
        model = build_roi(student, detector(8))
        runs = calls_of(model.student.backbone.layer3[0].conv2)
        calls = spied(model)
        torch.manual_seed(1)
        found.append(step(model, *roi_inputs(model)))
        assert runs == ([False, True] if with_cp else [True])
        assert calls["rois"] == calls["roi_targets"] == calls["feature"] == 1
    assert_close(found[1], found[0])


@pytest.mark.parametrize(
    "kind, source, checkpointed",
    [
        ("ModuleOutputs", "backbone.layer3.0.conv2", "with_cp"),
        ("StageOutputs", "backbone", "backbone"),
    ],
)
def test_a_layer_inside_of_what_is_checkpointed_is_refused(kind, source, checkpointed):
    from mmengine.runner.activation_checkpointing import (
        turn_on_activation_checkpointing,
    )

    settings = recording(kind, source)
    inside = checkpointed == "with_cp"
    model = build_pckd(resnet(inside), resnet(False), distiller=settings)
    if not inside:
        turn_on_activation_checkpointing(model, f"architecture.{checkpointed}")
    inputs, samples = batch(4, size=32)
    inputs.requires_grad_()  # which checkpointing of the first layer asks for
    match = f"recorder layer recorded '{source}' without gradient.*with_cp=False"
    with pytest.raises(RuntimeError, match=match):
        model(inputs, samples, mode="loss")
    with torch.no_grad():  # as the dry run
        assert "distill.loss_layer" in model(inputs, samples, mode="loss")


def test_a_frozen_layer_may_be_recorded():
    settings = recording("ModuleOutputs", "backbone.layer1")
    student = resnet(False)
    student["backbone"]["frozen_stages"] = 1
    model = build_pckd(student, resnet(False), distiller=settings)
    losses = model(*batch(4, size=32), mode="loss")
    assert not losses["distill.loss_layer"].requires_grad


# --- loops and hooks -----------------------------------------------------------------


def test_progress_of_an_iteration_based_run(images, tmp_path):
    cfg = config(images, tmp_path)
    by_iterations(cfg)
    progress = []
    train(cfg, after_train_iter=lambda runner: progress.append(runner.model.progress))
    assert progress == [(k + 1) / 10 for k in range(10)]
    # One record for each whole pass, with the threshold of its last iteration.
    lines = (tmp_path / "preview.jsonl").read_text().splitlines()
    found = [json.loads(line)["threshold"] for line in lines]
    assert found == [pytest.approx(1.005 ** (240 * k / 10)) for k in (4, 8)]


@pytest.mark.parametrize("endless", [False, True])
def test_a_last_batch_of_one_image_in_an_iteration_based_run(endless, images, tmp_path):
    cfg = config(images, tmp_path)
    by_iterations(cfg)
    cfg.train_dataloader.batch_size = 23
    if endless:  # then every batch is full
        cfg.train_cfg.max_iters = 2
        train(cfg)
        return
    cfg.train_dataloader.sampler = dict(type="DefaultSampler", shuffle=True)
    with pytest.raises(ValueError, match="last batch of an epoch has one image"):
        train(cfg)


def test_distillation_stops_at_its_epoch(images, tmp_path):
    cfg = config(images, tmp_path)
    with_stop(cfg)
    weights, teacher = [], []
    train(
        cfg,
        before_train=lambda runner: teacher.append(calls_of(runner.model.teacher)),
        after_train_epoch=lambda runner: weights.append(parameters(runner.model)),
    )
    lines = logged(tmp_path)
    assert len(lines) == STEPS * EPOCHS
    terms = ["student.loss", *(f"distill.loss_{x}" for x in ("kd", "cc", "ca", "fa"))]
    for index, line in enumerate(lines):
        # MMEngine goes on to log the last values of what is no more.
        expected = terms if index < STEPS else terms[:1]
        assert line["loss"] == pytest.approx(sum(line[name] for name in expected))
    # Once in the dry run before.
    assert len(teacher[0]) == 1 + STEPS
    # The preview is of the first epoch alone, the student learns on.
    assert len((tmp_path / "preview.jsonl").read_text().splitlines()) == 1
    name = "architecture.backbone.conv1.weight"
    assert not torch.equal(weights[1][name], weights[2][name])


def test_early_stopping_ends_with_a_whole_checkpoint(images, tmp_path):
    cfg = config(images, tmp_path)
    cfg.train_cfg.max_epochs = 6
    cfg.custom_hooks.append(
        # The first validation is the best then, and two more are waited for.
        dict(
            type="EarlyStoppingHook",
            monitor="accuracy/top1",
            min_delta=1000.0,
            patience=2,
        )
    )
    runner = train(cfg)
    assert runner.epoch == 3
    last = load(tmp_path / "epoch_3.pth")
    assert_same(last["state_dict"], dict(runner.model.state_dict()))
    assert (tmp_path / "epoch_3_student.pth").is_file()
    assert not (tmp_path / "epoch_4.pth").exists()
    # The preview's schedule is that of the whole run.
    lines = (tmp_path / "preview.jsonl").read_text().splitlines()
    thresholds = [json.loads(line)["threshold"] for line in lines]
    assert thresholds == [pytest.approx(1.005 ** (240 * k / 6)) for k in (1, 2, 3)]


def test_tensorboard_has_every_loss_and_the_preview(images, tmp_path):
    event_accumulator = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator"
    )
    cfg = config(images, tmp_path)
    cfg.visualizer.vis_backends = [
        dict(type="LocalVisBackend"),
        dict(type="TensorboardVisBackend"),
    ]
    train(cfg)
    lines = logged(tmp_path)
    names = {name for line in lines for name in line if "loss" in name}
    assert len(lines) == 12 and len(names) == 6
    folder = next(tmp_path.glob("*/vis_data"))
    events = event_accumulator.EventAccumulator(str(folder))
    events.Reload()
    for name in sorted(names) + ["lr"]:
        scalars = events.Scalars(name)
        assert [scalar.step for scalar in scalars] == list(range(1, 13)), name
        values = [line[name] for line in lines]
        assert [scalar.value for scalar in scalars] == pytest.approx(values), name
    lines = (tmp_path / "preview.jsonl").read_text().splitlines()
    shares = [json.loads(line)["share"] for line in lines]
    found = {scalar.step: scalar.value for scalar in events.Scalars("preview_share")}
    assert [found[step] for step in (4, 8, 12)] == pytest.approx(shares)
    assert len(events.Scalars("accuracy/top1")) == EPOCHS


# --- the learning rate ---------------------------------------------------------------


def test_learning_rate_is_scaled_to_images_and_not_to_views(images, tmp_path):
    cfg = config(images, tmp_path, auto_scale_lr=dict(enable=True, base_batch_size=64))
    assert cfg.model.num_views == 4
    cfg.train_cfg.max_epochs = 1
    train(cfg)
    assert [line["lr"] for line in logged(tmp_path)] == [
        pytest.approx(1e-3 * 6 / 64)
    ] * 4


@pytest.mark.parametrize("scale", [None, dict(enable=False), dict(base_batch_size=0)])
def test_scaling_without_a_base_is_refused(scale, monkeypatch, tmp_path):
    cfg = Config.fromfile(CONFIGS / PCKD)
    cfg.auto_scale_lr = scale
    path = tmp_path / "config.py"
    cfg.dump(path)
    monkeypatch.setattr("sys.argv", ["train.py", str(path), "--auto-scale-lr"])
    match = (
        r"has auto_scale_lr=.*; expected auto_scale_lr=dict\(base_batch_size=\.\.\.\)"
    )
    with pytest.raises(SystemExit, match=match):
        runpy.run_path(str(ROOT / "tools" / "train.py"), run_name="__main__")


# --- what takes networks apart -------------------------------------------------------


def fully_sharded(model: nn.Module) -> nn.Module:
    # Its constructor asks for an accelerator.
    wrapper = MMFullyShardedDataParallel.__new__(MMFullyShardedDataParallel)
    nn.Module.__init__(wrapper)
    wrapper._fsdp_wrapped_module = model
    return wrapper


def deepspeed(model: nn.Module) -> MMDeepSpeedEngineWrapper:
    return MMDeepSpeedEngineWrapper(model=SimpleNamespace(module=model))


def colossal(model: nn.Module) -> ColossalAIModelWrapper:
    return ColossalAIModelWrapper(SimpleNamespace(), model)


@pytest.mark.parametrize("wrap", [fully_sharded, deepspeed, colossal, nn.DataParallel])
def test_wrappers_that_take_networks_apart_are_refused(wrap, images, tmp_path):
    runner = Runner.from_cfg(config(images, tmp_path))
    plain = runner.model
    runner.model = wrap(plain)
    name = type(runner.model).__name__
    match = f"MultiViewDistill is distributed by {name}.*expected MMDistributedData"
    with pytest.raises(TypeError, match=match):
        runner.call_hook("before_run")
    check_wrapper(plain)
    check_wrapper(wrap(plain.student))  # a plain network is none of our business


# --- two processes -------------------------------------------------------------------


def work(rank: int, images: str, folder: Path) -> None:
    os.environ["LOCAL_RANK"] = str(rank)
    found = {}

    # Gradients of four parts in two steps of two processes.
    losses = {**method("pckd")["distiller"]["distill_losses"], "loss_cc": None}
    model = accumulating(preview=None, distill_losses=losses)
    inputs, samples = double(*batch(12))
    parts = split(inputs, samples, [3] * 4)[2 * rank : 2 * rank + 2]
    before = parameters(model)
    wrapped = MMDistributedDataParallel(model, device_ids=None)
    optimizer = torch.optim.SGD(wrapped.parameters(), 0.1)
    wrapper = OptimWrapper(optimizer, accumulative_counts=2)
    freeze_statistics(wrapped)
    for part in parts:
        with wrapper.optim_context(wrapped):
            total = model.parse_losses(wrapped(*part, mode="loss"))[0]
        wrapper.update_params(total)
    after = parameters(model)
    found["gradient"] = {n: (before[n] - after[n]) / 0.1 for n in before}

    # The rate of a run, whose EMA all processes have alike.
    cfg = config(images, Path(folder, "run"), launcher="pytorch")
    cfg.auto_scale_lr = dict(enable=True, base_batch_size=64)
    cfg.train_cfg.max_epochs = 1
    with_ema(cfg)
    prepare_cpu_processes(cfg)
    runner = train(cfg)
    found["lr"] = runner.optim_wrapper.optimizer.param_groups[0]["lr"]
    ema = next(hook for hook in runner.hooks if type(hook).__name__ == "EMAHook")
    found["ema"] = parameters(ema.ema_model.module)

    # What a run refuses.
    said = {}
    separate = dict(type="MMSeparateDistributedDataParallel")
    for name, changes in (
        ("separate", dict(model_wrapper_cfg=separate)),
        ("sync_bn", dict(sync_bn="torch")),
    ):
        cfg = config(images, Path(folder, name), launcher="pytorch", **changes)
        prepare_cpu_processes(cfg)
        try:
            Runner.from_cfg(cfg).train()
        except (TypeError, ValueError) as error:
            said[name] = str(error)
    found["said"] = said
    torch.save(found, f"{folder}/{rank}.pth")


@pytest.fixture(scope="module")
def both(images, tmp_path_factory) -> list:
    """What each of two processes found."""
    folder = tmp_path_factory.mktemp("both")
    in_processes(2, work, folder, str(images), folder)
    return [load(folder / f"{rank}.pth") for rank in range(2)]


def test_processes_that_accumulate_have_the_gradient_of_the_whole_batch(both):
    losses = {**method("pckd")["distiller"]["distill_losses"], "loss_cc": None}
    model = accumulating(preview=None, distill_losses=losses)
    expected = gradients(model, *double(*batch(12)))
    assert_close(both[0]["gradient"], expected)


def test_learning_rate_is_scaled_to_all_processes(both):
    assert [found["lr"] for found in both] == [pytest.approx(1e-3 * 12 / 64)] * 2


def test_processes_have_one_average(both):
    assert_same(both[0]["ema"], both[1]["ema"])


def test_what_runs_of_two_processes_are_refused(both):
    for found in both:
        said = found["said"]
        assert "MMSeparateDistributedDataParallel, which takes" in said["separate"]
        # DDP says it: torch takes the statistics of all processes on GPUs alone.
        assert "SyncBatchNorm layers only work with GPU modules" in said["sync_bn"]
