"""FitCheckpointHook, and what distillations do by themselves: all checkpoints of a
student are taken for it, however they are asked for."""

import glob
from typing import Optional

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.runner import EpochBasedTrainLoop, Runner

from pckd_mm.compat import weights_only_loading
from pckd_mm.engine.guards import use_guards
from pckd_mm.registry import MODELS
from pckd_mm.utils.checkpoint import read_checkpoint
from tests.builders import image_folder, run_config

PCKD = "pckd/cifar100_resnet20_resnet8_30e.py"
PLAIN = "vanilla/cifar100_resnet8.py"
WAYS = ["load_from", "model.init_cfg", "architecture.init_cfg"]
# What the log file says of each checkpoint, asked for in each of these ways, and by a
# plain network: MMEngine takes "module." away by itself.
IN_FRONT, BEHIND = (
    "names with 'architecture.' in front",
    "names without 'architecture.'",
)
SAID = {
    "student": (IN_FRONT, IN_FRONT, None),
    "bare": (IN_FRONT, IN_FRONT, None),
    "elsewhere": ("taken from model in", "taken from model in", "taken from model in"),
    "distillation": (None, None, BEHIND),
    "ddp of a distillation": (None, None, BEHIND),
}


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return image_folder(tmp_path_factory.mktemp("images"), images=2)


@pytest.fixture
def loaded(monkeypatch):
    """The student's weights where training begins, and the log file."""

    def begin(cfg) -> tuple:
        with weights_only_loading():
            runner = Runner.from_cfg(cfg)
            runner.train()
        (path,) = glob.glob(f"{cfg.work_dir}/*/*.log")
        student = getattr(runner.model, "student", runner.model)
        with open(path) as file:
            return dict(student.named_parameters()), file.read()

    monkeypatch.setattr(EpochBasedTrainLoop, "run", lambda loop: loop.runner.model)
    # Both take seconds.
    monkeypatch.setattr(Runner, "dump_config", lambda runner: None)
    monkeypatch.setattr(Config, "pretty_text", "")
    return begin


def config(path, images, work_dir, guards=True, classes=3):
    """One epoch in which no weight changes."""
    cfg = run_config(path, images, work_dir, classes=classes)
    if "architecture" in cfg.model:
        cfg.model.teacher_ckpt = None
        cfg.model.teacher.backbone.depth = 8
    cfg.train_cfg.max_epochs = 1
    cfg.optim_wrapper.optimizer.lr = 0.0
    if guards:
        use_guards(cfg)
    return cfg


def checkpoint(kind: str, images, folder, classes=3) -> tuple:
    """A file, and the student's weights in it."""
    distils = "distillation" in kind
    cfg = config(PCKD if distils else PLAIN, images, folder, classes=classes)
    torch.manual_seed(7)
    with DefaultScope.overwrite_default_scope("mmpretrain"):
        model = MODELS.build({**cfg.model, "data_preprocessor": cfg.data_preprocessor})
    for weight in model.parameters():
        torch.nn.init.normal_(weight)
    state = model.state_dict()
    if kind.startswith("ddp"):
        state = {f"module.{name}": value for name, value in state.items()}
    content = dict(state_dict=state, meta=dict(epoch=1))
    if kind == "bare":
        content = state
    elif kind == "elsewhere":
        content = dict(model={f"module.{k}": v for k, v in state.items()}, epoch=3)
    path = folder / "given.pth"
    torch.save(content, path)
    return str(path), (model.student if distils else model).state_dict()


def ask(cfg, way: str, path: str) -> None:
    init_cfg = dict(type="Pretrained", checkpoint=path)
    if way == "load_from":
        cfg.load_from = path
    elif way == "model.init_cfg":
        cfg.model.init_cfg = init_cfg
    else:
        cfg.model.architecture.init_cfg = init_cfg


def check_said(log: str, said: Optional[str], source: str) -> None:
    lines = [line for line in log.splitlines() if "is loaded into the" in line]
    assert len(lines) == (said is not None)
    for line in lines:
        assert source in line and said in line


@pytest.mark.parametrize("kind", SAID)
@pytest.mark.parametrize("way", range(3), ids=WAYS)
def test_a_distillation_takes_every_checkpoint_of_its_student(
    images, tmp_path, loaded, way, kind
):
    path, expected = checkpoint(kind, images, tmp_path)
    # Neighbours' runners have no hook of ours.
    cfg = config(PCKD, images, tmp_path, guards=kind != "bare")
    ask(cfg, WAYS[way], path)
    found, log = loaded(cfg)
    for name, value in found.items():
        assert torch.equal(value, expected[name]), name
    check_said(log, SAID[kind][way], path if kind != "bare" else "")


@pytest.mark.parametrize("kind", SAID)
@pytest.mark.parametrize("way", WAYS[:2])
def test_a_plain_network_does_so_too(images, tmp_path, loaded, way, kind):
    path, expected = checkpoint(kind, images, tmp_path)
    cfg = config(PLAIN, images, tmp_path)
    ask(cfg, way, path)
    found, log = loaded(cfg)
    for name, value in found.items():
        assert torch.equal(value, expected[name]), name
    check_said(log, SAID[kind][2], path)


@pytest.mark.parametrize("config_of", [PCKD, PLAIN])
def test_another_number_of_classes_is_told(images, tmp_path, loaded, config_of):
    path, expected = checkpoint("student", images, tmp_path, classes=5)
    cfg = config(config_of, images, tmp_path)
    cfg.load_from = path
    found, log = loaded(cfg)
    for name, value in found.items():
        if name.startswith("backbone"):
            assert torch.equal(value, expected[name]), name
    (line,) = [line for line in log.splitlines() if "does not wholly fit" in line]
    assert "WARNING" in line and f"load_from={path} does not wholly" in line
    assert "head.fc.weight is (5, 16) instead of (3, 16)" in line


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("guards", [True, False])
def test_what_does_not_fit_is_refused(images, tmp_path, loaded, way, guards):
    path = tmp_path / "given.pth"
    torch.save({"state_dict": {"other.weight": torch.zeros(3)}}, path)
    cfg = config(PCKD, images, tmp_path, guards=guards)
    ask(cfg, way, str(path))
    network = "ImageClassifier" if "arch" in way else "MultiViewDistill"
    name = f"init_cfg.checkpoint={path}"
    if way == "load_from":
        name = f"load_from={path}" if guards else "The checkpoint"
    with pytest.raises(ValueError, match=f"{name} does not fit the {network}: of"):
        loaded(cfg)


def test_averages_begin_with_what_was_loaded(images, tmp_path):
    path, expected = checkpoint("elsewhere", images, tmp_path)
    cfg = config(PCKD, images, tmp_path)
    cfg.custom_hooks = [dict(type="EMAHook")]
    cfg.load_from = path
    with weights_only_loading():
        Runner.from_cfg(cfg).train()
    saved = read_checkpoint(str(tmp_path / "epoch_1.pth"))
    for part in ("state_dict", "ema_state_dict"):
        (head,) = (v for k, v in saved[part].items() if k.endswith("head.fc.weight"))
        assert torch.allclose(head, expected["head.fc.weight"]), part


def test_resuming_stays_exact(images, tmp_path, loaded):
    path, _ = checkpoint("student", images, tmp_path)
    cfg = config(PCKD, images, tmp_path)
    cfg.resume, cfg.load_from = True, path
    with pytest.raises(ValueError, match="to be resumed from does not fit"):
        loaded(cfg)


def test_a_network_of_timm_keeps_the_weights_it_was_made_with(images, tmp_path, loaded):
    """MMEngine would draw them anew, in a plain run as in a distillation."""
    timm = pytest.importorskip("timm", reason="the extra zoo")
    made = timm.create_model("resnet10t", num_classes=3)
    torch.save(made.state_dict(), tmp_path / "made.pth")
    cfg = config(PLAIN, images, tmp_path / "run")
    cfg.model = dict(
        type="mmpretrain.TimmClassifier",
        model_name="resnet10t",
        num_classes=3,
        checkpoint_path=str(tmp_path / "made.pth"),
        loss=dict(type="mmpretrain.CrossEntropyLoss"),
    )
    weights, _ = loaded(cfg)
    for name, weight in made.named_parameters():
        assert torch.equal(weights[f"model.{name}"], weight)
