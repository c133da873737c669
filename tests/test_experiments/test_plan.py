"""From methods, pairs and seeds to runs, teachers and tables."""

import json
import re
import shutil
from pathlib import Path

import pytest

from pckd_mm.analysis import AP
from pckd_mm.analysis.metric import VALIDATION
from pckd_mm.experiments import (
    ExperimentError,
    Request,
    Settings,
    TeacherTest,
    all_runs,
    describe,
    make_plan,
)
from pckd_mm.experiments.catalogue import all_methods, pairs_of, student_config
from pckd_mm.experiments.teachers import Teachers
from pckd_mm.utils.speed_arguments import SpeedArguments
from tests.builders import ROOT

MEASURED = (
    "val_evaluator = test_evaluator = dict(type='Accuracy')\n"
    "optim_wrapper = dict(optimizer=dict())\n"
)
STUDENT = MEASURED + "train_cfg = dict(max_epochs={})\nmodel = dict(type='Any')\n"
TAUGHT = STUDENT[:-2] + ", architecture=dict(type='Any')"
DISTILS = TAUGHT + ", teacher_config={!r}, teacher_ckpt={!r})\n"
TEACHER = "configs/vanilla/cifar100_resnet56.py"


@pytest.fixture(autouse=True)
def configs(tmp_path, monkeypatch):
    """Configs as in the repository: three networks, two methods and two pairs."""
    for name, epochs in (("resnet56", 240), ("resnet20", 240), ("wide_8", 12)):
        write(f"vanilla/cifar100_{name}", STUDENT.format(epochs), tmp_path)
    for method in ("pckd", "kd"):
        for student, epochs in (("resnet20", 240), ("wide_8", 12)):
            text = DISTILS.format(epochs, TEACHER, "zoo/resnet56.pth")
            write(f"{method}/cifar100_resnet56_{student}", text, tmp_path)
    write("zzz/cifar100_resnet56_wide_8", text, tmp_path)
    write("_base_/cifar100_resnet56_wide_8", text, tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(name, text, folder):
    path = folder / "configs" / f"{name}.py"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return f"configs/{name}.py"


NO_SPEED = SpeedArguments()


def ask(options=None, speed=NO_SPEED, val_share=None, **request):
    settings = Settings(ROOT, options or {}, speed, val_share)
    return make_plan(Request(settings, **request))


def seeds_of(table):
    return {line.name: [run.seed for run in line.runs] for line in table.lines}


def test_what_configs_holds():
    assert all_methods() == ["kd", "pckd", "zzz"]
    assert pairs_of("kd", "cifar100") == ["resnet56_resnet20", "resnet56_wide_8"]
    alone = student_config("cifar100", "resnet56_wide_8")
    assert str(alone) == "configs/vanilla/cifar100_wide_8.py"
    assert student_config("cifar100", "resnet56_none") is None


def test_what_is_not_here_is_the_packages(configs, monkeypatch):
    shutil.rmtree(configs / "configs" / "kd")
    (table,) = ask(methods={"kd": None}, pairs=["resnet56_resnet20"], seeds=[0])
    assert table.lines[1].runs[0].cfg.train_cfg.max_epochs == 240
    assert "resnet110_resnet32" in pairs_of("kd", "cifar100")
    assert all_methods() == ["pckd", "zzz"]
    shutil.rmtree(configs / "configs")
    assert {"pckd", "pckd_focal", "crd"} < set(all_methods())
    # What both networks have in common may be the pair's.
    for dataset, pair in (("voc", "gfl_r101_r50"), ("voc_gfl", "r101_r50")):
        assert student_config(dataset, pair).name == "voc_gfl_r50.py"
    assert {"gfl_r101_r50", "rtmdet_m_s"} < set(pairs_of("pckd", "voc"))
    # Of a pair that no method has it would be a part that is left over.
    for dataset, pair in (
        ("cifar100", "wrn_40_2_resnet_1"),
        ("cifar100", "resnet20_resnet9_60e"),
        ("voc", "frcnn_r101_swin_r18"),
    ):
        assert student_config(dataset, pair) is None
    request = dict(methods={"pckd": None}, pairs=["resnet20_resnet8_30e"], seeds=[0])
    (table,) = ask(**request)
    assert isinstance(table.teachers[0].runs[0], TeacherTest)
    assert table.teachers[0].runs[0].tested.name == "cifar100_resnet20_60e.pth"


def test_all_and_seeds_of_its_own():
    methods = {"pckd": [0, 5], "all": [7], "vanilla": None}
    (table,) = ask(methods=methods, pairs=["resnet56_wide_8"], seeds=[3])
    assert seeds_of(table) == {
        "student alone, wide_8": [0, 5, 7],
        "PCKD": [0, 5],
        "KD": [7],
        "zzz": [7],
    }
    assert table.name == "cifar100_resnet56_wide_8"


def test_seeds_of_the_student_alone():
    pairs = ["resnet56_wide_8"]
    (table,) = ask(methods={"vanilla": [4], "kd": None}, pairs=pairs, seeds=[3])
    assert seeds_of(table) == {"student alone, wide_8": [4], "KD": [3]}
    (table,) = ask(methods={"vanilla": None}, pairs=pairs, seeds=[3])
    assert seeds_of(table) == {"student alone, wide_8": [3]} and not table.teachers


def test_every_pair_of_the_methods_named():
    names = [table.name for table in ask(methods={"kd": None}, pairs=["all"])]
    assert names == ["cifar100_resnet56_resnet20", "cifar100_resnet56_wide_8"]
    # Not every method has every pair, where that is not asked for by name.
    tables = ask(methods={"zzz": None, "kd": None}, pairs=["all"])
    lines = {table.name: [line.name for line in table.lines[1:]] for table in tables}
    assert lines == {names[1]: ["zzz", "KD"], names[0]: ["KD"]}


def test_order_folders_and_shared_runs():
    methods, pairs = {"kd": [0, 1]}, ["resnet56_resnet20", "resnet56_wide_8"]
    tables = ask(methods=methods, pairs=pairs)
    runs = all_runs(tables)
    assert [
        (str(run), str(run.folder)[len("work_dirs/compare/") :]) for run in runs
    ] == [
        ("cifar100_resnet56 teacher", "teachers/cifar100_resnet56"),
        ("cifar100_resnet20 vanilla, seed 0", "vanilla/cifar100_resnet20/seed_0"),
        (
            "cifar100_resnet56_resnet20 kd, seed 0",
            "cifar100_resnet56_resnet20/kd/seed_0",
        ),
        ("cifar100_resnet20 vanilla, seed 1", "vanilla/cifar100_resnet20/seed_1"),
        (
            "cifar100_resnet56_resnet20 kd, seed 1",
            "cifar100_resnet56_resnet20/kd/seed_1",
        ),
        ("cifar100_wide_8 vanilla, seed 0", "vanilla/cifar100_wide_8/seed_0"),
        ("cifar100_resnet56_wide_8 kd, seed 0", "cifar100_resnet56_wide_8/kd/seed_0"),
        ("cifar100_wide_8 vanilla, seed 1", "vanilla/cifar100_wide_8/seed_1"),
        ("cifar100_resnet56_wide_8 kd, seed 1", "cifar100_resnet56_wide_8/kd/seed_1"),
    ]
    teacher = runs[0]
    assert tables[0].teachers[0].runs == tables[1].teachers[0].runs == [teacher]
    for run in runs[1:]:
        assert run.after is (teacher if run.name == "kd" else None)
    assert runs[2].cfg.model.teacher_ckpt == str(teacher.checkpoint)
    text = describe(tables).splitlines()
    assert text[0] == f"cifar100_resnet56 teacher: to do  [{TEACHER}]"
    assert text[-1] == "9 runs, 0 finished"


def test_published_values_stand_beside_their_very_setting_alone():
    methods, pair = {"kd": None, "pckd": None}, "resnet56_resnet20"

    def values(**request):
        (table,) = ask(methods=methods, **request)
        return [line.published for line in (table.teachers[0], *table.lines)]

    assert values(pairs=[pair]) == [72.34, 69.06, 70.66, 72.21]
    assert values(pairs=[pair], options={"a": 1}) == [None] * 4
    assert values(pairs=["resnet56_wide_8"]) == [72.34, None, None, None]


def test_commands_tell_what_is_not_the_default(tmp_path):
    methods, pairs = {"kd": [0, 1]}, ["resnet56_resnet20"]
    (table,) = ask(methods=methods, pairs=pairs)
    command = "pckd compare --methods {} --pairs resnet56_resnet20"
    teach = f"pckd train {TEACHER}"
    assert [line.command for line in table.lines] == [
        f"{command.format('vanilla')} --seeds 0 1",
        f"{command.format('kd')} --seeds 0 1",
    ]
    assert table.teachers[0].command == f"{teach} --cfg-options randomness.seed=0"
    speed = SpeedArguments(amp="auto", fast=True)
    more = dict(options={"a": "b c"}, speed=speed, work_dir=tmp_path / "w")
    (table,) = ask(methods=methods, pairs=pairs, teacher=TEACHER, **more)
    assert table.lines[1].command == (
        f"{command.format('kd')} --seeds 0 1 --teacher {TEACHER} --work-dir "
        f"{tmp_path / 'w'} --amp --fast --cfg-options 'a=b c'"
    )
    assert table.teachers[0].command == (
        f"{teach} --amp --fast --cfg-options randomness.seed=0 'a=b c'"
    )


LOSSES = (
    "model = dict(type='Any', distiller=dict(distill_losses=dict("
    "loss_kd=dict(type='K', loss_weight=1.0), loss_cc=dict(type='C'))))\n"
)


def test_a_method_with_settings_of_its_own_is_a_line(configs):
    text = MEASURED + "train_cfg = dict(max_epochs=12, x=0)\n" + LOSSES
    write("pckd/cifar100_resnet56_wide_8", text, configs)
    changed = "pckd@loss_kd=4@loss_cc.tau=0.5@train_cfg.x=[1,2]@model.y=None"
    methods = {"pckd": None, changed: [5], "kd@model.z=1": [0]}
    (table,) = ask(methods=methods, pairs=["resnet56_wide_8"], options={"model.z": 3})
    assert seeds_of(table) == {
        "student alone, wide_8": [0, 5],
        "PCKD": [0],
        "PCKD, loss_kd=4, loss_cc.tau=0.5, train_cfg.x=[1,2], model.y=None": [5],
        "KD, model.z=1": [0],
    }
    _, plain, line, kd = table.lines
    assert plain.runs[0].cfg.model.distiller.distill_losses.loss_kd.loss_weight == 1
    (run,) = line.runs
    losses = run.cfg.model.distiller.distill_losses
    assert losses == dict(
        loss_kd=dict(type="K", loss_weight=4), loss_cc=dict(type="C", tau=0.5)
    )
    assert run.cfg.train_cfg == dict(max_epochs=12, x=[1, 2])
    assert run.cfg.model.y is None and run.cfg.model.z == 3
    assert kd.runs[0].cfg.model.z == 1  # its own, before what all share
    folder = "pckd_loss_kd_4_loss_cc.tau_0.5_train_cfg.x_1_2_model.y_None"
    assert run.folder.parent.name == folder
    command = "pckd compare --methods '{}' --pairs resnet56_wide_8 --seeds 5"
    assert line.command == command.format(changed) + " --cfg-options model.z=3"


def test_a_value_of_other_settings_is_not_the_published_one():
    methods = {"kd": None, "kd@model.x=1": None}
    (table,) = ask(methods=methods, pairs=["resnet56_resnet20"])
    assert [line.published for line in table.lines] == [69.06, 70.66, None]


def test_finished_runs_of_other_settings_are_in_no_table():
    request = dict(methods={"vanilla": None}, pairs=["resnet56_wide_8"])
    (table,) = ask(**request)
    (run,) = table.runs()
    run.prepare()
    folder = run.folder / "1" / "vis_data"
    folder.mkdir(parents=True)
    (folder / "scalars.json").write_text('{"accuracy/top1": 61.0, "step": 12}')
    (run.folder / "finished.json").write_text("{}")
    assert table.table().methods[0].curves == {0: {12: 61.0}}
    (table,) = ask(**request, options={"train_cfg.val_interval": 3})
    assert table.table().methods[0].curves == {}


def test_a_batch_of_several_gpus_is_not_the_published_setting():
    settings = Settings(ROOT, gpus_per_run=4)
    request = Request(settings, {"kd": None}, ["resnet56_resnet20"])
    (table,) = make_plan(request)
    assert [line.published for line in table.lines] == [None, None]
    assert table.teachers[0].command == ""


def test_training_images_are_held_out(configs):
    data = """
pipeline = []
train_dataloader = dict(dataset=dict(type='D', split='train', pipeline=['augment']))
val_dataloader = test_dataloader = dict(dataset=dict(type='D', split='test'))
"""
    for name in ("vanilla/cifar100_resnet56", "vanilla/cifar100_resnet20"):
        write(name, STUDENT.format(240) + data, configs)
    text = DISTILS.format(240, TEACHER, "zoo/resnet56.pth") + data
    write("kd/cifar100_resnet56_resnet20", text, configs)
    request = dict(methods={"kd": None}, pairs=["resnet56_resnet20"], val_share=0.1)
    (table,) = ask(**request)
    # The teacher is trained without the images that are held out, too.
    runs = table.runs()
    assert len(runs) == 3
    for run in runs:
        assert "split='test'" not in run.cfg.pretty_text
        assert run.cfg.val_dataloader.dataset.share == 0.1
    assert [line.published for line in table.lines] == [None, None]
    assert table.lines[1].command.endswith("--seeds 0 --val-share 0.1")
    # One that is there has seen them: testing it would tell nothing.
    (configs / "zoo").mkdir()
    (configs / "zoo" / "resnet56.pth").touch()
    (table,) = ask(**request)
    assert table.teachers == [] and len(table.runs()) == 2


def test_which_teacher(configs):
    request = dict(methods={"kd": None}, pairs=["resnet56_resnet20"])
    (table,) = ask(**request)
    (trained,) = table.teachers[0].runs
    own, mine = configs / "zoo" / "resnet56.pth", configs / "mine.pth"
    own.parent.mkdir()
    own.touch()
    mine.touch()

    (table,) = ask(**request)
    (test,) = table.teachers[0].runs
    assert isinstance(test, TeacherTest) and str(test.tested) == "zoo/resnet56.pth"
    assert test.folder.name == "cifar100_resnet56_test"
    (run,) = table.lines[1].runs
    # A teacher that does not fit keeps its students from hours of training.
    assert run.after is test and run.cfg.model.teacher_ckpt == "zoo/resnet56.pth"
    line = (
        f"cifar100_resnet56 teacher: to do  [zoo/resnet56.pth, tested with {TEACHER}]"
    )
    assert line in describe([table]).splitlines()
    assert table.teachers[0].command == f"pckd test {TEACHER} zoo/resnet56.pth"

    (table,) = ask(**request, teacher="mine.pth")
    assert str(table.teachers[0].runs[0].tested) == "mine.pth"
    (table,) = ask(**request, teacher="configs/vanilla/cifar100_wide_8.py")
    assert table.teachers[0].name == "teacher, wide_8"
    assert table.lines[1].runs[0].after is table.teachers[0].runs[0]

    # Once begun, it stays the one that is trained here.
    trained.prepare()
    (table,) = ask(**request)
    assert not isinstance(table.teachers[0].runs[0], TeacherTest)


def test_each_config_has_the_teacher_that_it_names(configs):
    for name in ("resnet56", "mine", "other"):
        (configs / "zoo").mkdir(exist_ok=True)
        (configs / "zoo" / f"{name}.pth").touch()
    text = DISTILS.format(240, TEACHER, "zoo/mine.pth")
    mine = write("own/cifar100_resnet56_resnet20", text, configs)
    option = "kd@model.teacher_ckpt=zoo/other.pth"
    request = dict(methods={"kd": None, option: None}, pairs=["resnet56_resnet20"])
    (table,) = ask(**request, runs={"mine": mine})
    taught = {line.name: line.runs[0] for line in table.lines[1:]}
    found = {name: run.cfg.model.teacher_ckpt for name, run in taught.items()}
    assert found == {
        "KD": "zoo/resnet56.pth",
        "KD, model.teacher_ckpt=zoo/other.pth": "zoo/other.pth",
        "mine": "zoo/mine.pth",
    }
    # Each is tested, in a folder of its own, before its students are trained.
    for run in taught.values():
        assert str(run.after.tested) == run.cfg.model.teacher_ckpt
    folders = sorted(run.after.folder.name for run in taught.values())
    assert folders == [f"cifar100_resnet56_test{n}" for n in ("", "_2", "_3")]
    # The table has all of them, and says whose students are whose.
    names = ["", " (zoo/other.pth)", " (zoo/mine.pth)"]
    names = [f"teacher, resnet56{which}" for which in names]
    assert [line.name for line in table.teachers] == names
    assert table.learns_from() == ["", *names]
    tested = [line.runs[0] for line in table.teachers]
    assert tested == [run.after for run in taught.values()] == table.runs()[:3]
    # Also where another line has such a name.
    runs = {"mine": mine, "teacher, resnet56": mine}
    (table,) = ask(methods={"kd": None}, pairs=["resnet56_resnet20"], runs=runs)
    assert table.teachers[0].name == "teacher, resnet56 (zoo/resnet56.pth)"
    # So it is for one that is begun here, which would else be everyone's.
    begun = configs / "work_dirs/compare/teachers/cifar100_resnet56.py"
    begun.parent.mkdir(parents=True)
    begun.touch()
    (table,) = ask(**request)
    found = [line.runs[0].after.folder.name for line in table.lines[1:]]
    assert found == ["cifar100_resnet56", "cifar100_resnet56_test"]


def test_a_teacher_that_is_named_in_two_ways_is_one(configs):
    text = DISTILS.format(240, f"./{TEACHER}", "zoo/resnet56.pth")
    mine = write("own/cifar100_resnet56_resnet20", text, configs)
    request = dict(methods={"kd": None}, pairs=["resnet56_resnet20"])
    for _ in range(2):  # trained, then tested
        (table,) = ask(**request, runs={"mine": mine})
        teachers = {line.runs[0].after for line in table.lines[1:]}
        assert teachers == {table.teachers[0].runs[0]}
        (configs / "zoo").mkdir(exist_ok=True)
        (configs / "zoo" / "resnet56.pth").touch()


def test_a_teacher_that_is_tested_may_have_been_stopped_early(configs):
    text = STUDENT.format(240) + "custom_hooks = [dict(type='EarlyStoppingHook')]\n"
    write("vanilla/cifar100_resnet56", text, configs)
    request = dict(methods={"kd": None}, pairs=["resnet56_resnet20"])
    with pytest.raises(ExperimentError, match="has the EarlyStoppingHook"):
        ask(**request)
    (configs / "zoo").mkdir()
    (configs / "zoo" / "resnet56.pth").touch()
    (table,) = ask(**request)
    assert isinstance(table.teachers[0].runs[0], TeacherTest)


def test_a_teacher_is_named_once_and_there(configs):
    (configs / "mine.pth").touch()
    pair = ["resnet56_resnet20"]
    for missing in ("kd@model.teacher_ckpt=zoo/no.pth", "kd"):
        options = {} if "@" in missing else {"model.teacher_ckpt": "zoo/no.pth"}
        with pytest.raises(ExperimentError, match="no teacher_ckpt zoo/no.pth for"):
            ask(options, methods={missing: None}, pairs=pair)
    named = "kd@model.teacher_ckpt=mine.pth"
    with pytest.raises(ExperimentError, match="name the teacher by --teacher"):
        ask(methods={named: None}, pairs=pair, teacher=TEACHER)
    # A setting counts for runs that are named one by one as well.
    runs = {"mine": "configs/kd/cifar100_resnet56_resnet20.py"}
    (table,) = ask({"model.teacher_ckpt": "mine.pth"}, runs=runs)
    assert table.lines[0].runs[0].cfg.model.teacher_ckpt == "mine.pth"
    assert table.learns_from() == ["mine.pth"]
    (table,) = ask(runs=runs, teacher=TEACHER)
    assert table.learns_from() == ["teacher"]


def test_a_teacher_that_brings_its_weights(configs):
    text = (TAUGHT + f", teacher_config={TEACHER!r})\n").format(240)
    write("kd/cifar100_resnet56_resnet20", text, configs)
    request = dict(methods={"kd": None}, pairs=["resnet56_resnet20"])
    (table,) = ask(**request)
    (run,) = table.lines[1].runs
    assert table.teachers == [] and run.distils and run.after is None
    assert "teacher_ckpt" not in run.cfg.model
    own = "that of configs/kd/cifar100_resnet56_resnet20.py"
    assert table.learns_from() == ["", own]
    # Another one may be named.
    (configs / "mine.pth").touch()
    (table,) = ask(**request, teacher="mine.pth")
    assert table.lines[1].runs[0].cfg.model.teacher_ckpt == "mine.pth"


def test_a_teacher_that_is_not_there(configs):
    alone = "configs/vanilla/cifar100_resnet20.py"
    runs = {"alone": alone, "mine": "configs/kd/cifar100_resnet56_resnet20.py"}
    with pytest.raises(ExperimentError, match="no teacher_ckpt zoo/resnet56.pth for"):
        ask(runs=runs)
    # Neither is it there for a pair that does not say how to train it.
    text = (TAUGHT + ", teacher_ckpt='zoo/resnet56.pth')\n").format(240)
    write("kd/cifar100_resnet56_wide_8", text, configs)
    with pytest.raises(ExperimentError, match="no teacher_ckpt zoo/resnet56.pth for"):
        ask(methods={"kd": None}, pairs=["resnet56_wide_8"])


@pytest.mark.parametrize("name", ["https://example.org/a.pth", "resnet18_8xb32_in1k"])
def test_a_teacher_that_is_elsewhere_is_fetched_by_each_run(configs, name):
    own = write(
        "kd/cifar100_resnet56_wide_8", DISTILS.format(12, "none.py", name), configs
    )
    (table,) = ask(methods={"kd": None}, pairs=["resnet56_wide_8"])
    assert table.teachers == []
    assert table.lines[1].runs[0].cfg.model.teacher_ckpt == name
    (table,) = ask(runs={"mine": own})
    assert table.lines[0].runs[0].cfg.model.teacher_ckpt == name
    assert table.learns_from() == [name]
    # Even where it could be trained, but where that was begun.
    write("kd/cifar100_resnet56_resnet20", DISTILS.format(9, TEACHER, name), configs)
    request = dict(methods={"kd": None}, pairs=["resnet56_resnet20"])
    (table,) = ask(**request)
    assert table.teachers == []
    begun = configs / "work_dirs/compare/teachers/cifar100_resnet56.py"
    begun.parent.mkdir(parents=True)
    begun.touch()
    (table,) = ask(**request)
    assert table.lines[1].runs[0].after is table.teachers[0].runs[0]


def test_added_runs_join_the_table_of_their_pair():
    pairs = ["resnet56_resnet20", "resnet56_wide_8"]
    mine = {"my own": "configs/zzz/cifar100_resnet56_wide_8.py"}
    tables = ask(methods={"kd": None}, pairs=pairs, runs=mine)
    assert [list(seeds_of(table))[1:] for table in tables] == [["KD"], ["KD", "my own"]]
    (run,) = tables[1].lines[-1].runs
    assert str(run.folder).endswith("cifar100_resnet56_wide_8/my_own/seed_0")
    # The first line need not be the one that has a teacher.
    runs = {"a": "configs/vanilla/cifar100_wide_8.py", **mine}
    (table,) = ask(methods={"vanilla": None}, pairs=pairs[1:], runs=runs)
    assert table.runs()[0] is table.teachers[0].runs[0] is table.lines[2].runs[0].after


def test_runs_without_methods_are_one_table(configs):
    runs = {
        "student alone": "configs/vanilla/cifar100_resnet20.py",
        "mine": "configs/kd/cifar100_resnet56_resnet20.py",
    }
    (table,) = ask(runs=runs, teacher=TEACHER, seeds=[0, 1])
    assert table.name == "" and table.teachers[0].name == "teacher"
    work = "work_dirs/compare"
    assert [(str(run), str(run.folder)) for run in table.runs()] == [
        ("teacher", f"{work}/teacher"),
        ("student alone, seed 0", f"{work}/student_alone/seed_0"),
        ("mine, seed 0", f"{work}/mine/seed_0"),
        ("student alone, seed 1", f"{work}/student_alone/seed_1"),
        ("mine, seed 1", f"{work}/mine/seed_1"),
    ]
    assert [run.after is not None for run in table.runs()] == [False, False, True] + [
        False,
        True,
    ]
    (configs / "mine.pth").touch()
    (table,) = ask(runs=runs, teacher="mine.pth")
    assert table.teachers == []
    assert table.runs()[1].cfg.model.teacher_ckpt == "mine.pth"


KD = {"kd": None}
PAIR = ["resnet56_wide_8"]


def test_a_loss_that_is_misspelt_is_guessed(configs):
    text = MEASURED + "train_cfg = dict(max_epochs=12)\n" + LOSSES
    write("pckd/cifar100_resnet56_wide_8", text, configs)
    message = "loss_kd, loss_cc: did you mean loss_cc?"
    with pytest.raises(ExperimentError, match=re.escape(message)):
        ask(methods={"pckd@loss_c=4": None}, pairs=PAIR)


@pytest.mark.parametrize(
    "request_, message",
    [
        (dict(methods={"nonsense": None}, pairs=PAIR), "no folder configs/nonsense"),
        (dict(methods=KD, pairs=["resnet56_x"]), "no config of its student alone"),
        (dict(methods=KD, pairs=["x_resnet20"]), "no config configs/kd/cifar100_x_res"),
        (dict(methods=KD, pairs=PAIR, teacher="no.pth"), "There is no teacher no.pth"),
        (dict(methods=KD, pairs=PAIR, teacher="no.py"), "neither its teacher_ckpt zoo"),
        (dict(methods=KD, pairs=PAIR, runs={"kd": "a.py"}), "share a folder with the"),
        (
            dict(methods=KD, pairs=["all"], runs={"a": "a.py"}),
            "holds none of the pairs",
        ),
        (
            dict(methods=KD, pairs=PAIR, runs={"a": "a.py"}),
            "^a: There is no config a.py; expected a file",
        ),
        (
            dict(methods={"zzz@loss_kb=4": None}, pairs=PAIR),
            "wide_8.py has no loss_kb; expected one of its losses, none.",
        ),
        (
            dict(methods={"kd@a=1": None, "kd@a@1": None}, pairs=PAIR),
            "kd@a=1 and kd@a@1 would share the folder kd_a_1; expected one",
        ),
        (dict(methods={"vanilla@a=1": None}, pairs=PAIR), "vanilla@a=1: settings of"),
        (
            dict(methods={"all@a=1": None}, pairs=PAIR),
            "are for a method; expected --run",
        ),
        (
            dict(methods=KD, pairs=PAIR, runs={"KD": "a.py"}),
            "--run KD would be a second line of that name",
        ),
        (
            dict(methods=KD, pairs=PAIR, runs={"student alone, wide_8": "a.py"}),
            "--run student alone, wide_8 would be a second line of that name",
        ),
        (dict(methods=KD, pairs=PAIR, val_share=2), "hold out is 2; expected one betw"),
    ],
)
def test_what_is_missing_is_named(request_, message):
    with pytest.raises(ExperimentError, match=message):
        ask(**request_)


def test_one_comparison_has_one_metric(configs):
    text = STUDENT.format(12).replace("Accuracy", "mmdet.VOCMetric")
    write("vanilla/voc_student", text, configs)
    runs = {"a": "configs/vanilla/voc_student.py"}
    (table,) = ask(runs=runs)
    assert table.table().metric.name == "mAP@0.5"
    runs["b"] = "configs/vanilla/cifar100_wide_8.py"
    with pytest.raises(
        ExperimentError,
        match="voc_student.py is measured by mAP@0.5, .*wide_8.py by top-1",
    ):
        ask(runs=runs)


def test_metrics_beside_the_first_are_read_where_they_are(configs):
    text = STUDENT.format(12).replace("Accuracy", "mmdet.VOCMetric")
    (table,) = ask(runs={"a": write("vanilla/voc_student", text, configs)})
    folder = table.runs()[0].folder / "1" / "vis_data"
    folder.mkdir(parents=True)
    (folder.parents[1] / "finished.json").write_text("{}")
    scores = {"pascal_voc/mAP": 0.5, "pascal_voc_50_95/mAP": 0.25, "step": 12}
    for keys, further in ((2, {}), (3, {AP: {0: {12: 25.0}}})):
        kept = dict(sorted(scores.items(), key=lambda s: len(s[0]))[:keys])
        (folder / "scalars.json").write_text(json.dumps(kept))
        (method,) = table.table().methods
        assert method.curves == {0: {12: 50.0}} and method.further == further


def test_foreign_folders_are_refused(configs):
    folder = configs / "work_dirs/compare/vanilla/cifar100_wide_8/seed_0"
    folder.mkdir(parents=True)
    (folder / "precious.txt").touch()
    with pytest.raises(ExperimentError, match="was not made by this tool"):
        ask(methods=KD, pairs=PAIR)


def test_a_teacher_that_was_named_is_tested_beside_single_runs(configs):
    """Where there is a config to test it with, and it has not seen the images."""
    (configs / "mine.pth").touch()
    request = dict(runs={"KD": "configs/kd/cifar100_resnet56_wide_8.py"})
    request.update(teacher="mine.pth", teacher_test=TEACHER)
    (table,) = ask(**request)
    ((teacher,),) = [line.runs for line in table.teachers]
    assert isinstance(teacher, TeacherTest) and teacher.tested == Path("mine.pth")
    assert teacher.config == TEACHER
    (run,) = table.lines[0].runs
    assert run.after is teacher and run.cfg.model.teacher_ckpt == "mine.pth"
    held_out = Request(Settings(ROOT, val_share=0.1), teacher="mine.pth")
    assert Teachers(held_out).test_with(TEACHER) is None


def test_what_is_measured_on_is_said_of_the_students(configs):
    """A teacher that is there is tested on what they are validated on."""
    loaders = "".join(
        f"{split}_dataloader = dict(dataset=dict(type='Any', split='{split}'))\n"
        for split in ("val", "test")
    )
    config = write("mine/own", STUDENT.format(12) + loaders, configs)
    (table,) = ask(runs={"mine": config}, teacher=TEACHER)
    assert table.runs()[0].config == TEACHER
    assert table.table().images == VALIDATION
