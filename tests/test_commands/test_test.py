"""What pckd test takes: configs and checkpoints of students and distillations."""

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope

from pckd_mm.commands import test
from pckd_mm.registry import MODELS
from pckd_mm.utils.checkpoint import export_student
from tests.builders import CONFIGS

ALONE = "vanilla/digits_resnet8_thin.py"
PCKD, KD = (f"{method}/digits_resnet20_resnet8_thin.py" for method in ("pckd", "kd"))


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    """Of a distillation, as DDP would save it, and its student, alone or compiled."""
    folder = tmp_path_factory.mktemp("checkpoints")
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope("mmpretrain"):
        model = MODELS.build(Config.fromfile(CONFIGS / PCKD).model)
    model.student.init_weights()
    state = {f"module.{name}": value for name, value in model.state_dict().items()}
    whole, student = folder / "epoch_1.pth", folder / "student.pth"
    meta = dict(epoch=1)
    torch.save(dict(meta=meta, state_dict=model.state_dict()), whole)
    torch.save(dict(meta=meta, state_dict=state), folder / "of_ddp.pth")
    export_student(str(whole), str(student))
    compiled = {f"_orig_mod.{k}": v for k, v in model.student.state_dict().items()}
    average = {name: value + 1 for name, value in compiled.items()}
    torch.save(dict(model=compiled, state_dict_ema=average), folder / "elsewhere.pth")
    return folder


def run(tmp_path, config: str, checkpoint) -> dict:
    cfg = Config.fromfile(CONFIGS / config)
    cfg.test_dataloader.dataset.dataset.indices = 90
    cfg.work_dir, cfg.load_from = str(tmp_path), str(checkpoint)
    cfg.experiment_name = f"{config}{checkpoint}".replace("/", "_")
    return test.test(cfg)


def test_any_config_tests_the_student_of_any_checkpoint(checkpoints, tmp_path):
    found = {
        (config, name): run(tmp_path, config, checkpoints / f"{name}.pth")
        for config, name in [
            (ALONE, "student"),
            (ALONE, "epoch_1"),
            (ALONE, "elsewhere"),
            (PCKD, "epoch_1"),
            (PCKD, "of_ddp"),
            (PCKD, "student"),
            (KD, "student"),
            (KD, "epoch_1"),  # KD has no connectors, PCKD has
        ]
    }
    logs = "".join(path.read_text() for path in tmp_path.glob("*/*.log"))
    assert (
        "elsewhere.pth is loaded into the ImageClassifier: taken from model in the "
        "file (beside state_dict_ema); names without _orig_mod."
    ) in logs
    assert "student.pth is loaded into" not in logs
    first = found[ALONE, "student"]
    assert first["accuracy/top1"] > 0
    assert found == dict.fromkeys(found, first)


def test_settings_of_hooks_that_training_adds(checkpoints, tmp_path):
    """As a comparison of detectors hands them to the test of its teacher."""
    plain = run(tmp_path / "plain", ALONE, checkpoints / "student.pth")
    cfg = Config.fromfile(CONFIGS / ALONE)
    cfg.default_hooks.non_finite = dict(action="skip")
    cfg.default_hooks.broken_files = dict(most=0.3)
    cfg.test_dataloader.dataset.dataset.indices = 90
    cfg.work_dir, cfg.experiment_name = str(tmp_path), "settings_alone"
    cfg.load_from = str(checkpoints / "student.pth")
    assert test.test(cfg) == plain


@pytest.mark.parametrize("config", [ALONE, PCKD])
def test_a_checkpoint_that_fits_neither(tmp_path, config):
    """The teacher's: the tensors are named, and what to do."""
    teacher = tmp_path / "teacher.pth"
    with DefaultScope.overwrite_default_scope("mmpretrain"):
        model = MODELS.build(Config.fromfile(CONFIGS / PCKD).model.teacher)
    torch.save(dict(state_dict=model.state_dict()), teacher)
    expected = (
        r"The checkpoint \S*teacher\.pth does not fit the ImageClassifier in \d+ "
        r"tensors: .*backbone\..*: test it with the config that trained it\.$"
    )
    with pytest.raises(ValueError, match=r"^" + expected) as caught:
        run(tmp_path, config, teacher)
    assert "\n" not in str(caught.value)
