"""The command ``pckd`` as a whole."""

import importlib
import re
import subprocess
import sys

import pytest

from pckd_mm import commands
from pckd_mm.commands import COMMANDS, doctor, main, make_parser, parse
from pckd_mm.commands.convert import CONVERTERS
from pckd_mm.diagnosis import Finding
from pckd_mm.version import __version__
from tests.builders import ROOT


def ended(capsys, *argv):
    """Exit status and what was printed."""
    with pytest.raises(SystemExit) as stop:
        main(argv)
    return stop.value.code, capsys.readouterr()


@pytest.mark.parametrize("argv", [["--help"], []])
def test_help_names_each_command(argv, capsys):
    if argv:
        status, printed = ended(capsys, *argv)
        assert status == 0
    else:
        assert main([]) == 2
        printed = capsys.readouterr()
    for name, what in COMMANDS.items():
        assert f"\n    {name} " in printed.out and what.split(",")[0] in " ".join(
            printed.out.split()
        )


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_a_command_begins_with_an_example(name, capsys):
    status, printed = ended(capsys, name, "--help")
    assert status == 0 and printed.out.startswith(f"usage: pckd {name} ")
    assert f"\n  pckd {name}" in printed.out.partition("options:")[0]


@pytest.mark.parametrize(
    "name, option",
    [("train", "--cfg-options"), ("tune", "--cfg-options"), ("compare", "--slurm")],
)
def test_a_config_behind_settings_is_told_from_them(name, option, capsys):
    status, printed = ended(capsys, name, option, "a=1", "config.py")
    assert status == 2
    assert f"{option} has config.py; expected KEY=VALUE: write what" in printed.err


def test_version(capsys):
    status, printed = ended(capsys, "--version")
    assert (status, printed.out) == (0, f"pckd {__version__}\n")


@pytest.mark.parametrize(
    "argv, words",
    [
        (["trian"], "there is no command trian; .*: did you mean train[?]"),
        (["zzz"], r"there is no command zzz; expected one of init, train, .*doctor\."),
        (["--zzz"], "pckd: error: "),
        (["train"], "pckd train: error: .* config"),
        (["convert"], "pckd convert: error: .* COMMAND"),
        (["export", "a", "b", "--zzz"], "unrecognized arguments: --zzz"),
    ],
)
def test_a_wrong_command_line_ends_with_status_2(argv, words, capsys):
    status, printed = ended(capsys, *argv)
    assert status == 2
    assert re.search(words, printed.err), printed.err


def test_only_the_module_of_the_command_is_imported(monkeypatch):
    asked = []
    monkeypatch.setattr(
        commands,
        "import_module",
        lambda name: asked.append(name) or importlib.import_module(name),
    )
    args = parse(["export", "a.pth", "b.pth"])
    assert (args.checkpoint, args.out) == ("a.pth", "b.pth")
    assert args.argv == ["export", "a.pth", "b.pth"]
    assert asked == ["pckd_mm.commands.export"]


def test_several_settings_behind_one_option():
    args = parse(["train", "x.py", "--cfg-options", "a=1", "b.c=[2,3]", "--amp"])
    assert args.cfg_options == {"a": 1, "b.c": [2, 3]} and args.amp == "auto"


@pytest.mark.parametrize("shell", ["bash", "zsh", "tcsh", "fish"])
def test_completion_knows_commands_and_options(shell, capsys, tmp_path):
    status, printed = ended(capsys, "--print-completion", shell)
    assert status == 0
    for word in (*COMMANDS, *CONVERTERS, "cfg-options", "per-gpu", "arch"):
        assert word in printed.out, word
    if shell == "bash":
        (tmp_path / "completion").write_text(printed.out)
        script = ". ./completion; _pckd_configs pckd/cifar100_resnet56_"
        done = subprocess.run(
            ["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True
        )
        assert done.stdout == "pckd/cifar100_resnet56_resnet20.py\n", done.stderr


def test_every_module_is_a_command():
    folder = ROOT / "pckd_mm" / "commands"
    helpers = {"__init__", "compare_options", "completion", "shared"}
    assert {path.stem for path in folder.glob("*.py")} - helpers == set(COMMANDS)
    others = {path.stem for path in (folder / "converters").glob("*.py")}
    assert others - {"__init__"} == set(CONVERTERS)
    assert make_parser().prog == "pckd"


@pytest.fixture
def findings(monkeypatch):
    """What the doctor finds."""
    found = [Finding("torch", "2.11.0", "<3")]
    from pckd_mm import diagnosis

    monkeypatch.setattr(diagnosis, "check_requirements", lambda: found)
    monkeypatch.setattr(diagnosis, "check_imports", lambda: [])
    return found


def test_the_doctor_finds_nothing_wrong(findings, capsys):
    assert main(["doctor"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("ok pckd_mm ") and lines[-1] == "All is well."
    assert "ok torch    2.11.0  <3" in lines


def test_the_doctor_advises(findings, capsys):
    findings.append(Finding("numpy", "3", "<2", "numpy is 3; expected <2: go back."))
    assert main(["doctor"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert "!! numpy    3       <2" in lines
    assert lines[-2:] == ["1 fault:", "- numpy is 3; expected <2: go back."]


def test_the_doctor_says_what_it_lacks_itself(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "pckd_mm.diagnosis", None)
    monkeypatch.delattr("pckd_mm.diagnosis", raising=False)
    assert doctor.run(None) == 1
    assert "pip install" in capsys.readouterr().out


@pytest.mark.parametrize("missing", ["torch", "mmrazor"])
def test_the_doctor_comes_where_the_package_cannot_be_imported(missing, tmp_path):
    (tmp_path / "sitecustomize.py").write_text(
        f"import sys; sys.modules[{missing!r}] = None"
    )
    environment = {"PYTHONPATH": f"{tmp_path}:{ROOT}", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "pckd_mm", "doctor"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1, done.stderr
    assert f"\n- import {missing}" in done.stdout or "- import pckd_mm" in done.stdout


def test_an_option_that_was_misspelt(capsys):
    with pytest.raises(SystemExit) as end:
        main(["train", "pckd/letters_resnet20_resnet8_thin", "--trak", "wandb"])
    assert end.value.code == 2
    said = capsys.readouterr().err
    assert "usage: pckd train" in said and "did you mean --track?" in said


def test_a_tracker_in_front_of_the_config(capsys):
    with pytest.raises(SystemExit):
        main(["train", "--track", "tensorboard", "pckd/letters_resnet20_resnet8_thin"])
    assert "some of tensorboard, wandb, mlflow, and behind" in capsys.readouterr().err
