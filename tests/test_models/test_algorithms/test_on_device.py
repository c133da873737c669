"""A step of classifiers on a device that is not there: nothing mixes, nothing waits."""

import pytest
import torch
from mmengine.config import Config
from mmengine.optim import OptimWrapper
from mmpretrain.structures import DataSample
from torch import nn
from torch.utils._pytree import tree_flatten

from pckd_mm.engine import BFloat16OptimWrapper
from pckd_mm.engine.hooks import DeferredRuntimeInfoHook, PreviewRecordHook
from pckd_mm.models.losses import ContrastiveRepresentationLoss
from pckd_mm.registry import MODELS
from pckd_mm.utils.fused_optimizer import restore_kernel, use_fused_kernel
from tests.builders import CONFIGS, classifier, method, small_method
from tests.fake_device import KINDS, fake_device, pin, skip_without_fakes

pytestmark = pytest.mark.device

METHODS = (
    *("kd", "fitnet", "at", "rkd", "crd", "dkd", "dist"),
    *("pckd", "pckd_center", "pckd_curriculum", "pckd_dist", "pckd_dkd", "pckd_focal"),
    "pckd_plus",
    *("pckd_wo_ca", "pckd_wo_cc", "pckd_wo_fa", "pckd_wo_kd", "pckd_wo_preview"),
)


def build(name: str = "pckd", student=None, teacher=None, **settings):
    """A shipped method with its data preprocessor, on the host, as a runner builds."""
    config = small_method(name, student or classifier(8), teacher or classifier(14))
    shipped = Config.fromfile(CONFIGS / "_base_" / "methods" / f"{name}.py").model
    preprocessor = dict(
        type="pckd_mm.RotatedViewsDataPreprocessor",
        mean=[127.5] * 3,
        std=[64.0] * 3,
        to_rgb=True,
        num_views=shipped.num_views,
    )
    model = MODELS.build({**config, "data_preprocessor": preprocessor, **settings})
    model.progress = 0.5
    model.load_teacher()
    for module in model.modules():
        if isinstance(module, ContrastiveRepresentationLoss):
            module.set_labels(torch.arange(40) % 10)
    return model


def data(images: int = 6, whole: bool = True) -> dict:
    """A batch on the host, of images in memory or as workers give it."""
    inputs = pin(torch.zeros(images, 3, 16, 16, dtype=torch.uint8))
    labels, places = torch.arange(images) % 3, 3 * torch.arange(images)
    if whole:
        sample = DataSample(metainfo=dict(sample_idx=places)).set_gt_label(labels)
        return dict(inputs=inputs, data_samples=[sample])
    samples = [
        DataSample(metainfo=dict(sample_idx=place)).set_gt_label(label)
        for place, label in zip(places.tolist(), labels.tolist(), strict=True)
    ]
    return dict(inputs=list(map(pin, inputs.unbind())), data_samples=samples)


def step(model, device, batch, kind, wrapper=OptimWrapper) -> None:
    """A training step, up to autograd's engine where it asks for a real device.

    Nothing mixes: that would raise. Nothing is waited for, and all that comes out of it
    is on the device.
    """
    assert devices([*model.parameters(), *model.buffers()]) == {kind}
    assert devices(model.teacher.parameters()) == {kind}
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    wrapper = wrapper(optimizer=optimizer)
    with wrapper.optim_context(model):
        losses = model(**model.data_preprocessor(batch, True), mode="loss")
    total, log = model.parse_losses(losses)
    assert devices(log.values()) == {kind}
    if kind == "meta":
        wrapper.backward(total)
        learning = [p for p in model.parameters() if p.requires_grad]
        assert devices(p.grad for p in learning) == {kind}
        wrapper.step()
    assert device.waits == []


def devices(tensors) -> set:
    return {tensor.device.type for tensor in tensors}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", METHODS)
def test_a_step_mixes_nothing_and_waits_for_nothing(name, kind):
    model, batch = build(name), data()
    with fake_device() as device:
        device.put(model, kind)
        step(model, device, dict(batch), kind)
        step(model, device, dict(batch), kind, BFloat16OptimWrapper)


def test_every_method_for_classifiers_is_there():
    folder = CONFIGS / "_base_" / "methods"
    others = {"single_view", "pckd_terms", "pckd_roi", "kd_roi", "pckd_fpn"}
    others |= {"pckd_dense", "kd_dense", "pckd_ld_dense"}
    assert {path.stem for path in folder.glob("*.py")} - others == set(METHODS)


def unlike_inputs() -> dict:
    other = dict(mean=[99.0] * 3, std=[99.0] * 3, to_rgb=False)
    teacher = dict(classifier(14), data_preprocessor=other)
    return dict(teacher=teacher, teacher_input_size=12)


def unlike_widths() -> dict:
    distiller = method("pckd")["distiller"]
    distiller["distill_losses"]["loss_ca"] = None
    return dict(teacher=classifier(14, width=(4, 4, 8, 12)), distiller=distiller)


def of_another_library() -> dict:
    layers = nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(784, 16)
    student = nn.Sequential(*layers, nn.ReLU(), nn.Linear(16, 10))
    return dict(student=student, input_shape=(3, 16, 16))


def without_its_own_loss() -> dict:
    return dict(calculate_student_loss=False)


@pytest.mark.parametrize(
    "settings", [unlike_inputs, unlike_widths, of_another_library, without_its_own_loss]
)
@pytest.mark.parametrize("kind", KINDS)
def test_other_networks_and_batches(settings, kind):
    model, whole, single = build(**settings()), data(), data(whole=False)
    with fake_device() as device:
        device.put(model, kind)
        step(model, device, whole, kind)
        step(model, device, single, kind)


@pytest.mark.parametrize("kind", KINDS)
def test_images_with_several_labels(kind):
    head = dict(
        type="mmpretrain.MultiLabelLinearClsHead",
        loss=dict(type="mmpretrain.CrossEntropyLoss", use_sigmoid=True),
    )
    student, teacher = (classifier(depth, **head) for depth in (8, 14))
    distiller = method("kd")["distiller"]
    distiller["distill_losses"]["loss_kd"] = dict(
        type="pckd_mm.PreviewKLDivergence", use_sigmoid=True
    )
    model = build("kd", student, teacher, distiller=distiller)
    batch = data(4, whole=False)
    for sample in batch["data_samples"]:
        sample.set_gt_label([1, 2])
    with fake_device() as device:
        device.put(model, kind)
        step(model, device, batch, kind)


def test_a_probe_of_frozen_features():
    probe = dict(classifier(8), type="pckd_mm.LinearProbe")
    model, batch = MODELS.build(probe), data()
    model.data_preprocessor = build("kd").data_preprocessor
    with fake_device() as device:
        device.put(model, "cuda")
        losses = model(**model.data_preprocessor(batch, True), mode="loss")
        assert devices(losses.values()) == {"cuda"}
        assert device.waits == []


def test_hooks_of_a_step_wait_for_nothing():
    class Runner:
        iter, train_dataloader, model = 0, [None] * 5, build()
        train_loop = None

    hooks, batch = [DeferredRuntimeInfoHook(), PreviewRecordHook()], data()
    with fake_device() as device:
        model = device.put(Runner.model, "cuda")
        losses = model(**model.data_preprocessor(batch, True), mode="loss")
        for hook in hooks:
            hook.after_train_iter(Runner, 0, outputs=model.parse_losses(losses)[1])
        assert device.waits == []


@pytest.mark.parametrize("kind", [torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW])
def test_a_fused_optimizer_updates_on_the_device(kind, monkeypatch):
    skip_without_fakes()
    taken = []  # by SGD's kernel, which torch has for numbers only
    monkeypatch.setattr(torch, "_fused_sgd_", lambda *args, **_: taken.extend(args))
    model = build("kd")
    with fake_device() as device:
        device.put(model, "cuda")
        settings = dict(momentum=0.9) if kind is torch.optim.SGD else {}
        optimizer = kind(model.parameters(), lr=0.1, **settings)
        for fused in (False, True):  # as after a resumed run without the option
            restore_kernel(optimizer)
            if fused:
                assert use_fused_kernel(optimizer, torch.device("cuda"))
            for parameter in model.parameters():
                parameter.grad = torch.zeros_like(parameter)
            device.waits.clear()
            optimizer.step()
            assert device.waits == []
        states = [list(state.values()) for state in optimizer.state.values()]
        tensors = [x for x in tree_flatten((states, taken))[0] if torch.is_tensor(x)]
        assert len(states) == len(list(model.parameters()))
        assert devices(tensors) == {"cuda"}
    assert bool(taken) == (kind is torch.optim.SGD)


def test_folding_the_teacher_stays_on_the_device():
    model, batch = build(), data()
    with fake_device() as device:
        device.put(model, "cuda")
        ready = model.data_preprocessor(dict(batch), True)
        with torch.no_grad():
            assert model.fold_teacher(lambda: model(**ready, mode="loss")) > 0
        step(model, device, batch, "cuda")


FAILS = {
    "a product": lambda x: x @ torch.zeros(3, 3),
    "one beside the other": lambda x: torch.cat([x, torch.zeros(3, 3)]),
    "a number": lambda x: float(x.sum()),
    "a decision": lambda x: bool((x > 0).all()),
    "a count": lambda x: (x > 0).nonzero(),
    "a mask": lambda x: x[x > 0],
}
WAITS = {
    "a copy to the host": lambda x: x.cpu(),
    "a copy to the device": lambda x: torch.zeros(3).to(x.device),
    "an index on the host": lambda x: x[torch.zeros(2, dtype=torch.long)],
}


@pytest.mark.parametrize("kind", KINDS)
def test_what_would_fail_or_wait_on_a_gpu_is_found(kind):
    with fake_device() as device:
        values = pin(torch.zeros(3, 3)).to(kind, non_blocking=True)
        assert device.waits == []
        for fails in FAILS.values():
            with pytest.raises((RuntimeError, NotImplementedError)):
                fails(values)
        for name, wait in WAITS.items():
            device.waits.clear()
            wait(values)
            assert device.waits == [name]


def test_bfloat16_is_what_a_gpu_would_take():
    with fake_device():
        values = torch.zeros(3, 3, device="cuda")
        with torch.autocast("cuda", dtype=torch.bfloat16):
            assert (values @ values).dtype == torch.bfloat16
