"""A training as a process in a folder."""

import hashlib
import json
import re
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from mmengine.evaluator import BaseMetric, Evaluator
from mmengine.hooks import CheckpointHook
from mmengine.runner import Runner

import pckd_mm.engine  # noqa: F401  # not first where a test feigns a GPU
from pckd_mm.analysis import AP
from pckd_mm.experiments import ExperimentError, Run, Settings, TeacherTest
from pckd_mm.utils.config import load_config
from pckd_mm.utils.speed_arguments import SpeedArguments
from tests.builders import ROOT, Point

STUDENT = (
    "model = dict(type='Any')\ntrain_cfg = dict(max_epochs=3)\n"
    "val_evaluator = test_evaluator = dict(type='Accuracy')\n"
    "optim_wrapper = dict(optimizer=dict(type='SGD'))\n"
)
DETECTOR = STUDENT.replace("Accuracy", "mmdet.VOCMetric")
DISTILS = STUDENT.replace(
    "type='Any'", "type='Any', architecture=dict(type='Any'), teacher_ckpt='own.pth'"
)

NO_SPEED = SpeedArguments()


@pytest.fixture
def make(tmp_path):
    """A run of a small config; its work dir is ``work``."""

    def make(text=STUDENT, kind=Run, seed=1, speed=NO_SPEED, options=None, **more):
        config = tmp_path / f"config_{hashlib.md5(text.encode()).hexdigest()}.py"
        config.write_text(text)
        folder = tmp_path / "work" / f"seed_{seed}"
        settings = Settings(ROOT, options or {}, speed)
        return kind("KD", str(config), seed, folder, settings, **more)

    return make


def log_epochs(run, first, last, name="1"):
    """As if it was trained: 50 % after epoch 0, 1 % more after each."""
    folder = run.folder / name / "vis_data"
    folder.mkdir(parents=True)
    lines = [
        json.dumps({"accuracy/top1": 50.0 + epoch, "step": epoch})
        for epoch in range(first, last + 1)
    ]
    (folder / "scalars.json").write_text("\n".join(lines))


class Ended:
    """A process that has ended."""

    def __init__(self, status):
        self.returncode = status

    def poll(self):
        return self.returncode


def test_the_config_is_written_as_it_is_trained(make, tmp_path):
    speed = SpeedArguments(amp="auto")
    run = make(options={"train_cfg.max_epochs": 2}, speed=speed, group="pair")
    run.prepare()
    text = (tmp_path / "work" / "seed_1.py").read_text()
    assert text.startswith("# KD, seed 1, mixed precision\n")
    namespace = {}
    exec(text, namespace)
    assert namespace["train_cfg"] == {"max_epochs": 2}
    assert namespace["randomness"] == {"seed": 1}
    assert str(run) == "pair KD, seed 1"
    assert run.checkpoint == tmp_path / "work" / "seed_1" / "epoch_2.pth"
    assert run.command() == [
        "-m",
        "pckd_mm",
        "train",
        str(tmp_path / "work" / "seed_1.py"),
        "--work-dir",
        str(tmp_path / "work" / "seed_1"),
        "--resume",
        "--amp",
    ]


def test_a_run_on_several_gpus_has_a_process_on_each(make, tmp_path):
    run = make()
    run.settings = replace(run.settings, gpus_per_run=8)
    assert run.text().startswith("# KD, seed 1, 8 processes\n")
    folder = tmp_path / "work" / "seed_1"
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node=8"]
    assert run.command() == [
        *launcher,
        "-m",
        "pckd_mm",
        "train",
        f"{folder}.py",
        "--work-dir",
        str(folder),
        "--resume",
        "--launcher=pytorch",
    ]
    # A test of a teacher is one process.
    weights = tmp_path / "weights.pth"
    weights.write_bytes(b"weights")
    test = make(kind=TeacherTest, tested=weights)
    test.settings = run.settings
    assert test.command()[:3] == ["-m", "pckd_mm", "test"]


def test_the_teacher_is_known_by_its_content(make, tmp_path):
    teacher = tmp_path / "teacher.pth"
    teacher.write_bytes(b"weights")
    run = make(DISTILS, teacher=teacher, after=make())
    assert run.cfg.model.teacher_ckpt == str(teacher) and run.after is not None
    first, second, *_ = run.text().splitlines()
    assert (first, second) == (
        "# KD, seed 1",
        f"# The teacher: {hashlib.sha256(b'weights').hexdigest()}",
    )
    assert "# The teacher: own.pth" in make(DISTILS).text()
    # The student alone has none, whatever others have.
    alone = make(teacher=teacher, after=run)
    assert alone.after is None and "teacher" not in alone.text()


def test_what_is_to_be_done(make):
    run = make()
    assert run.state() == "to do"
    run.prepare()
    log_epochs(run, 1, 2)
    assert run.state() == "continued after epoch 2" and run.epochs_done() == 2
    log_epochs(run, 3, 3, "2")
    run.process = Ended(0)
    run.started = time.monotonic() - 6
    run.finish()
    assert run.outcome().endswith(" 53.00")
    assert run.state() == "finished, top-1 53.00" and run.epochs_done() == 3
    note = json.loads((run.folder / "finished.json").read_text())
    # Six seconds for three epochs.
    assert note.pop("seconds_per_epoch") == pytest.approx(2, abs=0.5)
    assert note == {"accuracy": 53.0, **run.note()}
    assert run.note()["precision"] == "float32"
    assert make(options={"train_cfg.max_epochs": 4}).state() == "changed, anew"
    for speed in (dict(amp="auto"), dict(fast=True), dict(compile="default")):
        assert make(speed=SpeedArguments(**speed)).state() == "changed, anew"
    assert make(speed=SpeedArguments("auto", True)).what_sets_it_apart() == {
        "apart": ["fast"]  # the precision has a note of its own
    }
    # Where the images lie changes nothing of what is computed.
    on_device = make(speed=SpeedArguments(data_on_device=True))
    assert on_device.state() == "finished, top-1 53.00"
    assert "--data-on-device" in on_device.command()


def test_another_training_is_set_aside_and_forgotten_where_asked_for(make, capsys):
    for number, names in enumerate(([], ["seed_1.old"], ["seed_1.old", "seed_1.old2"])):
        run = make(options={"any": number})
        run.prepare()
        (run.folder / "trained").write_text(str(number))
        work = run.folder.parent
        assert sorted(p.name for p in work.glob("*.old*")) == names
    assert (
        capsys.readouterr().out.count("KD, seed 1: its config, seed, teacher or an")
        == 2
    )
    assert (work / "seed_1.old2" / "trained").read_text() == "1"
    run.prepare()
    assert (run.folder / "trained").is_file()
    run.forget()
    assert not run.folder.exists() and (work / "seed_1.old").is_dir()
    run.prepare()
    assert not list(run.folder.iterdir())


def test_a_setting_that_a_run_has_of_its_own_is_no_option(make, tmp_path):
    assert make(options={"randomness.seed": 1}).cfg.randomness.seed == 1
    with pytest.raises(
        ExperimentError, match="seed=2 is asked for, and KD, seed 1 has"
    ):
        make(options={"randomness.seed": 2})
    named = {"model.teacher_ckpt": "named.pth"}
    assert make(DISTILS, options=named).cfg.model.teacher_ckpt == "named.pth"
    same = make(DISTILS, options=named, teacher=Path("named.pth"))
    assert same.cfg.model.teacher_ckpt == "named.pth"
    with pytest.raises(
        ExperimentError, match="named.pth is asked for, and the teacher"
    ):
        make(DISTILS, options=named, teacher=Path("other.pth"))


@pytest.mark.parametrize("hooks", ["custom_hooks = [{}]", "default_hooks = dict(a={})"])
def test_a_run_that_may_end_early_is_refused(make, hooks):
    text = STUDENT + hooks.format("dict(type='mmengine.EarlyStoppingHook')")
    with pytest.raises(ExperimentError, match="has the EarlyStoppingHook, which may"):
        make(text)
    # A teacher that is tested has come to its end.
    test = make(text, TeacherTest, tested=Path("t.pth"))
    assert test.epochs == 1


def test_weights_may_be_the_teachers_own_affair(make, tmp_path):
    run = make(DISTILS.replace(", teacher_ckpt='own.pth'", ""))
    assert run.distils and "# The teacher" not in run.text()
    assert run.network.name == "epoch_3_student.pth"
    given = make(DISTILS.replace(", teacher_ckpt='own.pth'", ""), teacher=Path("t.pth"))
    assert given.cfg.model.teacher_ckpt == "t.pth"


def test_a_student_is_left_while_its_teacher_is(make, tmp_path):
    teacher, student = make(seed=7), make(DISTILS, seed=8)
    student.after = teacher
    for run in (student, teacher):
        assert run.is_left
        run.prepare()
        (run.folder / "finished.json").write_text("{}")
        assert run.is_left == (run is student)
    assert not student.is_left
    # A teacher that is to be trained anew makes another student.
    teacher.config_file.write_text("changed")
    assert student.is_left and not student.is_changed()
    log_epochs(student, 1, 3)
    assert student.state() == "anew, unless its teacher comes out the same"
    assert make(DISTILS, seed=9, after=teacher).state() == "to do"
    teacher.prepare()
    (teacher.folder / "finished.json").write_text("{}")
    assert student.state() == "finished, top-1 53.00"


def test_a_teacher_that_is_said_in_another_way_is_the_same(make, tmp_path, monkeypatch):
    """A path may be relative or not, and a work dir may be moved."""
    monkeypatch.chdir(tmp_path)
    Path("own.pth").write_bytes(b"weights")
    run = make(DISTILS, teacher=Path("own.pth"))
    run.prepare()
    moved = Path("it's moved.pth")
    shutil.copy("own.pth", moved)
    for path in (Path("own.pth").absolute(), moved):
        assert not make(DISTILS, teacher=path).is_changed()
    moved.write_bytes(b"others")
    assert make(DISTILS, teacher=moved).is_changed()


def test_a_teacher_that_is_gone_is_the_one_that_was_there(make, tmp_path):
    weights = tmp_path / "teacher.pth"
    weights.write_bytes(b"weights")
    teacher = make(seed=7)
    teacher.prepare()
    (teacher.folder / "finished.json").write_text("{}")
    student = make(DISTILS, teacher=weights, after=teacher)
    student.prepare()
    (student.folder / "finished.json").write_text("{}")
    text = student.config_file.read_text()
    assert hashlib.sha256(b"weights").hexdigest() in text
    weights.unlink()
    assert not student.is_left
    student.prepare()
    assert student.config_file.read_text() == text
    weights.write_bytes(b"other weights")
    assert student.is_changed()
    # Whatever a teacher comes to that is trained anew, it is not known yet.
    weights.unlink()
    (teacher.folder / "finished.json").unlink()
    assert student.is_changed()
    # One that each run fetches is known by its name, and was never a file.
    address = {"model.teacher_ckpt": "https://a.org/1.pth"}
    fetches = make(DISTILS, options=address, seed=9)
    fetches.prepare()
    address["model.teacher_ckpt"] = "https://a.org/2.pth"
    assert make(DISTILS, options=address, seed=9).is_changed()


def test_a_foreign_folder_is_refused(make):
    run = make()
    run.folder.mkdir(parents=True)
    run.check_folder()
    (run.folder / "precious.txt").touch()
    with pytest.raises(ExperimentError, match="was not made by this tool"):
        run.check_folder()


@pytest.mark.parametrize("status, epochs", [(1, 3), (0, 2)])
def test_a_run_that_did_not_reach_its_end_has_failed(status, epochs, make):
    run = make()
    run.prepare()
    log_epochs(run, 1, epochs)
    run.log.write_text("\n".join(f"line {number}." for number in range(30)))
    run.process = Ended(status)
    with pytest.raises(ExperimentError) as error:
        run.finish()
    assert f"failed (exit status {status})" in str(error.value)
    assert "line 10." in str(error.value) and "line 9." not in str(error.value)
    assert not run.is_finished


def test_a_run_that_a_signal_ended_is_told_with_its_networks(make, monkeypatch):
    network = "(type='ImageClassifier', backbone=dict(type='CIFARResNet', depth=8))"
    old = "architecture=dict(type='Any')"
    text = DISTILS.replace(old, f"architecture=dict{network}")
    text = text.replace("teacher_ckpt", "teacher_config='teacher.py', teacher_ckpt")
    run = make(text)
    run.prepare()
    code = "import faulthandler; faulthandler.enable(); import numpy; "
    monkeypatch.setattr(
        run, "command", lambda: ["-c", code + "faulthandler._sigsegv()"]
    )
    run.start()
    run.process.wait()
    with pytest.raises(ExperimentError) as error:
        run.finish()
    text = str(error.value)
    assert text.startswith("Fatal Python error: Segmentation fault")
    assert text.endswith(
        "KD, seed 1 (student CIFARResNet (depth 8), teacher of teacher.py) was ended "
        "by SIGSEGV (segmentation fault), a fault in compiled code; the end of its "
        f"log, {run.log}, is above. The same command goes on from here."
    )
    assert "Extension modules" in run.log.read_text() and "Extension m" not in text


def test_threads_of_a_run(make, monkeypatch):
    started = []
    monkeypatch.setattr("pckd_mm.utils.commits.commit", lambda root: None)
    monkeypatch.setattr(
        subprocess, "Popen", lambda *args, env, **more: started.append(env)
    )
    run = make()
    run.prepare()
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    run.start(3)
    run.start()
    monkeypatch.delenv("OMP_NUM_THREADS")
    run.start()
    assert [env["OMP_NUM_THREADS"] for env in started] == ["3", "7", "1"]


def test_a_process_writes_to_the_log_and_can_be_stopped(make, monkeypatch):
    run = make()
    run.prepare()
    code = "import time; print('begun', flush=True); time.sleep(60)"
    monkeypatch.setattr(run, "command", lambda: ["-c", code])
    run.start()
    assert run.process.args[0] == sys.executable
    deadline = time.monotonic() + 30
    while "begun" not in run.log.read_text() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert run.log.read_text() == "begun\n"
    run.stop()
    assert run.process.returncode != 0


def test_the_test_of_a_teacher(make, tmp_path):
    weights = tmp_path / "weights.pth"
    weights.write_bytes(b"weights")
    run = make(kind=TeacherTest, tested=weights, speed=SpeedArguments("auto", True))
    run.prepare()
    command = run.command()
    assert command[:3] == ["-m", "pckd_mm", "test"]
    assert command[4] == str(run.checkpoint) == str(weights)
    assert not {"--amp", "--fast"} & set(command) and run.epochs == 1
    assert run.what_sets_it_apart() == {}
    first = run.text().splitlines()[0]
    assert first.endswith(f"test of {hashlib.sha256(b'weights').hexdigest()}")
    assert run.curve() == {}
    (run.folder / "metrics.json").write_text('{"accuracy/top1": 99.5}')
    run.process = Ended(0)
    run.finish()
    assert run.outcome().endswith(" 99.50")
    assert run.note()["tested"] == str(weights)
    assert run.note()["precision"] == "float32"


BFLOAT16 = dict(type="pckd_mm.BFloat16OptimWrapper", optimizer=dict(type="SGD"))


@pytest.mark.parametrize(
    "more, gpu, amp, expected",
    [
        ({}, True, None, "float32"),
        ({}, True, "auto", "bfloat16 autocast"),
        ({}, (7, 0), "auto", "float16 autocast"),
        ({}, False, "auto", "float32"),
        ({}, False, "force", "bfloat16 autocast"),
        (dict(default_scope="mmdet"), True, "auto", "float16 autocast"),
        # Without --amp that of the config itself.
        (dict(optim_wrapper=BFLOAT16), True, None, "bfloat16 autocast"),
        (dict(optim_wrapper=BFLOAT16), False, None, "float32"),
        (dict(optim_wrapper=dict(type="AmpOptimWrapper")), True, None, "float16 au.*"),
    ],
)
def test_a_run_notes_what_it_computed_in(make, monkeypatch, more, gpu, amp, expected):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: bool(gpu))
    of_gpu = gpu if isinstance(gpu, tuple) else (9, 0)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: of_gpu)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "a GPU")
    for module in ("utils.precision", "experiments.facts"):
        monkeypatch.setattr(f"pckd_mm.{module}.has_fast_bfloat16", lambda: False)
    options = {"optim_wrapper": dict(optimizer=dict(type="SGD")), **more}
    run = make(speed=SpeedArguments(amp=amp), options=options)
    before = run.cfg.pretty_text
    assert re.fullmatch(expected, run.made_with()["precision"])
    assert run.cfg.pretty_text == before


def test_a_detectors_map_in_percent(make, tmp_path):
    run = make(DETECTOR)
    run.prepare()
    folder = run.folder / "1" / "vis_data"
    folder.mkdir(parents=True)
    scores = {"pascal_voc/mAP": 0.375, "pascal_voc/AP50": 0.999, "step": 3}
    (folder / "scalars.json").write_text(json.dumps(scores))
    assert run.curve() == {3: 37.5} and run.curve(AP) == {}
    run.process = Ended(0)
    run.finish()
    assert run.outcome().endswith(" 37.50")
    assert run.state() == "finished, mAP@0.5 37.50"
    note = json.loads((run.folder / "finished.json").read_text())
    assert note.items() >= {"average_precision": 37.5, **run.note()}.items()
    mmdet = re.compile(r"mmdet(ection)? 3\.")  # the maintained line's name
    assert mmdet.search(note["software"])
    assert not mmdet.search(make().made_with()["software"])

    weights = tmp_path / "weights.pth"
    weights.write_bytes(b"weights")
    test = make(DETECTOR, kind=TeacherTest, tested=weights, seed=2)
    test.prepare()
    values = {"pascal_voc/mAP": 0.5}
    (test.folder / "metrics.json").write_text(json.dumps(values))
    assert test.curve() == {1: 50.0} and test.curve(AP) == {}
    values["pascal_voc_50_95/mAP"] = 0.25
    (test.folder / "metrics.json").write_text(json.dumps(values))
    assert test.curve() == {1: 50.0} and test.curve(AP) == {1: 25.0}
    assert mmdet.search(test.made_with()["software"])


def test_epochs_without_validation_count_as_done(make):
    run = make(options={"train_cfg.max_epochs": 8, "train_cfg.val_interval": 4})
    run.prepare()
    assert run.epochs_done() == 0
    folder = run.folder / "1" / "vis_data"
    folder.mkdir(parents=True)
    lines, done = [], []
    for epoch in range(1, 9):
        lines += [{"loss": 1.0, "epoch": epoch, "step": 100 * epoch}]
        if epoch % 4 == 0:
            lines += [{"accuracy/top1": 50.0, "step": epoch}]
        text = "\n".join(map(json.dumps, lines))
        (folder / "scalars.json").write_text(text)
        done.append(run.epochs_done())
    # An epoch that is logged may still be under way.
    assert done == [0, 1, 2, 4, 4, 5, 6, 8]


class Counted(BaseMetric):
    """80 % after the first validation, 1 % more after each."""

    default_prefix, calls = "accuracy", 0

    def process(self, data_batch, data_samples):
        self.results.append(0)

    def compute_metrics(self, results):
        self.calls += 1
        return {"top1": 79.0 + self.calls}


def test_mmengine_validates_the_last_epoch_whatever_the_interval(make):
    run = make()
    run.prepare()
    loader = dict(
        dataset=[{"inputs": torch.zeros(1)}] * 2,
        batch_size=1,
        sampler=dict(type="DefaultSampler", shuffle=False),
    )
    Runner(
        Point(),
        str(run.folder),
        train_dataloader=loader,
        val_dataloader=loader,
        train_cfg=dict(by_epoch=True, max_epochs=3, val_interval=2),
        val_cfg=dict(),
        val_evaluator=Evaluator(Counted()),
        optim_wrapper=dict(optimizer=dict(type="SGD", lr=0.1)),
        default_hooks=dict(checkpoint=dict(type=CheckpointHook, interval=2)),
        experiment_name=str(run.folder),
    ).train()
    assert run.curve() == {2: 80.0, 3: 81.0}
    assert run.checkpoint.is_file()
    run.process = Ended(0)
    run.finish()
    assert run.outcome().endswith(" 81.00")


def test_the_network_for_its_own_library(make):
    folder = make().folder
    assert make().network == folder / "epoch_3.pth"
    assert make(DISTILS).network == folder / "epoch_3_student.pth"


def test_what_is_not_measured_is_refused_before_training(make, tmp_path):
    with pytest.raises(ExperimentError, match=r"config_.*val_evaluator is \[\]; exp"):
        make(STUDENT.replace("val_evaluator", "any_evaluator"))
    begin = {"train_cfg.val_begin": 4}
    with pytest.raises(ExperimentError, match="val_begin 4 and max_epochs 3; expected"):
        make(options=begin)
    assert make(options={"train_cfg.val_begin": 3}).epochs == 3
    # A test of the teacher has the evaluator of the test.
    text = STUDENT + "test_evaluator = dict(type='VOCMetric')\n"
    assert make(text).metric.name == "top-1"
    assert make(text, kind=TeacherTest).metric.name == "mAP@0.5"


def test_configs_that_cannot_be_trained(make, tmp_path):
    with pytest.raises(ExperimentError, match="no train_cfg.max_epochs"):
        make(STUDENT.replace("max_epochs", "max_iters"))
    with pytest.raises(
        ExperimentError, match="^KD: There is no config missing.py; expected"
    ):
        Run("KD", "missing.py", 0, tmp_path, Settings(ROOT))


def test_broken_files_are_left_out_of_the_training(tmp_path):
    config = str(ROOT / "configs" / "vanilla" / "cifar100_resnet8_30e.py")
    with_it, without = (
        Run("alone", config, 0, tmp_path, Settings(ROOT, skip_broken=skips))
        for skips in (True, False)
    )
    assert with_it.command()[-1] == "--skip-broken"
    assert "--skip-broken" not in without.command()
    # Nothing of the images changes but where a part of them validates.
    assert with_it.text() == without.text()


def test_whoever_reads_the_parts_leaves_broken_files_out(tmp_path):
    """A look into the networks reads the config beside the folder."""
    config = str(ROOT / "configs" / "vanilla" / "cifar100_resnet8_30e.py")
    cfg = load_config(config)
    images = dict(type="pckd_mm.CheckedCustomDataset", data_root="photos")
    for part in ("train", "val", "test"):
        held = "train" if part == "train" else "val"
        dataset = dict(type="pckd_mm.held_out_part", dataset=images, part=held)
        cfg[f"{part}_dataloader"].dataset = dataset
    path = tmp_path / "mine.py"
    path.write_text(cfg.pretty_text)
    run = Run("a", str(path), 0, tmp_path / "a", Settings(ROOT, skip_broken=True))
    run.prepare()
    written = load_config(run.config_file)
    for part in ("train", "val", "test"):
        assert written[f"{part}_dataloader"].dataset.dataset.leave_out_broken
