"""Each speed-up leaves the result of a run as it is, to the stated tolerance."""

import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.logging import MessageHub
from mmengine.model import MMDistributedDataParallel
from mmengine.optim import OptimWrapper, OptimWrapperDict
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from mmpretrain.structures import DataSample
from torch import nn
from torch.utils.data import DataLoader

from pckd_mm.compat import end_process_group
from pckd_mm.engine import BFloat16OptimWrapper, run_networks
from pckd_mm.engine.hooks import SharedTeacherHook, SpeedUpHook, speed_up_hook
from pckd_mm.engine.teacher_loop import TeacherLoop
from pckd_mm.engine.trial import Trial
from pckd_mm.registry import MODELS
from tests.builders import build_pckd, classifier, image_folder, run_config
from tests.test_utils.test_fused_optimizer import needs_fused

PCKD = "pckd/cifar100_resnet20_resnet8_30e.py"
PLAIN = dict(channels_last=False, keep_memory=False)
WIDE = (8, 8, 8, 16)  # no convolution that channels last is unsafe for


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return image_folder(tmp_path_factory.mktemp("images"))


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    """A checkpoint whose BatchNorms do something, as after a training."""
    torch.manual_seed(0)
    model = MODELS.build(classifier(20, classes=3, width=WIDE))
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            for name in ("running_mean", "running_var", "weight", "bias"):
                nn.init.uniform_(getattr(module, name), 0.5, 1.5)
    path = tmp_path_factory.mktemp("teacher") / "teacher.pth"
    torch.save(dict(state_dict=model.state_dict()), path)
    return path


def trained(images, teacher, work_dir, **options) -> nn.Module:
    """Weights after 4 steps of a run."""
    cfg = run_config(PCKD, images, work_dir)
    cfg.model.teacher_ckpt = str(teacher)
    cfg.train_cfg.max_epochs = 1
    cfg.optim_wrapper.optimizer.lr = 0.01
    for network in (cfg.model.architecture, cfg.model.teacher):
        network.backbone.width = WIDE
    cfg.default_hooks.speed_up.update(options)
    runner = Runner.from_cfg(cfg)
    return runner.train()


@pytest.fixture(scope="module")
def plain(images, teacher, tmp_path_factory):
    return trained(images, teacher, tmp_path_factory.mktemp("plain"), **PLAIN)


@pytest.mark.parametrize(
    "option, tolerance",
    [
        (dict(), 0),
        (dict(keep_memory=True), 0),
        (dict(data_on_device=True), 0),
        (dict(channels_last=True), 1e-3),
        (dict(channels_last="auto"), 1e-3),
        (dict(fold_teacher=True), 1e-3),
        (dict(fused_optimizer=True), 1e-5),
        (dict(compile=dict(backend="aot_eager")), 1e-5),
    ],
    ids=str,
)
def test_weights_are_those_of_the_plain_run(
    images, teacher, plain, tmp_path, option, tolerance
):
    found = trained(images, teacher, tmp_path, **{**PLAIN, **option})
    expected = plain.state_dict()
    assert found.state_dict().keys() == expected.keys()
    for name, value in found.state_dict().items():
        difference = (value - expected[name]).double().norm()
        assert difference <= tolerance * expected[name].double().norm(), name


def loader(images: int = 6) -> DataLoader:
    """Plain images of three classes, in one batch."""
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(256, (images, 3, 8, 8), generator=generator)
    items = [
        dict(inputs=image, data_samples=DataSample().set_gt_label(index % 3))
        for index, image in enumerate(pixels.to(torch.uint8))
    ]
    return DataLoader(items, batch_size=images, collate_fn=pseudo_collate)


def before_train(model, hook, optim_wrapper=None, hub=None, hooks=(), loop=None) -> str:
    """Let a hook begin; what it says in the log."""

    class FakeRunner:
        pass

    fake = FakeRunner()
    fake.model, fake.iter, fake.max_iters = model, 0, 1
    fake.train_dataloader = loader()
    fake.train_loop, fake.hooks = loop, hooks
    fake.message_hub = hub or MessageHub("test")
    if optim_wrapper is None:
        optim_wrapper = OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.1))
    fake.optim_wrapper = optim_wrapper
    said = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(speed_up_hook, "print_log", lambda text, **to: said.append(text))
        hook.before_train(fake)
    (line,) = said
    return line


def is_channels_last(model: nn.Module) -> bool:
    weights = [p for p in model.parameters() if p.ndim == 4 and p.shape[1] > 1]
    assert weights
    return all(w.is_contiguous(memory_format=torch.channels_last) for w in weights)


def pair():
    return build_pckd(classifier(8, width=WIDE), classifier(14, width=WIDE))


def takes(
    monkeypatch,
    plain: float,
    channels_last: float,
    compiled: float = 1.0,
    folded: float = 1.0,
    bfloat16: float = 1.0,
    fused: float = 1.0,
):
    """Let passes take these seconds, and times as many where they are compiled etc."""

    def seconds(self, inputs):
        is_plain = inputs.is_contiguous() and not is_channels_last(self.network)
        taken = plain if is_plain else channels_last
        if self.network.backbone._compiled_call_impl is not None:
            taken *= compiled
        if not any(isinstance(m, nn.BatchNorm2d) for m in self.network.modules()):
            taken *= folded
        with self.context():
            is_cast = (torch.ones(1, 1) @ torch.ones(1, 1)).dtype == torch.bfloat16
        return taken * bfloat16 if is_cast else taken

    def update(optimizer):
        return plain * (fused if optimizer.param_groups[0].get("fused") else 1.0)

    monkeypatch.setattr(Trial, "seconds", seconds)
    monkeypatch.setattr(run_networks, "update", update)


@needs_fused
def test_the_log_says_what_is_on(monkeypatch):
    takes(monkeypatch, plain=0.25, channels_last=0.2)
    hook = SpeedUpHook(
        keep_memory=False,
        channels_last="auto",
        fused_optimizer=True,
        fold_teacher=True,
        compile=dict(backend="eager"),
        data_on_device=True,
    )
    assert before_train(pair(), hook) == (
        "Speed-ups: keep_memory: off, not asked for; data_on_device: off in training, "
        "the images of list are not in memory; channels_last: on in the student (a "
        "pass takes 200 ms with it, 250 without), on in the teacher (a pass takes "
        "200 ms with it, 250 without); fold_teacher: on, 15 BatchNorms of the teacher "
        "folded; fused_optimizer: on in SGD; compile: on in backbone of the student, "
        "on in backbone of the teacher; precision: float32, by OptimWrapper."
    )


def test_the_log_says_what_is_not_on_and_why():
    model = MODELS.build(classifier(8))
    rmsprop = OptimWrapper(torch.optim.RMSprop(model.parameters()))
    hook = SpeedUpHook(keep_memory=False, fold_teacher=True, fused_optimizer=True)
    assert before_train(model, hook, rmsprop) == (
        "Speed-ups: keep_memory: off, not asked for; data_on_device: off, not asked "
        "for; channels_last: off, not asked for; fold_teacher: off, there is no "
        "teacher to fold; fused_optimizer: off in RMSprop, of which torch has no fused "
        "kernel on cpu; compile: off, not asked for; precision: float32, by "
        "OptimWrapper."
    )
    line = before_train(model, SpeedUpHook(keep_memory=False))
    assert line.count("off, not asked for") == 6


def test_the_log_says_what_is_slower(monkeypatch):
    takes(monkeypatch, plain=0.2, channels_last=0.3, compiled=2.0)
    model = MODELS.build(classifier(8, width=WIDE))
    hook = SpeedUpHook(
        keep_memory=False, channels_last=True, compile=dict(backend="eager")
    )
    line = before_train(model, hook)
    assert (
        "channels_last: on in the ImageClassifier (though slower: a pass takes 300 ms "
        "with it, 200 without); " in line
    )
    assert (
        "compile: on in backbone of the ImageClassifier (slower: a pass takes 600 ms "
        "with it, 300 without); " in line
    )


@needs_fused
def test_the_log_says_what_else_is_slower(monkeypatch):
    fast = "pckd_mm.engine.bfloat16_optim_wrapper.has_fast_bfloat16"
    monkeypatch.setattr(fast, lambda: True)

    def begin(**times) -> str:
        takes(monkeypatch, plain=0.2, channels_last=0.2, **times)
        model = pair()
        hook = SpeedUpHook(keep_memory=False, fold_teacher=True, fused_optimizer=True)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        return before_train(model, hook, BFloat16OptimWrapper(optimizer=optimizer))

    words = "(slower: a pass takes 300 ms with it, 200 without)"
    of_update = words.replace("a pass", "an update")
    assert f"15 BatchNorms of the teacher folded {words}; " in begin(folded=1.5)
    assert f"fused_optimizer: on in SGD {of_update}; " in begin(fused=1.5)
    assert (
        f"; precision: bfloat16 {words} in the student {words} in the teacher, by "
        "BFloat16OptimWrapper."
    ) in begin(bfloat16=1.5)
    assert "slower" not in begin(folded=0.9, fused=0.9, bfloat16=0.9)


def test_no_room_for_float32_does_not_end_a_run(monkeypatch):
    fast = "pckd_mm.engine.bfloat16_optim_wrapper.has_fast_bfloat16"
    monkeypatch.setattr(fast, lambda: True)
    takes(monkeypatch, plain=0.2, channels_last=0.2)
    seconds = Trial.seconds

    def needs_room(self, inputs):
        with self.context():
            if not torch.is_autocast_cpu_enabled():
                raise torch.cuda.OutOfMemoryError("tried to allocate")
        return seconds(self, inputs)

    monkeypatch.setattr(Trial, "seconds", needs_room)
    model = MODELS.build(classifier(8, width=WIDE))
    wrapper = BFloat16OptimWrapper(optimizer=torch.optim.SGD(model.parameters(), 0.1))
    line = before_train(model, SpeedUpHook(keep_memory=False), wrapper)
    assert (
        "precision: bfloat16 (not timed: its passes fail, OutOfMemoryError: tried to "
        "allocate) in the ImageClassifier, by BFloat16OptimWrapper"
    ) in line


@needs_fused
def test_updates_are_tried_on_copies(monkeypatch):
    model = MODELS.build(classifier(8, width=WIDE))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, weight_decay=0.1)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    tried, update = [], run_networks.update

    def noting(optimizer):
        tried.append(optimizer.param_groups[0]["fused"])
        return update(optimizer)

    monkeypatch.setattr(run_networks, "update", noting)
    hook = SpeedUpHook(keep_memory=False, fused_optimizer=True)
    line = before_train(model, hook, OptimWrapper(optimizer))
    assert "fused_optimizer: on in SGD" in line and "not timed" not in line
    assert {bool(fused) for fused in tried} == {True, False}
    assert not optimizer.state and optimizer.param_groups[0]["fused"] is True
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert all(parameter.grad is None for parameter in model.parameters())


def test_checkpointed_networks_are_timed():
    backbone = dict(
        type="mmpretrain.ResNet",
        depth=18,
        base_channels=8,
        stem_channels=8,
        with_cp=True,
    )
    head = dict(type="mmpretrain.LinearClsHead", num_classes=3, in_channels=64)
    neck = dict(type="mmpretrain.GlobalAveragePooling")
    model = MODELS.build(
        dict(type="mmpretrain.ImageClassifier", backbone=backbone, neck=neck, head=head)
    )
    # Checkpoints in what is compiled: torch 2.15 bears them by each backend but
    # "eager", and torch 2.1 by that one alone.
    backend = "eager" if torch.__version__ < (2, 2) else "aot_eager"
    hook = SpeedUpHook(
        keep_memory=False, channels_last=True, compile=dict(backend=backend)
    )
    line = before_train(model, hook)
    assert "channels_last: on in the ImageClassifier (" in line
    assert "cannot be tried" not in line and "not timed" not in line
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize(
    "wrapper, fast, expected",
    [
        (BFloat16OptimWrapper, True, "bfloat16, by"),
        (BFloat16OptimWrapper, False, "float32, since this CPU has no instructions"),
    ],
)
def test_the_log_says_what_is_computed_in(wrapper, fast, expected, monkeypatch):
    monkeypatch.setattr(
        "pckd_mm.engine.bfloat16_optim_wrapper.has_fast_bfloat16", lambda: fast
    )
    takes(monkeypatch, plain=0.2, channels_last=0.2)
    model = MODELS.build(classifier(8))
    wrapper = wrapper(optimizer=torch.optim.SGD(model.parameters(), lr=0.1))
    line = before_train(model, SpeedUpHook(keep_memory=False), wrapper)
    assert f"; precision: {expected}" in line
    assert line.endswith("by BFloat16OptimWrapper.")


def test_classifiers_get_channels_last():
    model = pair()
    before_train(model, SpeedUpHook(keep_memory=False, channels_last=True))
    assert is_channels_last(model.student) and is_channels_last(model.teacher)
    batch = next(iter(loader()))
    for training in (True, False):
        inputs = model.data_preprocessor(batch, training)["inputs"]
        assert inputs.is_contiguous(memory_format=torch.channels_last)
        assert not inputs.is_contiguous()
    plain = MODELS.build(classifier(8, width=WIDE))
    before_train(plain, SpeedUpHook(keep_memory=False, channels_last=True))
    assert is_channels_last(plain)


def test_channels_last_is_not_for_thin_networks_on_a_cpu():
    # The student has a convolution of kernel 1, stride 2 and 4 channels.
    model = build_pckd(
        classifier(8, width=(4, 4, 8, 16)), classifier(14, width=(8, 8, 8, 16))
    )
    for wanted in (True, "auto"):
        line = before_train(model, SpeedUpHook(keep_memory=False, channels_last=wanted))
        assert (
            "off in the student (it has backbone.layer2.0.downsample.0, a convolution "
            "of kernel 1, stride 2 and 4 input channels, which is not safe on a CPU)"
        ) in line
        assert not is_channels_last(model.student)
        batch = next(iter(loader()))
        assert model.data_preprocessor(batch, True)["inputs"].is_contiguous()


@pytest.mark.parametrize(
    "parts, here, other, folded",
    [
        (
            dict(hooks=[SharedTeacherHook]),
            *("the student", "the teacher", "off, another process runs the teacher"),
        ),
        (
            dict(loop=TeacherLoop),
            *("the teacher", "the student", "on, 15 BatchNorms of the teacher folded"),
        ),
    ],
    ids=["SharedTeacherHook", "TeacherLoop"],
)
def test_what_another_process_runs_is_left_alone(
    parts, here, other, folded, monkeypatch
):
    model, ran = pair(), []
    seconds = Trial.seconds

    def noting(self, inputs):
        ran.append(self.network)
        return seconds(self, inputs)

    monkeypatch.setattr(Trial, "seconds", noting)
    eager = dict(compile=dict(backend="eager"), fold_teacher=True, channels_last="auto")
    wrapper = BFloat16OptimWrapper(
        optimizer=torch.optim.SGD(model.parameters(), lr=0.1), force=True
    )
    line = before_train(
        model, SpeedUpHook(keep_memory=False, **eager), wrapper, **parts
    )
    assert f"on in backbone of {here}" in line
    assert f"off in {other}, which another process runs" in line
    assert f"fold_teacher: {folded}" in line
    networks = {"the student": model.student, "the teacher": model.teacher}
    assert set(ran) == {networks[here]}


def test_thin_networks_are_not_compiled_by_inductor_on_a_cpu(monkeypatch):
    # Which lays tensors with channels last there.
    takes(monkeypatch, plain=0.1, channels_last=0.1)
    model = build_pckd(classifier(8, width=(4, 4, 8, 16)), classifier(14, width=WIDE))
    found = []
    for compile in (True, dict(backend="inductor"), dict(mode="reduce-overhead")):
        found.clear()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(
                speed_up_hook,
                "compile_network",
                lambda network, **settings: found.append(network) or ["backbone"],
            )
            line = before_train(model, SpeedUpHook(compile=compile))
        assert found == [model.teacher]
        assert "compile: off in the student (it has backbone.layer2.0.downsam" in line
        assert "channels last, as compiled networks have it), on in backbone" in line
    line = before_train(model, SpeedUpHook(compile=dict(backend="eager")))
    assert "compile: on in backbone of the student, on in backbone of the tea" in line


def test_a_resumed_run_keeps_what_was_measured(monkeypatch):
    hub = MessageHub("resumed")

    def begin(plain, channels_last):
        takes(monkeypatch, plain, channels_last)
        model = pair()
        line = before_train(model, SpeedUpHook("auto", keep_memory=False), hub=hub)
        return is_channels_last(model.student), line

    assert begin(0.2, 0.1)[0]
    chosen = {"the student": True, "the teacher": True}
    assert hub.runtime_info["channels_last"] == chosen
    on, line = begin(0.1, 0.2)
    assert on and "on in the student (as in the run that is resumed)" in line


def test_a_network_that_cannot_be_tried_is_trained_all_the_same():
    model = MODELS.build(classifier(8, width=WIDE))

    def fails(module, inputs):
        raise RuntimeError("in training only")

    model.head.register_forward_pre_hook(fails)
    hook = SpeedUpHook(channels_last=True, compile=dict(backend="eager"))
    line = before_train(model, hook)
    assert "channels_last: off, two images alone fail (RuntimeError: in trai" in line
    assert (
        "compile: on in backbone of the ImageClassifier (not timed: its passes fail, "
        "RuntimeError: in training only); "
    ) in line


def test_compiled_passes_that_fail_are_told_and_left_to_a_step(monkeypatch):
    takes(monkeypatch, plain=0.2, channels_last=0.2)
    seconds = Trial.seconds

    def fails(self, inputs):
        if self.network.backbone._compiled_call_impl is not None:
            raise RuntimeError("no compiler\nhere")
        return seconds(self, inputs)

    monkeypatch.setattr(Trial, "seconds", fails)
    model = MODELS.build(classifier(8, width=WIDE))
    line = before_train(model, SpeedUpHook(compile=dict(backend="eager")))
    assert (
        "compile: on in backbone of the ImageClassifier (not timed: its passes fail, "
        "RuntimeError: no compiler); "
    ) in line


def test_what_channels_last_may_be():
    with pytest.raises(ValueError, match="channels_last='on'; expected True, False or"):
        SpeedUpHook(channels_last="on")


def test_weights_of_ddp_keep_their_layout(tmp_path):
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1
    )
    try:
        model = pair()
        wrapped = MMDistributedDataParallel(model, device_ids=None)
        line = before_train(wrapped, SpeedUpHook(keep_memory=False, channels_last=True))
        assert not is_channels_last(model.student)
        assert is_channels_last(model.teacher)
        assert "on in the student, by its inputs" in line
        inputs = model.data_preprocessor(next(iter(loader())), True)["inputs"]
        assert not inputs.is_contiguous()
    finally:
        end_process_group()


def test_detectors_keep_their_layout_and_are_not_compiled_for_each_size():
    pytest.importorskip("mmdet.models", exc_type=ImportError)
    from tests.builders import detector

    with DefaultScope.overwrite_default_scope("mmdet"):
        model = MODELS.build(Config(detector())._cfg_dict)
    before_train(
        model, SpeedUpHook(keep_memory=False, channels_last=True, compile=True)
    )
    assert not is_channels_last(model)
    assert model.backbone._compiled_call_impl is None
    hook = SpeedUpHook(compile=dict(dynamic=True, backend="eager"))
    before_train(model, hook)
    assert model.backbone._compiled_call_impl is not None


@pytest.mark.parametrize("device, expected", [("cpu", [1]), ("meta", [])])
def test_memory_is_kept_on_the_cpu_only(monkeypatch, device, expected):
    called = []
    monkeypatch.setattr(speed_up_hook, "keep_freed_memory", lambda: called.append(1))
    before_train(nn.Conv2d(3, 4, 3, device=device), SpeedUpHook())
    assert called == expected


def test_teachers_without_folding_are_no_error():
    before_train(nn.Conv2d(3, 4, 3), SpeedUpHook(fold_teacher=True, keep_memory=False))


@needs_fused
def test_a_checkpoint_does_not_decide_how_the_optimizer_works():
    model = nn.Conv2d(3, 4, 3)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, foreach=True)
    optimizer.param_groups[0].update(fused=True, foreach=False)  # of a run with --fast
    before_train(model, SpeedUpHook(keep_memory=False), OptimWrapper(optimizer))
    group = optimizer.param_groups[0]
    assert group["foreach"] is True and not group["fused"]


@needs_fused
def test_several_optimizers_are_fused():
    model = nn.ModuleDict(dict(a=nn.Linear(2, 2), b=nn.Linear(2, 2)))
    optimizers = {
        name: torch.optim.Adam(part.parameters()) for name, part in model.items()
    }
    wrapper = OptimWrapperDict(
        **{name: OptimWrapper(optimizer) for name, optimizer in optimizers.items()}
    )
    hook = SpeedUpHook(keep_memory=False, fused_optimizer=True)
    before_train(model, hook, wrapper)
    for optimizer in optimizers.values():
        assert optimizer.param_groups[0]["fused"] is True
