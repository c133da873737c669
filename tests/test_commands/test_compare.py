"""The comparison tool and the demo."""

import json
import re
import shutil
import sys
import time

import pytest
import torch
from mmengine.config import Config

from pckd_mm.analysis import Picture, pictures
from pckd_mm.analysis.inspection import write_inspection
from pckd_mm.commands import compare
from pckd_mm.experiments import Inspection, Run, TeacherTest, buildable, comparison
from pckd_mm.experiments.buildable import check_teachers
from pckd_mm.experiments.request import WORK_DIR
from pckd_mm.registry import MODELS
from pckd_mm.utils.config import load_config
from pckd_mm.utils.files import WriteError
from tests.builders import ROOT
from tests.preloaded import preloaded
from tests.test_analysis.finished import PNG, inspected

ALONE = "configs/vanilla/digits_resnet8_thin.py"
PCKD = "configs/pckd/digits_resnet20_resnet8_thin.py"
# The shipped configs on part of the data, so that a run is little more than its start.
SMALL = [
    "--cfg-options",
    "train_dataloader.dataset.dataset.indices=90",
    "val_dataloader.dataset.dataset.indices=90",
    "train_cfg.max_epochs=2",
]


def command(work_dir, *extra, options=SMALL):
    return [
        "--run=student alone=" + ALONE,
        "--run=PCKD=" + PCKD,
        f"--work-dir={work_dir}",
        *extra,
        *options,
    ]


def call(*args):
    """As a user calls it."""
    return preloaded().call(["tools/compare.py", *args])


# The one test that trains: what the tool does to processes, folders and logs of real
# runs cannot be seen otherwise.
def test_a_comparison_from_start_to_end(tmp_path):
    work = tmp_path / "the work"
    args = command(
        work,
        "--seeds=3",
        "--jobs=2",
        "--teacher=configs/vanilla/digits_resnet20.py",
        "--fast",
    )
    done = call(*args)
    assert done.returncode == 0, done.stderr
    assert "3 runs, 2 at a time" in done.stdout and "[3/3 runs]" in done.stdout
    result = json.loads((work / "report.json").read_text())
    assert result["speed"] == "fast"
    (table,) = result["tables"]
    assert [method["name"] for method in table["methods"]] == ["student alone", "PCKD"]
    for method in table["methods"]:
        (run,) = method["runs"]
        assert (run["seed"], list(run["accuracy"])) == (3, ["1", "2"])
        assert run["apart"] == ["fast"]
        assert run["final"] == run["accuracy"]["2"] == method["mean"]
        assert f"{run['final']:.2f} +- -" in done.stdout
    assert table["teachers"][0]["runs"][0]["seed"] == 0
    logs = [path.read_text() for path in work.glob("**/output.log")]
    asked = ["fused_optimizer: off, not asked for" not in log for log in logs]
    assert asked == [True] * 3 and all("fused_optimizer: " in log for log in logs)
    for picture in ("accuracy.png", "preview.png"):
        assert (work / picture).is_file()
    config = (work / "PCKD" / "seed_3.py").read_text()
    assert str(work / "teacher" / "epoch_2.pth") in config and "seed=3" in config
    assert (
        len((work / "PCKD" / "seed_3" / "preview.jsonl").read_text().split("\n")) == 3
    )

    before = {path: path.stat().st_mtime_ns for path in work.glob("**/*.pth")}
    assert before
    again = call(*args)
    assert again.returncode == 0, again.stderr
    assert again.stdout.count("(finished before)") == 3
    assert {p: p.stat().st_mtime_ns for p in work.glob("**/*.pth")} == before
    table = done.stdout[done.stdout.index("| method ") :]
    assert again.stdout.endswith(table)


def test_a_failing_run_ends_it_with_the_log(tmp_path):
    work = tmp_path / "work"
    options = SMALL[:1] + ["train_dataloader.dataset.dataset.split=nonsense"]
    run = "--run=student alone=" + ALONE
    done = call(run, f"--work-dir={work}", "--seeds=0", "--jobs=1", *options)
    assert done.returncode == 1
    assert "split='nonsense'; expected 'train' or 'test'" in done.stderr
    assert "student alone, seed 0 failed (exit status 1)" in done.stderr
    assert "Traceback" not in done.stderr.splitlines()[-1]
    assert not (work / "report.md").exists()


class FakeProcess:
    """Ends at once, with this exit status."""

    def __init__(self, status=0):
        self.returncode = status

    def poll(self):
        return self.returncode


class Started(list):
    """Names of what was started; those in ``fail`` fail."""

    fail = ()


@pytest.fixture
def trainings(monkeypatch):
    """Trainings that take no time; a list of what was started."""
    monkeypatch.chdir(ROOT)
    started = Started()

    def start(run, threads=None, place=None):
        started.append(str(run))
        if str(run) in started.fail:
            run.log.write_text(f"why {run} failed\n")
            run.process = FakeProcess(1)
            return
        run.begin()
        if isinstance(run, TeacherTest):
            metrics = json.dumps({"accuracy/top1": 99.0})
            (run.folder / "metrics.json").write_text(metrics)
            run.process = FakeProcess()
            return
        folder = run.folder / f"{len(started):015d}" / "vis_data"
        folder.mkdir(parents=True)
        lines = [
            json.dumps({"accuracy/top1": 80.0 + run.seed + epoch, "step": epoch})
            for epoch in range(run.epochs_before + 1, run.epochs + 1)
        ]
        (folder / "scalars.json").write_text("\n".join(lines))
        run.checkpoint.write_text(f"weights {len(started)}")
        run.process = FakeProcess()

    def draw(path, *args):
        path.write_bytes(PNG)

    monkeypatch.setattr(Run, "start", start)
    # Teachers are files of a few letters here.
    monkeypatch.setattr(buildable, "check_teachers", lambda runs: None)
    monkeypatch.setattr(pictures, "plot_curves", draw)
    monkeypatch.setattr(pictures, "plot_preview", draw)
    return started


def seeds(*numbers):
    return ["--seeds", *map(str, numbers)]


def test_teacher_first_and_each_run_once(tmp_path, trainings, capsys):
    args = command(tmp_path, "--teacher", ALONE, *seeds(0, 1), "--jobs=1")
    assert compare.main(args) == 0
    expected = ["student alone, seed 0", "PCKD, seed 0"]
    expected += ["student alone, seed 1", "PCKD, seed 1"]
    assert trainings == ["teacher", *expected]
    printed = capsys.readouterr().out
    assert "PCKD, seed 1: top-1 83.00" in printed
    assert "| student alone | 82.50 +- 0.71" in printed

    # One more seed: only its runs are missing.
    trainings.clear()
    args = command(tmp_path, "--teacher", ALONE, *seeds(0, 1, 5), "--jobs=1")
    assert compare.main(args) == 0
    assert trainings == ["student alone, seed 5", "PCKD, seed 5"]


def test_networks_are_looked_into_when_all_are_trained(
    tmp_path, trainings, monkeypatch, capsys
):
    def look(inspection, threads=None, place=None):
        trainings.append(str(inspection))
        inspection.process, inspection.started = FakeProcess(), time.monotonic()
        write_inspection(inspection.folder, inspected())

    monkeypatch.setattr(Inspection, "start", look)
    monkeypatch.setattr(pictures, "plot_centers", pictures.plot_curves)
    args = command(tmp_path, "--teacher", ALONE, *seeds(0, 1), "--jobs=2", "--inspect")
    assert compare.main(args) == 0
    assert len(trainings) == 6 and trainings[-1] == "inspection"
    printed = capsys.readouterr().out
    assert re.search(r"inspection: of 3 networks, \d+ s  \[6/6 runs\]", printed)
    page = (tmp_path / "report.html").read_text()
    assert "What the student still confuses" in page
    assert compare.main(args) == 0 and len(trainings) == 6
    # A network that is trained anew is looked into anew.
    teacher = tmp_path / "teacher"
    (teacher / "finished.json").unlink()
    assert compare.main(args) == 0
    assert trainings[6:] == ["teacher", "PCKD, seed 0", "PCKD, seed 1", "inspection"]
    # One that cannot be trained is not.
    trainings.fail = ["PCKD, seed 0"]
    assert compare.main([args[0], args[1], "--fresh", *args[2:]]) == 1
    assert "inspection was not made: PCKD, seed 0 failed." in capsys.readouterr().err
    assert "still confuses" not in (tmp_path / "report.html").read_text()


def test_changed_settings_train_anew_and_keep_what_was_there(
    tmp_path, trainings, capsys
):
    teacher = tmp_path / "teacher.pth"
    teacher.write_text("one")
    work = tmp_path / "work"
    args = command(work, "--teacher", str(teacher), *seeds(0))
    assert compare.main(args) == 0
    trainings.clear()

    teacher.write_text("another")
    assert compare.main(args) == 0
    assert trainings == ["PCKD, seed 0"]
    assert "PCKD, seed 0: its config, seed, teacher or an option" in (
        capsys.readouterr().out
    )
    assert (work / "PCKD" / "seed_0.old" / "finished.json").is_file()

    trainings.clear()
    assert compare.main([*args, "optim_wrapper.optimizer.lr=0.3"]) == 0
    assert len(trainings) == 2
    assert (work / "PCKD" / "seed_0.old2").is_dir()


def test_a_teacher_that_does_not_fit_ends_it_before_the_first_training(
    tmp_path, trainings, monkeypatch, capsys
):
    monkeypatch.setattr(buildable, "check_teachers", check_teachers)
    network = MODELS.build(load_config(ALONE).model)
    torch.save(dict(state_dict=network.state_dict()), tmp_path / "teacher.pth")
    own = ["--teacher", str(tmp_path / "teacher.pth"), *seeds(0)]
    assert compare.main(command(tmp_path / "work", *own)) == 1
    assert "does not fit the ImageClassifier in" in capsys.readouterr().err
    assert not trainings


def test_a_checkpoint_of_the_teacher_may_be_removed(
    tmp_path, trainings, monkeypatch, capsys
):
    monkeypatch.setattr(buildable, "check_teachers", check_teachers)
    once, twice = (
        command(tmp_path, "--teacher", ALONE, "--jobs=1", *seeds(*numbers))
        for numbers in ((0,), (0, 1))
    )
    assert compare.main(once) == 0
    teacher = tmp_path / "teacher" / "epoch_2.pth"
    weights = teacher.read_text()
    teacher.unlink()
    trainings.clear()
    assert compare.main(once) == 0 and not trainings
    assert compare.main([*once[:3], "--collect", *once[3:]]) == 0
    assert "3 of 3 runs are finished" in capsys.readouterr().out
    # Whoever needs it is refused before anything is touched.
    assert compare.main(twice) == 1 and not trainings
    advice = f"PCKD, seed 1 learns from {teacher}, and that file is gone; expected what"
    advice += f" teacher came to: bring it back, or remove {teacher.parent} to train it"
    assert advice in capsys.readouterr().err
    assert not (tmp_path / "student_alone" / "seed_1.py").exists()
    teacher.write_text(weights)
    assert compare.main(twice) == 0
    assert trainings == ["student alone, seed 1", "PCKD, seed 1"]
    assert not list(tmp_path.glob("**/*.old"))
    trainings[:] = ["before"]  # so that other weights come out
    shutil.rmtree(teacher.parent)
    assert compare.main(twice) == 0
    assert trainings[1:] == ["teacher", "PCKD, seed 0", "PCKD, seed 1"]
    assert len(list(tmp_path.glob("PCKD/*.old"))) == 2
    # All of it anew needs nothing of what was there.
    teacher.unlink()
    trainings.clear()
    assert compare.main([*once[:3], "--fresh", *once[3:]]) == 0
    assert trainings == ["teacher", "student alone, seed 0", "PCKD, seed 0"]


def test_what_slurm_trains_is_not_trained_here(
    tmp_path, trainings, monkeypatch, capsys
):
    pytest.importorskip("submitit")
    monkeypatch.setattr("pckd_mm.experiments.slurm._queued", lambda: {"5_0"})
    args = command(tmp_path, "--teacher", ALONE, *seeds(0))
    note = tmp_path / "PCKD" / "seed_0" / "submitted.json"
    note.parent.mkdir(parents=True)
    note.parent.with_suffix(".py").write_text("as it was handed over")
    note.write_text('{"job": "5_0"}')
    assert compare.main(args) == 1 and not trainings
    assert "PCKD, seed 0 is queued or running as job 5_0" in capsys.readouterr().err
    note.write_text('{"job": "5_1"}')
    assert compare.main(args) == 0 and len(trainings) == 3


def test_settings_that_nothing_reads_end_it_before_the_first_training(
    tmp_path, trainings, capsys
):
    """As those of pckd train; they would stand in the table as if they did."""
    args = command(tmp_path, "--teacher", ALONE, *seeds(0))
    for misspelt, meant in (
        ("tran_cfg.max_epochs=2", "train_cfg"),
        ("default_hooks.checkpoint.intervall=2", "interval"),
    ):
        assert compare.main([*args, misspelt]) == 1
        assert f"did you mean {meant}?" in capsys.readouterr().err and not trainings


def test_fresh_repeats_everything(tmp_path, trainings, capsys):
    args = command(tmp_path, "--teacher", ALONE, *seeds(0))
    assert compare.main(args) == 0
    trainings.clear()
    fresh = [*args[:3], "--fresh", "--dry-run", *args[3:]]
    assert compare.main(fresh) == 0 and not trainings
    lines = capsys.readouterr().out.splitlines()
    told = [line.split(",")[0] for line in lines if "removed, anew, on" in line]
    assert told == ["teacher: removed", "student alone", "PCKD"], lines
    assert lines[-1] == "3 runs, 0 finished"
    assert compare.main([*args[:3], "--fresh", *args[3:]]) == 0
    assert len(trainings) == 3
    assert not list(tmp_path.glob("*/*.old"))


def test_an_interrupted_run_is_continued(tmp_path, trainings):
    args = command(tmp_path, "--teacher", ALONE, *seeds(0))
    assert compare.main(args) == 0
    trainings.clear()
    folder = tmp_path / "PCKD" / "seed_0"
    (folder / "finished.json").unlink()
    (scalars,) = folder.glob("*/vis_data/scalars.json")
    scalars.write_text(json.dumps({"accuracy/top1": 12.5, "step": 1}))
    assert compare.main(args) == 0
    assert trainings == ["PCKD, seed 0"]
    result = json.loads((tmp_path / "report.json").read_text())
    assert result["tables"][0]["methods"][1]["runs"][0]["accuracy"] == {
        "1": 12.5,
        "2": 82.0,
    }


def test_a_run_without_its_last_epoch_has_failed(tmp_path, trainings, capsys):
    def stop_early(run, threads=None, place=None):
        run.log.write_text("the end of the log\n")
        run.process = FakeProcess()

    Run.start = stop_early  # the fixture's undo restores it
    assert compare.main(command(tmp_path, "--teacher", ALONE, *seeds(0))) == 1
    error = capsys.readouterr().err
    assert "the end of the log" in error and "teacher failed (exit status 0)" in error
    assert "PCKD, seed 0 was not trained: teacher failed." in error
    assert error.endswith("3 failed: teacher; student alone, seed 0; PCKD, seed 0\n")


def test_a_method_its_options_and_its_seeds():
    assert compare.parse_method("kd") == ("kd", None)
    assert compare.parse_method("kd:0,2") == ("kd", [0, 2])
    text = "pckd@loss_kd=4@loss_cc.type=Center"
    assert compare.parse_method(f"{text}:1") == (text, [1])


@pytest.mark.parametrize(
    "args, message",
    [
        (["--run=alone"], "expected NAME=CONFIG"),
        (["--run=a=x.py", "--run=a=y.py"], "expected different names"),
        (["--run=teacher=x.py"], "expected different names"),
        (["--run=inspection=x.py"], "expected different names"),
        (["--run=a=x.py", "--jobs=0"], "--jobs is 0; expected 1 or more"),
        (["--run=a=x.py", "--seeds", "1", "1"], "names a seed twice"),
        (["--run=a=x.py", "--threads=0"], "--threads is 0; expected 1 or more"),
        (["--run=a=x.py", "--retries=-1"], "--retries is -1; expected 0 or more"),
        (["--run=a=x.py", "--retries=5"], "--retries is for machines of a Ray cluster"),
        (["--run=a=x.py", "--dataset=voc"], "--dataset is for --pairs; expected both"),
        (["x.py", "--methods", "kd:0,1"], "--methods has kd:0,1, and seeds and sett"),
        (["--run=a=x.py", "--gpus-per-run=0"], "--gpus-per-run is 0; expected 1"),
        (["--run=a=x.py", "--submit=slurm", "--ray"], "are two ways to train"),
        (["--run=a=x.py", "--submit=slurm", "--per-gpu=2"], "a job of Slurm has its"),
        (["--run=a=x.py", "--share-teacher=0"], "--share-teacher is 0; expected 1"),
        (["--run=a=x.py", "--share-teacher", "--ray"], "without --ray and --gpus-per"),
        (
            ["--run=a=x.py", "--share-teacher", "--gpus-per-run=2"],
            "processes of one machine and one device",
        ),
        (["--run=a=x.py", "--share-teacher", "--submit=slurm"], "without --submit"),
        ([], "nothing to compare"),
        (["--methods=kd"], "expected --methods and --pairs together"),
        (["--methods=kd:x", "--pairs=p"], "expected METHOD or METHOD:SEED"),
        (["--methods=kd:1,1", "--pairs=p"], "with different seeds"),
        (["--methods=kd@x", "--pairs=p"], "with options in between"),
        (["--run=a=x.py", "--slurm", "a=1"], "--slurm is for --submit slurm"),
        (["--run=a=x.py", "--submit=slurm", "--collect"], "--collect is for what"),
        (["--run=a=x.py", "--submit=slurm", "--inspect"], "--inspect tests networks"),
        (["--run=a=x.py", "--collect", "--inspect"], "--inspect tests networks here"),
        (["--run=a=x.py", "--collect", "--fresh"], "--collect trains nothing"),
        (["--methods", "kd", "kd:1", "--pairs=p"], "names a method twice"),
        (["--methods=kd", "--teacher=t.py", "--pairs", "p", "q"], "a single pair"),
    ],
)
def test_wrong_arguments(args, message, capsys):
    with pytest.raises(SystemExit):
        compare.parse_args(args)
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    "args, message",
    [
        (["--run=a=missing.py"], "a: There is no config missing.py; expected a file"),
        ([f"--run=a={ALONE}", "--teacher=missing.pth"], "no teacher missing.pth"),
    ],
)
def test_missing_files(args, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    assert compare.main([*args, f"--work-dir={tmp_path}"]) == 1
    assert message in capsys.readouterr().err


def test_the_options_of_slurm_may_stay_where_its_runs_are_collected():
    args = ["--run=a=x.py", "--collect", "--slurm", "partition=gpu"]
    assert compare.parse_args(args).slurm == {"partition": "gpu"}


def test_a_teacher_that_each_run_fetches_is_not_trained(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = ROOT / "configs" / "pckd" / "letters_resnet20_resnet8_thin.py"
    cfg = load_config(config)
    network = cfg.model.pop("teacher_config")
    cfg.model.teacher = load_config(ROOT / network).model
    found = {}
    for name, changes in {
        "a url": {"model.teacher_ckpt": "https://example.org/teacher.pth"},
        "the zoo": {"model.teacher_ckpt": "resnet18_8xb32_in1k"},
        "its weights": {
            "model.teacher_ckpt": None,
            "model.teacher.init_cfg": dict(type="Pretrained", checkpoint="t.pth"),
        },
        "a part": {
            "model.teacher_ckpt": None,
            "model.teacher.backbone.init_cfg": dict(type="Pretrained", checkpoint="b"),
        },
        "nothing": {"model.teacher_ckpt": None},
    }.items():
        mine = Config(cfg.to_dict())
        mine.merge_from_dict(changes)
        path = tmp_path / f"{name.replace(' ', '_')}.py"
        mine.dump(path)
        found[name] = compare.parse_args([str(path)]).teacher
    trained = {name for name, teacher in found.items() if teacher}
    assert trained == {"a part", "nothing"}


def test_a_dry_run_builds_and_tells_what_would_be_done(tmp_path, trainings, capsys):
    trainings.fail = ["PCKD, seed 0"]
    args = command(tmp_path, "--teacher", ALONE, *seeds(0), "--jobs=1")
    assert compare.main(args) == 1
    for note in tmp_path.glob("**/finished.json"):
        content = json.loads(note.read_text())
        note.write_text(json.dumps({**content, "seconds_per_epoch": 30}))
    capsys.readouterr()
    args = command(tmp_path, "--teacher", ALONE, *seeds(0, 1), "--jobs=1", "--dry-run")
    trainings.clear()
    assert compare.main(args) == 0
    lines = capsys.readouterr().out.splitlines()
    assert not trainings and not (tmp_path / "PCKD" / "seed_1.py").exists()
    assert lines[0].startswith("teacher: finished, top-1 82.00")
    folder = tmp_path / "student_alone" / "seed_1"
    assert lines[4:6] == [
        f"student alone, seed 1: to do, on CPU, about 60 s  [{ALONE}]",
        f"    python -m pckd_mm train {folder}.py --work-dir {folder} --resume",
    ]
    assert lines[6].startswith("PCKD, seed 1: to do, on CPU  [")
    assert lines[-1] == "5 runs, 2 finished"

    wrong = ["optim_wrapper.optimizer.momentun=0.5", "model.distiller.previev=1"]
    for misspelt, meant in zip(wrong, ("momentum", "preview"), strict=True):
        assert compare.main([*args, misspelt]) == 1
        printed = capsys.readouterr()
        name = misspelt.partition("=")[0]
        assert name in printed.err and f"did you mean {meant}?" in printed.err
        assert not printed.out


def test_collecting_reports_what_is_finished_and_trains_nothing(
    tmp_path, trainings, capsys
):
    args = command(tmp_path, "--teacher", ALONE, *seeds(0), "--jobs=1")
    assert compare.main([*args[:3], "--collect", *args[3:]]) == 0
    assert not trainings and not (tmp_path / "report.md").exists()
    assert f"0 of 3 runs are finished, in {tmp_path}" in capsys.readouterr().out
    trainings.fail = ["PCKD, seed 0"]
    assert compare.main(args) == 1
    (tmp_path / "report.md").unlink()
    trainings.clear()
    assert compare.main([*args[:3], "--collect", *args[3:]]) == 0
    printed = capsys.readouterr().out
    assert f"2 of 3 runs are finished, in {tmp_path}" in printed
    assert "| student alone | 82.00" in printed and not trainings
    assert (tmp_path / "report.md").is_file()


def test_runs_are_handed_to_slurm_after_a_check(
    tmp_path, trainings, monkeypatch, capsys
):
    slurm = pytest.importorskip("pckd_mm.experiments.slurm")
    handed = []

    def submit(runs, folder, parameters, threads, fresh):
        handed.append((len(runs), folder, parameters["partition"], threads, fresh))
        return ["a line"]

    monkeypatch.setattr(slurm, "submit", submit)
    args = command(
        tmp_path,
        *("--teacher", ALONE, *seeds(0)),
        *("--submit=slurm", "--slurm", "partition=gpu", "--threads=2"),
    )
    assert compare.main(args) == 0
    assert handed == [(3, tmp_path / "slurm", "gpu", 2, False)] and not trainings
    assert capsys.readouterr().out.startswith(
        "a line\nThe same command with --collect "
    )
    assert compare.main([*args, "optim_wrapper.optimizer.momentun=0.5"]) == 1
    assert "did you mean momentum?" in capsys.readouterr().err and len(handed) == 1


def test_demo_compares_three_methods_over_three_seeds(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "tools")
    import demo

    calls = []
    monkeypatch.setattr(sys, "argv", ["demo.py"])
    monkeypatch.setattr(demo, "main", lambda argv, **kw: calls.append((argv, kw)) or 0)
    monkeypatch.chdir(ROOT)
    assert demo.run() == 0
    ((argv, settings),) = calls
    args = compare.parse_args(argv)
    assert [run.split("=")[0] for run in args.run] == ["student alone", "KD", "PCKD"]
    assert args.seeds == [0, 1, 2]
    for config in [args.teacher, *(run.split("=")[1] for run in args.run)]:
        assert (ROOT / config).is_file()
        assert "letters_" in config
    assert args.inspect
    # The report tells how the letters were chosen.
    assert any("No quarter turn of a letter" in note for note in settings["notes"])


@pytest.fixture
def clone(tmp_path, trainings, monkeypatch):
    """A folder with the repository's configs and nothing else."""
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def tables():
    result = json.loads((WORK_DIR / "report.json").read_text())
    return {table["name"]: table for table in result["tables"]}


def test_an_appendix_is_asked_for_once_in_the_end(tmp_path, trainings):
    asked = []

    def appendix(planned):
        asked.append([run.is_finished for run in planned[0].runs()])
        (tmp_path / "more.png").write_bytes(PNG)
        return [Picture("More", "more.png", "a dot", "what is more")]

    args = command(tmp_path, "--teacher", ALONE, *seeds(0), "--jobs=1")
    assert compare.main(args, appendix=appendix) == 0
    assert asked == [[True, True, True]]
    assert "## More\n\nwhat is more\n\n![a dot](more.png)\n\n[report.html]" in (
        (tmp_path / "report.md").read_text()
    )
    # Nothing is finished, nothing is shown.
    trainings.fail = ["teacher", "student alone, seed 0"]
    args = command(tmp_path / "new", "--teacher", ALONE, *seeds(0), "--jobs=1")
    assert compare.main(args, appendix=appendix) == 1
    assert len(asked) == 1


def test_methods_and_pairs_share_students_and_teachers(clone, trainings, capsys):
    args = ["--methods", "kd", "pckd:1", "--pairs", "resnet56_resnet20"]
    args += ["resnet110_resnet20", "resnet110_resnet32", "--seeds", "0", "--jobs=1"]
    assert compare.main(args) == 0
    first, second, third = (
        f"cifar100_{pair}"
        for pair in ("resnet56_resnet20", "resnet110_resnet20", "resnet110_resnet32")
    )
    alone = "cifar100_resnet20 vanilla, seed"
    assert trainings == [
        "cifar100_resnet56 teacher",
        *(f"{alone} 0", f"{first} kd, seed 0"),
        *(f"{alone} 1", f"{first} pckd, seed 1"),
        "cifar100_resnet110 teacher",
        *(f"{second} kd, seed 0", f"{second} pckd, seed 1"),
        *("cifar100_resnet32 vanilla, seed 0", f"{third} kd, seed 0"),
        *("cifar100_resnet32 vanilla, seed 1", f"{third} pckd, seed 1"),
    ]
    work = WORK_DIR
    # The header and the place that a --run kd=... in this folder has as well.
    text = (work / first / "kd" / "seed_0.py").read_text()
    checkpoint = work / "teachers" / "cifar100_resnet56" / "epoch_240.pth"
    assert text.startswith("# kd, seed 0\n# The teacher: ")
    assert f"teacher_ckpt='{checkpoint}'" in text

    table = tables()[first]
    assert table["teachers"][0]["name"] == "teacher, resnet56"
    assert [m["name"] for m in table["methods"]] == [
        "student alone, resnet20",
        "KD",
        "PCKD",
    ]
    assert [m["n"] for m in table["methods"]] == [2, 1, 1]
    # 240 epochs end at 80 + 240 + seed; the published row of resnet56 -> resnet20.
    assert [m["mean"] for m in table["methods"]] == [320.5, 320.0, 321.0]
    assert [m["gain"] for m in table["methods"]] == [None, -0.5, 0.5]
    assert table["teachers"][0]["published"] == 72.34
    assert [m["published"] for m in table["methods"]] == [69.06, 70.66, 72.21]
    assert table["methods"][2]["command"] == (
        "pckd compare --methods pckd --pairs resnet56_resnet20 --seeds 1"
    )
    (run,) = table["methods"][2]["runs"]
    assert run["hardware"] and run["precision"] == "float32" and run["commit"]
    assert (work / f"accuracy_{third}.png").is_file()
    assert f"## {third}" in capsys.readouterr().out

    trainings.clear()
    assert compare.main([*args, "--dry-run"]) == 0
    printed = capsys.readouterr().out
    assert f"{first} kd, seed 0: finished, top-1 320.00  [configs/kd/{first}.py]" in (
        printed
    )
    assert printed.endswith("12 runs, 12 finished\n") and not trainings
    assert compare.main(args) == 0 and not trainings


def test_a_teacher_that_is_there_is_tested_and_not_trained(clone, trainings):
    (clone / "zoo").mkdir()
    (clone / "zoo" / "cifar100_resnet20_60e.pth").write_text("weights")
    pair = "resnet20_resnet8_30e"
    args = ["--methods", "kd", "--pairs", pair, "--seeds", "0", "--jobs=1"]
    assert compare.main(args) == 0
    assert trainings == [
        "cifar100_resnet20_60e teacher",
        "cifar100_resnet8_30e vanilla, seed 0",
        f"cifar100_{pair} kd, seed 0",
    ]
    table = tables()[f"cifar100_{pair}"]
    assert table["teachers"][0]["mean"] == 99.0
    assert table["teachers"][0]["runs"][0]["tested"] == "zoo/cifar100_resnet20_60e.pth"
    # Twelve epochs have no published value.
    assert [m["published"] for m in table["methods"]] == [None, None]
    assert "published |" not in (WORK_DIR / "report.md").read_text()


def test_other_runs_go_on_when_one_fails(clone, trainings, capsys):
    name = "cifar100_resnet56_resnet20"
    trainings.fail = [f"{name} kd, seed 0"]
    args = ["--methods", "kd", "pckd", "--pairs=resnet56_resnet20", "--seeds=0"]
    assert compare.main([*args, "--jobs=1"]) == 1
    assert len(trainings) == 4
    captured = capsys.readouterr()
    assert f"{name} kd, seed 0: failed, see" in captured.out
    assert f"why {name} kd, seed 0 failed" in captured.err
    assert captured.err.endswith(f"1 failed: {name} kd, seed 0\n")
    _, kd, pckd = tables()[name]["methods"]
    assert (kd["n"], kd["mean"], pckd["n"]) == (0, None, 1)
    assert "| KD " in captured.out and "| - " in captured.out

    trainings.fail = ()
    assert compare.main([*args, "--jobs=1"]) == 0
    assert trainings[4:] == [f"{name} kd, seed 0"]


def test_a_report_that_cannot_be_renewed_stops_no_run(
    clone, trainings, monkeypatch, capsys
):
    write, left = comparison.write_report, [2]

    def full(*args, **settings):
        if left[0]:
            left[0] -= 1
            raise WriteError(28, "report.md was not written: No space left")
        return write(*args, **settings)

    monkeypatch.setattr(comparison, "write_report", full)
    args = ["--methods", "kd", "--pairs=resnet56_resnet20", "--seeds=0", "--jobs=1"]
    assert compare.main(args) == 0
    assert len(trainings) == 3 and (WORK_DIR / "report.md").is_file()
    told = "report.md was not written: No space left; the report is written after"
    assert capsys.readouterr().out.count(told) == 2
    left[0] = 9
    assert compare.main(args) == 1
    assert capsys.readouterr().err == "report.md was not written: No space left\n"


def test_the_report_is_renewed_after_each_run(clone, trainings, monkeypatch):
    finished = []
    write = comparison.write_report

    def note(folder, title, those, *args, **settings):
        finished.append([m.name for t in those for m in t.methods if m.curves])
        return write(folder, title, those, *args, **settings)

    monkeypatch.setattr(comparison, "write_report", note)
    args = ["--methods", "kd", "--pairs=resnet56_resnet20", "--seeds=0", "--jobs=1"]
    assert compare.main(args) == 0
    alone = "student alone, resnet20"
    assert finished == [[], [alone], [alone, "KD"], [alone, "KD"]]
