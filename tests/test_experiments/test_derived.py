"""What a distillation is compared with does not depend on its own method."""

import pytest

from pckd_mm.experiments import ExperimentError
from pckd_mm.experiments.derived import derive_runs
from pckd_mm.utils.config import load_config

PAIR = "configs/{}/cifar100_resnet20_resnet8_6e.py"
METHODS = ("kd", "dist", "crd", "pckd")


def models(config, folder):
    runs = derive_runs(str(config), METHODS, folder).runs
    return {name: load_config(path).model.to_dict() for name, path in runs.items()}


def weight_of(student):
    return student["head"].get("loss", {}).get("loss_weight", 1.0)


@pytest.mark.parametrize("method", METHODS)
def test_weights_of_the_students_own_loss(method, tmp_path):
    """KD alone weighs the cross-entropy by 0.1."""
    found = models(PAIR.format(method), tmp_path)
    alone = found.pop("student alone")
    weights = {n: weight_of(model["architecture"]) for n, model in found.items()}
    assert weights == {"KD": 0.1, "DIST": 1, "CRD": 1, "PCKD": 1}
    assert weight_of(alone) == 1


def test_a_method_of_ones_own_is_told_of_the_weight_that_stays(tmp_path, capsys):
    cfg = load_config(PAIR.format("kd"))
    losses = cfg.model.distiller.distill_losses
    losses.loss_kd.type = "DISTLoss"
    cfg.dump(tmp_path / "mine.py")
    found = models(tmp_path / "mine.py", tmp_path / "derived")
    assert weight_of(found["student alone"]) == 0.1
    assert "has loss_weight=0.1 for the student's own loss" in capsys.readouterr().out
    models(PAIR.format("kd"), tmp_path / "others")
    assert "loss_weight" not in capsys.readouterr().out


def test_a_teacher_that_is_there_is_tested_as_students_are_validated(tmp_path):
    cfg = load_config(PAIR.format("kd"))
    cfg.test_dataloader = cfg.test_evaluator = cfg.test_cfg = None
    cfg.model.teacher_ckpt = str(tmp_path / "teacher.pth")
    cfg.dump(tmp_path / "mine.py")
    (tmp_path / "teacher.pth").touch()
    derived = derive_runs(
        str(tmp_path / "mine.py"), ["dist"], tmp_path / "work" / "configs"
    )
    assert derived.teacher == str(tmp_path / "teacher.pth")
    test = load_config(derived.teacher_test)
    assert test.test_dataloader == cfg.val_dataloader
    assert test.test_evaluator == cfg.val_evaluator and test.test_cfg == {}
    assert test.model == cfg.model.teacher


def test_a_teacher_of_another_config_is_trained_by_that(tmp_path):
    cfg = load_config(PAIR.format("pckd"))
    del cfg.model["teacher"]
    cfg.model.teacher_ckpt = "work_dirs/not_there.pth"
    cfg.dump(tmp_path / "mine.py")
    derived = derive_runs(str(tmp_path / "mine.py"), ["kd"], tmp_path / "derived")
    assert derived.teacher == cfg.model.teacher_config
    assert load_config(derived.teacher_test).model.backbone.depth == 20
    kd = load_config(derived.runs["KD"]).model
    assert kd.teacher_config == cfg.model.teacher_config and "teacher" not in kd


def test_a_config_without_a_teacher_is_none_of_a_distillation(tmp_path):
    cfg = load_config(PAIR.format("kd"))
    del cfg.model["teacher"]
    match = "has no model with architecture, and teacher or teacher_config; expected"
    del cfg.model["teacher_config"]
    cfg.dump(tmp_path / "none.py")
    with pytest.raises(ExperimentError, match=match):
        derive_runs(str(tmp_path / "none.py"), ["kd"], tmp_path / "derived")
    cfg.model.teacher_config = "nowhere.py"
    cfg.dump(tmp_path / "missing.py")
    with pytest.raises(ExperimentError, match="The teacher_config of .*missing.py: "):
        derive_runs(str(tmp_path / "missing.py"), ["kd"], tmp_path / "derived")


def test_settings_of_a_hook_that_training_adds_need_no_type(tmp_path):
    cfg = load_config(PAIR.format("kd"))
    cfg.default_hooks.broken_files = dict(most=0.3)
    cfg.dump(tmp_path / "mine.py")
    runs = derive_runs(str(tmp_path / "mine.py"), ["pckd"], tmp_path / "derived").runs
    assert list(runs) == ["student alone", "PCKD", "KD"]
    for path in runs.values():
        assert load_config(path).default_hooks.broken_files == dict(most=0.3)


def test_hooks_of_distillation_stay_out_of_plain_training(tmp_path):
    cfg = load_config(PAIR.format("pckd"))
    stop = dict(type="mmrazor.StopDistillHook", stop_epoch=3)
    average = dict(type="EMAHook", momentum=0.1)
    cfg.custom_hooks = [stop, average]
    cfg.default_hooks.update(mine=dict(stop), timer=None)
    cfg.default_hooks.record = dict(type="pckd_mm.PreviewRecordHook", bins=10)
    cfg.model.teacher_ckpt = "not_there.pth"
    del cfg.model["teacher_config"]
    cfg.dump(tmp_path / "mine.py")
    derived = derive_runs(str(tmp_path / "mine.py"), ["kd"], tmp_path / "derived")
    for path in (derived.runs["student alone"], derived.teacher, derived.teacher_test):
        plain = load_config(path)
        assert plain.custom_hooks == [average]
        assert cfg.default_hooks.keys() - plain.default_hooks == {"mine", "record"}
        assert plain.default_hooks.timer is None
    # Another method is stopped where this one is.
    kd = load_config(derived.runs["KD"])
    assert [stop, average] == kd.custom_hooks[:2] and kd.default_hooks.mine == stop
