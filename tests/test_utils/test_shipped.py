"""Configs and weights of the package are found from any folder."""

from pathlib import Path

import pytest

from pckd_mm.utils.checkpoint import read_checkpoint
from pckd_mm.utils.config import load_config
from pckd_mm.utils.shipped import (
    CONFIGS,
    MIM,
    beside_configs,
    config_names,
    find_config,
)
from tests.builders import ROOT

NAME = "pckd/cifar100_resnet56_resnet20"
FILE = ROOT / "configs" / f"{NAME}.py"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    "name",
    [
        NAME,
        f"{NAME}.py",
        f"configs/{NAME}.py",
        f"configs/{NAME}",
        f"pckd_mm::{NAME}.py",
        f"pckd_mm::{NAME}",
        Path(NAME),
    ],
)
def test_a_config_has_several_names(name):
    assert Path(find_config(name)).resolve() == FILE


def test_bases_and_names_without_a_folder():
    found = Path(find_config("pckd_mm::methods/pckd.py")).resolve()
    assert found == ROOT / "configs" / "_base_" / "methods" / "pckd.py"
    assert find_config("_base_/methods/pckd") == find_config("methods/pckd.py")
    only = Path(find_config("digits_resnet8_thin.py")).resolve()
    assert only == ROOT / "configs" / "vanilla" / "digits_resnet8_thin.py"


def test_a_file_of_the_user_comes_first(elsewhere):
    (elsewhere / "pckd").mkdir()
    mine = elsewhere / f"{NAME}.py"
    mine.write_text("mine = 1")
    assert find_config(f"{NAME}.py") == f"{NAME}.py"
    assert load_config(f"{NAME}.py").mine == 1
    # A folder of that name is no config.
    (elsewhere / "configs").mkdir()
    assert Path(find_config(f"configs/{NAME}.py")).resolve() == FILE


def test_other_libraries_find_their_own():
    name = "mmpretrain::resnet/resnet18_8xb32_in1k.py"
    assert find_config(name) == name


@pytest.mark.parametrize(
    "name, words",
    [
        (
            "pckd/cifar100_resnet56_resnet02",
            "^There is no config pckd/cifar100_resnet56_resnet02; expected a file, or "
            "a config of the package, such as pckd/cifar100_resnet56_resnet20: did you "
            "mean pckd/cifar100_resnet56_resnet20 or ",
        ),
        ("digits_resnet20_resnet8_thn", "did you mean pckd/digits_resnet20_resnet8_t"),
        (
            "digits_resnet20_resnet8_thin.py",
            r"^There are 2 configs digits_resnet20_resnet8_thin.py; expected one of "
            "them with its folder: kd/digits_.*, pckd/digits_",
        ),
        ("zzzzzz", r"resnet56_resnet20\.$"),
        ("/etc/zzzzzz.py", r"resnet56_resnet20\.$"),
        ("../configs/zzzzzz", r"resnet56_resnet20"),
        ("zz\0zz/a", "There is no config"),
        ("", "There is no config"),
    ],
)
def test_a_misspelt_name_is_answered_with_the_nearest(name, words):
    with pytest.raises(FileNotFoundError, match=words):
        find_config(name)


def test_a_path_that_is_not_here_is_looked_up_beside_the_configs(elsewhere):
    teacher = "zoo/cifar100_resnet20_60e.pth"
    assert beside_configs(teacher) == str(MIM / teacher)
    assert "state_dict" in read_checkpoint(teacher)
    for other in ("zoo/other.pth", "https://host/zoo/x.pth", "", "a" * 5000):
        assert beside_configs(other) == other
    (elsewhere / "zoo").mkdir()
    (elsewhere / teacher).write_bytes(b"mine")
    assert beside_configs(teacher) == teacher


def test_every_config_that_can_be_run_is_named():
    names = config_names()
    assert NAME in names and "vanilla/cifar100_resnet20" in names
    assert not [name for name in names if name.startswith("_")]
    assert all((CONFIGS / f"{name}.py").is_file() for name in names)
