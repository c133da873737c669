"""Students that share the teacher's forward pass: which, and how they are started."""

import copy
import json
import os
from dataclasses import replace

import pytest
from mmengine.config import Config

from pckd_mm.experiments import ExperimentError, Run, Scheduler, Settings, Sharing
from pckd_mm.experiments.sharing import (
    HOOK,
    TeacherRun,
    is_shared,
    share_teacher,
    shared_part,
    teacher_config,
)
from pckd_mm.utils.config import load_config
from pckd_mm.utils.speed_arguments import SpeedArguments
from tests.builders import ROOT
from tests.test_experiments import test_scheduler
from tests.test_experiments.test_scheduler import ONE, TWO, FakeRun

no_waiting, started = test_scheduler.no_waiting, test_scheduler.started
PAIR = "digits_resnet20_resnet8_thin.py"


@pytest.fixture(scope="module")
def configs():
    """Configs of methods, as they are shipped."""
    found = {m: load_config(str(ROOT / "configs" / m / PAIR)) for m in ("kd", "pckd")}
    return found


def sharing(cfg, **changes):
    cfg = copy.deepcopy(cfg)
    cfg.merge_from_dict(changes)
    share_teacher(cfg)
    return cfg


def test_methods_and_seeds_share_what_other_data_do_not(configs):
    part = shared_part(sharing(configs["kd"]))
    assert part == shared_part(sharing(configs["pckd"], **{"randomness.seed": 3}))
    assert part == shared_part(sharing(configs["kd"], **{"model.distiller.a": 1}))
    assert part == shared_part(
        sharing(configs["kd"], **{"optim_wrapper.optimizer.lr": 0.5})
    )
    for name, value in {
        "train_dataloader.batch_size": 9,
        "train_cfg.max_epochs": 3,
        "model.teacher_ckpt": "other.pth",
        "model.teacher.backbone.depth": 14,
        "data_preprocessor.crop_padding": 0,
        "optim_wrapper.type": "pckd_mm.BFloat16OptimWrapper",
        "default_hooks.speed_up.fold_teacher": True,
    }.items():
        assert part != shared_part(sharing(configs["kd"], **{name: value})), name
    assert shared_part(configs["kd"]) is None


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"model.type": "pckd_mm.RoIDistill"}, "found a RoIDistill; expected a Multi"),
        (
            {"data_preprocessor.type": "mmpretrain.ClsDataPreprocessor"},
            "found the data_preprocessor ClsDataPreprocessor; expected",
        ),
        ({"data_preprocessor.batch_augments": dict(a=1)}, "images that are mixed"),
        ({"model.architecture.train_cfg": dict(a=1)}, "images that are mixed"),
        ({"model.distiller.distill_deliveries": dict(a=1)}, "distill_deliveries, whi"),
        ({"train_cfg.type": "IterBasedTrainLoop"}, "the training loop IterBased"),
        ({"train_cfg.by_epoch": False}, "the training loop IterBased"),
    ],
)
def test_what_cannot_share_is_refused(configs, changes, message):
    with pytest.raises(ValueError, match=message):
        sharing(configs["kd"], **changes)


@pytest.mark.parametrize("place", ["custom_hooks", "default_hooks"])
def test_hooks_of_the_training_images_are_refused(configs, place):
    switch = dict(type="mmpretrain.SwitchRecipeHook", schedule=[])
    average = dict(type="EMAHook")
    for hook in (average, switch):
        hooks = [hook] if place == "custom_hooks" else {f"{place}.mine": hook}
        changes = {place: hooks} if place == "custom_hooks" else hooks
        if hook is average:
            assert is_shared(sharing(configs["kd"], **changes))
            continue
        with pytest.raises(ValueError, match="found the hook SwitchRecipeHook, which"):
            sharing(configs["kd"], **changes)


def test_hooks_of_any_run_are_taken(configs):
    """Those of MMPretrain's configs, and settings of those that training adds."""
    hooks = dict(visualization=dict(type="VisualizationHook", enable=False))
    hooks.update(checkpoint=dict(type="CheckpointHook", interval=1), timer=None)
    hooks.update(broken_files=dict(most=0.3))
    changes = {f"default_hooks.{name}": hook for name, hook in hooks.items()}
    assert is_shared(sharing(configs["pckd"], **changes))


def make_run(name, folder, seed=0, size=3):
    config = str(ROOT / "configs" / name / PAIR)
    settings = Settings(ROOT, share_teacher=size)
    return Run(name, config, seed, folder / name / f"seed_{seed}", settings)


def test_a_run_that_shares_is_another_run(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    run, alone = (make_run("kd", tmp_path, size=size) for size in (3, 0))
    assert run.text() != alone.text()
    # How many share, or with whom, makes no difference.
    assert run.text() == make_run("kd", tmp_path, size=8).text()
    vanilla = tmp_path / "alone.py"
    vanilla.write_text((ROOT / "configs/vanilla/digits_resnet8_thin.py").read_text())
    plain = Run(
        "alone",
        str(ROOT / "configs/vanilla/digits_resnet8_thin.py"),
        0,
        tmp_path / "alone",
        Settings(ROOT, share_teacher=3),
    )
    assert shared_part(plain.cfg) is None
    # So its values are entered apart, and those of the student alone are not.
    assert run.what_sets_it_apart() == {"apart": ["share_teacher"]}
    assert plain.what_sets_it_apart() == alone.what_sets_it_apart() == {}


def test_whoever_shares_has_the_speed_options(tmp_path, monkeypatch):
    """Also for validation images; those to train on the teacher's process has."""
    monkeypatch.chdir(ROOT)
    speed = SpeedArguments(fast=True, data_on_device=True)
    for size in (0, 2):
        run = make_run("kd", tmp_path, size=size)
        run.settings = replace(run.settings, speed=speed)
        for job in (run, TeacherRun(tmp_path, run.settings, [])):
            assert {"--data-on-device", "--fast"} < set(job.command())


def test_a_detector_is_refused_before_anything_is_trained(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    config = "configs/kd/digit_scenes_frcnn_r18w32_r18w8.py"
    with pytest.raises(ExperimentError, match=f"{config}: --share-teacher found a RoI"):
        Run("kd", config, 0, tmp_path, Settings(ROOT, share_teacher=3))


def test_the_teachers_process_trains_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    runs = [make_run(name, tmp_path, seed=4) for name in ("kd", "pckd")]
    cfg = teacher_config(runs)
    assert cfg.train_cfg.type == "pckd_mm.TeacherLoop" and cfg.randomness.seed == 0
    assert cfg.train_cfg.students == [str(run.config_file) for run in runs]
    assert cfg.model.num_views == 4 and "val_dataloader" not in cfg
    assert cfg.default_hooks.checkpoint is None and HOOK not in cfg.default_hooks
    assert "custom_hooks" not in cfg
    runs[0].cfg.default_hooks.broken_files = dict(most=0.3)  # it reads the images
    assert teacher_config(runs[:1]).default_hooks.broken_files == dict(most=0.3)
    lead = Sharing(3).lead(runs)
    assert isinstance(lead, TeacherRun)
    assert lead.folder == tmp_path / "shared_teacher" / "kd_seed_4"
    assert str(lead) == "the teacher of kd, seed 4, pckd, seed 4"
    assert "--skip-broken" not in lead.command()
    # It alone reads images.
    lead.settings = Settings(ROOT, skip_broken=True)
    assert "--skip-broken" in lead.command()


ECHO = """
import json, os, sys
from pckd_mm.utils.handout import connections_from_parent
connections = connections_from_parent()
if len(connections) > 1:
    for number, connection in enumerate(connections):
        connection.send(number)
    sys.exit()
print(json.dumps([connections[0].recv(), os.environ["PLACE"]]))
"""


def test_each_student_is_connected_to_the_teachers_process(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    for kind in (Run, TeacherRun):
        monkeypatch.setattr(kind, "command", lambda job: ["-c", ECHO])
    before = set(os.listdir("/proc/self/fd"))
    runs = [make_run("kd", tmp_path, seed) for seed in (0, 1)]
    lead = Sharing(3).lead(runs)
    for job in (*runs, lead):
        job.prepare()
    lead.start(1, {"PLACE": "here"})
    assert [job.process.wait(120) for job in (lead, *runs)] == [0, 0, 0]
    # No end stays here, or nobody would know that a process has ended.
    assert set(os.listdir("/proc/self/fd")) == before
    assert [json.loads(run.log.read_text()) for run in runs] == [
        [0, "here"],
        [1, "here"],
    ]


class Student(FakeRun):
    """One that shares a teacher with those of its kind."""

    def __init__(self, name, kind="a", **more):
        super().__init__(name, **more)
        self.cfg = Config(dict(kind=kind))


class Lead(FakeRun):
    def start(self, threads, place):
        for run in self.runs:
            FakeRun.start(run, threads, place)
        super().start(threads, place)


@pytest.fixture
def leads(monkeypatch):
    """Who was started together."""
    found = []

    def lead(runs):
        if not isinstance(runs[0], Student):
            return runs[0]
        found.append([str(run) for run in runs])
        job = Lead("the teacher")
        job.runs = runs
        return job

    monkeypatch.setattr("pckd_mm.experiments.sharing.shared_part", lambda cfg: cfg.kind)
    monkeypatch.setattr(Sharing, "lead", staticmethod(lead))
    return found


def test_students_of_one_teacher_are_started_together(leads, capsys):
    teacher = FakeRun("t")
    runs = [teacher, FakeRun("alone")]
    runs += [Student(name, after=teacher) for name in ("a1", "a2", "a3", "a4")]
    runs += [Student("b1", kind="b"), Student("done", finished=True)]
    assert Scheduler(runs, ONE, sharing=Sharing(3)).train() == {}
    assert leads == [["a1", "a2", "a3"], ["a4"], ["b1"]]
    printed = capsys.readouterr().out
    assert "the teacher" not in printed and "done: top-1 70.00 (finished" in printed
    assert "[8/8 runs]" in printed


def test_no_place_idles_while_another_has_all_of_a_group(leads):
    runs = [Student(f"a{number}") for number in range(1, 5)]
    Scheduler(runs, TWO, sharing=Sharing(8)).train()
    assert leads == [["a1", "a2"], ["a3", "a4"]]
    assert all(run.is_finished for run in runs)


def test_a_student_that_fails_leaves_the_others(leads):
    runs = [Student("a1", fails=True), Student("a2")]
    failures = Scheduler(runs, ONE, sharing=Sharing(3)).train()
    assert failures == {"a1": "why a1 failed"} and runs[1].is_finished
