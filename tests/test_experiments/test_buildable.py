"""Configs that cannot be trained are told from those that can."""

import subprocess
import sys

import pytest
import torch

from pckd_mm.experiments import ExperimentError, Run, Settings, check_buildable
from pckd_mm.experiments.buildable import check_teachers, options_in_vain
from pckd_mm.experiments.run import TEACHER_CKPT
from pckd_mm.registry import MODELS
from pckd_mm.utils.config import load_config
from tests.builders import ROOT

PCKD = "configs/pckd/letters_resnet20_resnet8_thin.py"
ALONE = "configs/vanilla/letters_resnet8_thin.py"
LOSS = "model.distiller.distill_losses."


@pytest.fixture(autouse=True)
def in_the_repository(monkeypatch):
    monkeypatch.chdir(ROOT)


def run(config, options=None, shared=None, seed=0, **more):
    settings = Settings(ROOT, shared or {})
    return Run("it", config, seed, ROOT / "no", settings, options=options or {}, **more)


def fault(config, options=None, shared=None):
    with pytest.raises(ExperimentError) as error:
        check_buildable([run(config, options, shared)])
    return str(error.value)


def test_shipped_configs_can_be_built_without_data_and_teacher():
    options = {"model.teacher_ckpt": "not/there.pth", LOSS + "loss_kd.tau": 2}
    check_buildable([run(PCKD, options), run(ALONE)])


@pytest.mark.parametrize(
    "option, value, expected",
    [
        (LOSS + "loss_kd.tua", 2, "PreviewKLDivergence has no such setting; did you "
        "mean tau?"),
        ("model.architecture.backbone.depht", 8, "CIFARResNet has no such setting; "
        "did you mean depth?"),
        ("model.distiller.preview.weigh", 1, "PreviewStrategy has no such setting."),
        ("optim_wraper.optimizer.lr", 1, "nothing in a config is read by that name; "
        "did you mean optim_wrapper?"),
        ("train_cfg.max_epoch", 2, "EpochBasedTrainLoop has no such setting; did you "
        "mean max_epochs?"),
        ("model.architecture.backbone.type", "CIFARResnet", "there is no such class; "
        "did you mean CIFARResNet?"),
    ],
)  # fmt: skip
def test_a_misspelt_option_is_named_with_the_nearest(option, value, expected):
    text = fault(PCKD, {option: value})
    assert text.startswith(f"it, seed 0 ({PCKD}): ")
    assert text.endswith(expected) and "\n" not in text
    assert option in text or option.split(".")[0] + ": " in text


def test_what_a_class_says_itself_comes_with_the_nearest_name():
    text = fault(PCKD, {"model.distiler.preview.type": "PreviewStrategy"})
    assert "MultiViewDistill found the setting distiler" in text
    assert text.endswith("model.distiler: did you mean distiller?")
    text = fault(PCKD, {LOSS + "loss_kda.tau": 2})
    assert text.endswith(LOSS + "loss_kda: did you mean loss_kd?")
    assert "depth=7 does not make a CIFARResNet" in fault(
        PCKD, {"model.architecture.backbone.depth": 7}
    )


def test_each_run_is_named_and_seeds_are_built_once(monkeypatch):
    from pckd_mm.experiments import buildable

    built = []
    build = buildable._build
    monkeypatch.setattr(buildable, "_build", lambda cfg: built.append(1) or build(cfg))
    good = [run(PCKD, seed=seed) for seed in range(3)]
    check_buildable([*good, run(ALONE)])
    assert len(built) == 2
    shared = {LOSS + "loss_kd.tau": 2}  # a student alone has no distiller
    with pytest.raises(ExperimentError) as error:
        check_buildable([run(PCKD, shared=shared), run(ALONE, shared=shared)])
    assert str(error.value).startswith(f"it, seed 0 ({ALONE}): model.distiller: ")
    assert "\n" not in str(error.value)


def test_building_leaves_the_config_as_it_was():
    distils = run(PCKD)
    before = distils.cfg.pretty_text
    check_buildable([distils])
    assert distils.cfg.pretty_text == before


def test_a_variable_of_a_config_is_no_fault(tmp_path):
    config = tmp_path / "mine.py"
    load_config(ALONE).dump(config)
    config.write_text(config.read_text() + "my_epochs = 3\n")
    check_buildable([run(str(config))])


def test_who_only_plans_imports_no_networks():
    """Each worker of a Ray cluster waits for it, and who asks a command for help."""
    code = (
        "import sys, pckd_mm.experiments, pckd_mm.tuning\n"
        "import pckd_mm.commands.compare, pckd_mm.commands.tune\n"
        "print([x for x in ('mmpretrain', 'mmdet', 'mmrazor.models') if x in "
        "sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True
    )
    assert done.stdout == "[]\n", done.stdout + done.stderr


def test_a_teacher_that_does_not_fit_is_told_before_anything_is_trained(tmp_path):
    cfg = load_config(PCKD)
    torch.manual_seed(0)
    for who in ("teacher", "architecture"):
        network = MODELS.build(cfg.model[who])
        torch.save(dict(state_dict=network.state_dict()), tmp_path / f"{who}.pth")
    fits, other = (
        {TEACHER_CKPT: str(tmp_path / f"{x}.pth")} for x in ("teacher", "architecture")
    )
    check_buildable([run(PCKD, fits), run(ALONE)])
    assert "does not fit the ImageClassifier in" in fault(PCKD, other)
    # One that is tested first says so itself.
    check_teachers([run(PCKD, other, after=run(ALONE))])


@pytest.mark.parametrize(
    "option, value, said",
    [
        ("max_epochs", 3, "max_epochs: nothing in a config is read by that name."),
        ("default_hooks.checkpoint.intervall", 1, "did you mean interval?"),
        ("train_cfg", dict(max_epoch=3), "did you mean max_epochs?"),
        ("train_dataloader.sampler.type", "Sampler", "there is no such data sampler"),
        ("env_cfg.dist_cgf.backend", "gloo", "dist_cgf: the runner has no such setti"),
        ("default_hooks.checkpoints.interval", 5, "did you mean checkpoint?"),
        ("optim_wrapper.optimzer.lr", 0.1, "did you mean optimizer?"),
        ("log_processor.foo.bar", 5, "LogProcessor has no such setting."),
        ("optim_wraper.optimizer.lr", 0.1, "did you mean optim_wrapper?"),
        ("load_from", "here.pth", None),
        ("default_hooks.non_finite.action", "skip", None),
        ("default_hooks.broken_files.most", 0.3, None),  # which --skip-broken adds
        ("default_hooks.checkpoint.interval", 2, None),
        ("model.architecture.backbone.depht", 8, None),  # its class says so
    ],
)
def test_options_that_nothing_reads(option, value, said):
    before = load_config(ALONE)
    cfg = load_config(ALONE, {option: value})
    found = options_in_vain(cfg, before, {option: value})
    assert [said in str(each) for each in found] == [True] * (said is not None)


def test_what_the_config_itself_says_in_vain_is_not_of_the_options():
    mine = {"train_cfg.max_epoch": 3}
    before = load_config(ALONE, mine)
    more = {"train_cfg.max_epochs": 2}
    assert not options_in_vain(load_config(ALONE, {**mine, **more}), before, more)
    # Names that begin alike lie in each other no more than others.
    more = {"train_cfg.max_epoch_s": 2}
    (found,) = options_in_vain(load_config(ALONE, {**mine, **more}), before, more)
    assert found.path == "train_cfg.max_epoch_s"
