"""What a search says to do next."""

import json
import re
import shlex
from pathlib import Path

import pytest

pytest.importorskip("ray.tune")
pytest.importorskip("optuna")

from pckd_mm.commands import parse  # noqa: E402
from pckd_mm.commands.compare import parse_args  # noqa: E402
from pckd_mm.experiments import Request, Settings, make_plan  # noqa: E402
from pckd_mm.tuning.outcome import WINNER, write_outcome  # noqa: E402
from pckd_mm.tuning.space import find_ranges  # noqa: E402
from pckd_mm.tuning.trial_runs import Tuning, trial_runs  # noqa: E402
from pckd_mm.tuning.trials import Ledger  # noqa: E402
from pckd_mm.utils.config import load_config  # noqa: E402
from pckd_mm.utils.speed_arguments import SpeedArguments  # noqa: E402
from tests.builders import ROOT  # noqa: E402

CONFIG = "configs/pckd/letters_resnet20_resnet8_thin.py"
LOSS = "model.distiller.distill_losses.loss_kd.loss_weight"


@pytest.fixture(autouse=True)
def somewhere(tmp_path, monkeypatch):
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    monkeypatch.chdir(tmp_path)


def searched(teacher=None, options=None, config=CONFIG, **more):
    """A search of two trials, the second one better; returns it with its commands."""
    settings = Settings(ROOT, options or {}, val_share=0.2, **more)
    ranges = find_ranges(config, ["loss_kd=0.5..8"], options)
    tuning = Tuning(config, ranges, settings, Path("work"), teacher=teacher, seed=3)
    runs, _ = trial_runs(tuning)
    ledger = Ledger(tuning.work_dir / "trials", runs, {})
    for weight, reached in ((1.0, 60.0), (4.0, 70.0)):
        job = ledger.add({"loss_kd": weight}).job
        job.prepare()
        scalars = job.folder / "0" / "vis_data" / "scalars.json"
        scalars.parent.mkdir(parents=True)
        scalars.write_text(json.dumps({"accuracy/top1": reached, "step": job.epochs}))
        (job.folder / "finished.json").write_text("{}")
    write_outcome(tuning, ledger.trials(), "pckd tune")
    text = (tuning.work_dir / "report.md").read_text()
    commands = [shlex.split(c) for c in re.findall(r"```bash\n(.*?)\n```", text)]
    return tuning, commands


def planned(command):
    """The table that a command of the report trains."""
    assert command[:2] == ["pckd", "compare"]
    args = parse_args(command[2:])
    runs = dict(run.split("=", 1) for run in args.run)
    settings = Settings(ROOT, args.cfg_options, val_share=args.val_share)
    request = Request(settings, {}, [], runs, args.teacher, args.seeds)
    (table,) = make_plan(request)
    return table


def test_where_the_search_trained_the_teacher_it_is_trained_on_all_images():
    tuning, (train, again, test) = searched()
    # The config's own teacher is not there.
    found = planned(train)
    (line,) = found.lines
    (run,) = line.runs
    assert run.after.config == load_config(CONFIG).model.teacher_config
    assert run.after.settings.val_share is None and run.seed == 3
    assert run.cfg.model.distiller.distill_losses.loss_kd.loss_weight == 4
    for command, share in ((again, 0.2), (test, None)):
        table = planned(command)
        assert [line.name for line in table.lines] == ["as in the config", "found"]
        given, mine = (line.runs[0] for line in table.lines)
        assert given.after is mine.after is not None
        assert given.settings.val_share == share and len(table.lines[0].runs) == 3
        weights = [
            r.cfg.model.distiller.distill_losses.loss_kd.loss_weight
            for r in (given, mine)
        ]
        assert weights == [1, 4]


def test_a_teacher_that_is_there_is_not_trained():
    own = Path(load_config(CONFIG).model.teacher_ckpt)
    own.parent.mkdir(parents=True)
    own.touch()
    _, (train, again, test) = searched()
    assert train == ["pckd", "train", f"work/{WINNER}"]
    for command in (again, test):
        table = planned(command)
        assert table.teachers == [] and all(
            run.cfg.model.teacher_ckpt == str(own) and run.after is None
            for run in table.runs()
        )
    Path("mine.pth").touch()
    tuning, (train, again, _) = searched(teacher="mine.pth")
    assert load_config(train[2]).model.teacher_ckpt == "mine.pth"
    runs = planned(again).runs()
    assert {run.cfg.model.teacher_ckpt for run in runs} == {"mine.pth"}


def test_options_of_the_student_are_not_the_teachers():
    option = "model.distiller.distill_losses.loss_cc.loss_weight"
    options = {option: 0.5, "train_cfg.max_epochs": 4}
    tuning, (train, again, test) = searched(options=options)
    runs, teacher = trial_runs(tuning)
    assert "distiller" not in teacher.cfg.model and teacher.epochs == 4
    trial = runs(0, {"loss_kd": 1.0})
    assert trial.cfg.model.distiller.distill_losses.loss_cc.loss_weight == 0.5
    for command in (again, test):
        table = planned(command)
        teacher = table.teachers[0].runs[0]
        assert "distiller" not in teacher.cfg.model and teacher.epochs == 4
        for line in table.lines:
            (run, *_) = line.runs
            losses = run.cfg.model.distiller.distill_losses
            assert losses.loss_cc.loss_weight == 0.5 and run.epochs == 4


def test_settings_of_the_search_do_not_override_what_it_found():
    """Such as one that is searched, and that the config does not have otherwise."""
    options = {LOSS: 2.0, "optim_wrapper.optimizer.lr": 0.3}
    _, commands = searched(options=options)
    train, *both = commands
    for command in commands:
        assert "--cfg-options" not in command
        table = planned(command)
        *given, (found, *_) = (line.runs for line in table.lines)
        assert found.cfg.model.distiller.distill_losses.loss_kd.loss_weight == 4
        for run in (found, found.after, *(runs[0] for runs in given)):
            assert run.cfg.optim_wrapper.optimizer.lr == 0.3
        assert all(
            runs[0].cfg.model.distiller.distill_losses.loss_kd.loss_weight == 2
            for runs in given
        )


def test_speed_and_broken_files_stay_those_of_the_search():
    config = "configs/pckd/cifar100_resnet20_resnet8_30e.py"  # of image files
    own = Path(load_config(config).model.teacher_ckpt)
    own.parent.mkdir(parents=True)
    own.touch()
    more = dict(speed=SpeedArguments("auto", True, "default"), skip_broken=True)
    _, commands = searched(config=config, **more)
    for command in commands:
        args = parse(command[1:])
        assert (args.amp, args.fast, args.compile) == ("auto", True, "default")
        assert args.skip_broken


def test_the_batch_stays_that_of_the_search():
    own = Path(load_config(CONFIG).model.teacher_ckpt)
    own.parent.mkdir(parents=True)
    own.touch()
    _, (train, again, _) = searched(gpus_per_run=2)
    for command in (train, again):
        assert command[command.index("--gpus-per-run") + 1] == "2"
