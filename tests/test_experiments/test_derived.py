"""What a distillation is compared with does not depend on its own method."""

import pytest

from pckd_mm.experiments.derived import derive_runs
from pckd_mm.utils.config import load_config

PAIR = "configs/{}/cifar100_resnet20_resnet8_6e.py"
METHODS = ("kd", "dist", "crd", "pckd")


def models(config, folder):
    _, runs = derive_runs(str(config), METHODS, folder)
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
