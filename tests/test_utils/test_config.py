"""Configs of both kinds import the modules that they name."""

import importlib
import re
import runpy
import sys

import pytest
from mmengine.config import Config
from mmengine.runner import IterBasedTrainLoop

from pckd_mm.commands import main
from pckd_mm.registry import HOOKS
from pckd_mm.utils.config import (
    load_config,
    loader_of,
    loop_name,
    model_of,
    require_model,
)
from pckd_mm.utils.dependencies import has_detection
from tests.builders import CONFIGS, ROOT

CONFIG = "pckd/letters_resnet20_resnet8_thin.py"
RUNTIME = "_base_/runtime.py"
MINE = Config.fromfile(CONFIGS / RUNTIME).default_hooks


@pytest.fixture()
def module(tmp_path, monkeypatch):
    """Name of a module on Python's path that registers a hook."""
    name = f"hooks_of_{tmp_path.name}"
    (tmp_path / f"{name}.py").write_text(
        "from mmengine.hooks import Hook\n"
        "from pckd_mm.registry import HOOKS\n"
        f"HOOKS.register_module(name='Hook_{name}', module=type('H', (Hook,), {{}}))\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    yield name
    sys.modules.pop(name, None)
    HOOKS.module_dict.pop(f"Hook_{name}", None)


def write_config(folder, lazy: bool, imports: str):
    path = folder / "config.py"
    base = f"_base_ = {str(CONFIGS / RUNTIME)!r}\n"
    if lazy:
        (folder / "base.py").write_text((CONFIGS / RUNTIME).read_text())
        base = "from mmengine.config import read_base\nwith read_base():\n"
        base += "    from .base import *\n"
    path.write_text(f"{base}custom_imports = {imports}\n")
    return path


@pytest.mark.parametrize(
    "settings, expected",
    [
        (dict(by_epoch=True, max_epochs=2), "EpochBasedTrainLoop"),
        (dict(by_epoch=False, max_iters=2), "IterBasedTrainLoop"),
        (dict(type=IterBasedTrainLoop, max_iters=2), "IterBasedTrainLoop"),
        (
            dict(type="mmengine.EpochBasedTrainLoop", by_epoch=False),
            "EpochBasedTrainLoop",
        ),
        (dict(type="mine.MyLoop"), "MyLoop"),
    ],
)
def test_the_loop_is_the_one_that_a_runner_takes(settings, expected):
    assert loop_name(settings) == expected


@pytest.mark.parametrize(
    "own, of_run, expected",
    [
        (None, dict(mean=[1.0]), dict(mean=[1.0])),
        (dict(mean=[2.0]), dict(mean=[1.0]), dict(mean=[2.0])),
        (dict(), dict(mean=[1.0]), dict()),  # which takes pixels as they are
        (None, None, None),
    ],
)
def test_a_run_has_the_data_preprocessor_that_a_runner_gives_it(own, of_run, expected):
    cfg = Config(dict(model=dict(type="A")))
    if own is not None:
        cfg.model.data_preprocessor = own
    if of_run is not None:
        cfg.data_preprocessor = of_run
    before = cfg.to_dict()
    model = model_of(cfg)
    assert model.get("data_preprocessor") == expected
    model.data_preprocessor = dict(mean=[9.0])
    assert cfg.to_dict() == before


@pytest.mark.parametrize("lazy", [False, True])
def test_modules_are_imported(module, tmp_path, lazy):
    path = write_config(tmp_path, lazy, f"dict(imports=[{module!r}])")
    cfg = load_config(path)
    assert f"Hook_{module}" in HOOKS.module_dict
    assert cfg.log_level == "INFO" and cfg.default_hooks == MINE


def test_modules_that_an_option_names(module):
    options = {"custom_imports.imports": [module], "log_level": "ERROR"}
    cfg = load_config(CONFIGS / RUNTIME, options)
    assert f"Hook_{module}" in HOOKS.module_dict
    assert cfg.log_level == "ERROR"


@pytest.mark.parametrize("lazy", [False, True])
def test_a_module_that_is_not_there(module, tmp_path, monkeypatch, lazy):
    path = write_config(tmp_path, lazy, "dict(imports=['no_such_module'])")
    expected = (
        rf"^The custom_imports of {path} cannot be imported, No module named "
        r"'no_such_module'; expected modules on Python's path: set PYTHONPATH "
    )
    with pytest.raises(ImportError, match=expected):
        load_config(path)
    # The tools end with that sentence.
    monkeypatch.setattr("sys.argv", ["train.py", str(path)])
    with pytest.raises(SystemExit, match=expected):
        runpy.run_path(str(ROOT / "tools" / "train.py"), run_name="__main__")
    # The advice.
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.syspath_prepend(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "no_such_module.py").write_text("found = True\n")
    load_config(path)
    assert sys.modules.pop("no_such_module").found


def test_imports_that_are_none(tmp_path):
    path = write_config(tmp_path, True, "['a', 'b']")
    expected = r"custom_imports=\['a', 'b'\]; expected the names of modules: "
    with pytest.raises(ValueError, match=expected):
        load_config(path)


@pytest.mark.parametrize(
    "imports", ["dict(imports=[1])", "dict(import_=['a'])", "dict(imports=('a', 'b'))"]
)
def test_imports_of_another_form(tmp_path, imports):
    path = write_config(tmp_path, True, imports)
    with pytest.raises(ValueError, match="expected the names of modules: "):
        load_config(path)


@pytest.mark.parametrize(
    "fault, kind, words",
    [
        ("int(None)", TypeError, "TypeError: int.. argument must be"),
        ("int('x')", ValueError, "ValueError: invalid literal"),
        ("a b", SyntaxError, "SyntaxError: invalid syntax"),
    ],
)
def test_a_module_that_fails_is_named_with_its_error(
    module, tmp_path, monkeypatch, fault, kind, words
):
    broken = tmp_path / f"broken_of_{tmp_path.name}.py"
    broken.write_text(fault)
    path = write_config(tmp_path, True, f"dict(imports=[{module!r}, {broken.stem!r}])")
    expected = rf"^{broken.stem}, of the custom_imports of {path}, fails .*{words}"
    with pytest.raises(RuntimeError, match=expected) as error:
        load_config(path)
    assert type(error.value.__cause__) is kind
    # The tools do not end in a sentence that hides where it was.
    monkeypatch.setattr("sys.argv", ["train.py", str(path)])
    with pytest.raises(RuntimeError, match=expected):
        runpy.run_path(str(ROOT / "tools" / "train.py"), run_name="__main__")
    # The advice.
    broken.write_text("mended = True  # and longer")
    importlib.invalidate_caches()
    load_config(path)
    assert sys.modules.pop(broken.stem).mended


def test_distillations_name_what_mmrazor_needs():
    for name in ("runtime", "methods/pckd_roi"):
        if name != "runtime" and not has_detection():
            continue
        cfg = load_config(CONFIGS / "_base_" / f"{name}.py")
        assert cfg.custom_imports.imports == ["pckd_mm"]


def test_a_config_of_a_library():
    cfg = load_config("mmpretrain::resnet/resnet18_8xb32_in1k.py")
    assert cfg.model.backbone.depth == 18


def test_bases_that_set_the_same(tmp_path):
    for name in "ab":
        (tmp_path / f"{name}.py").write_text("model, data = {}, {}\n")
    path = tmp_path / "mine.py"
    path.write_text('_base_ = ["a.py", "b.py"]\n')
    with pytest.raises(ValueError) as error:
        load_config(path)
    assert str(error.value).startswith(
        f"{path} has bases that each set data, model; expected every setting in one "
        "base alone: leave one of them out of _base_, read it"
    )
    # As the advice says.
    path.write_text(
        '_base_ = "a.py"\n'
        "import mmengine\n"
        f"other = mmengine.Config.fromfile('{tmp_path / 'b.py'}')\n"
        "model = dict(_base_.model, **other.model, depth=2)\n"
        "del other\n"
    )
    assert load_config(path).to_dict() == dict(model=dict(depth=2), data={})


def test_a_key_that_a_config_lacks_stays_its_own_error(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text('model = {}["depth"]\n')
    with pytest.raises(KeyError, match="depth"):
        load_config(path)


@pytest.mark.parametrize(
    "name, text, said",
    [
        (
            "README.md",
            "# Read",
            r"README.md is no config; expected a file that ends in",
        ),
        (
            "bad.py",
            "model = dict(\nx =",
            r"bad.py, or one of its bases, is no Python: ",
        ),
        ("data.py", "a = 1\n", "data.py has no model; expected one of a training"),
    ],
)
def test_what_is_no_config_of_a_training(name, text, said, tmp_path, capsys):
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=said):
        require_model(load_config(tmp_path / name), tmp_path / name)
    # By each command that takes one.
    path, nowhere = str(tmp_path / name), str(tmp_path / "work")
    (tmp_path / "a.pth").touch()
    commands = [["train", path], ["test", path, str(tmp_path / "a.pth")]]
    commands.append(["compare", path])
    commands.append(["compare", f"--run=mine={path}"])
    for command in commands:
        with pytest.raises(SystemExit) as ended:
            raise SystemExit(main([*command, f"--work-dir={nowhere}"]))
        printed = "".join(capsys.readouterr())
        assert re.search(said, f"{printed} {ended.value}"), command


@pytest.mark.parametrize("command", ["train", "compare"])
def test_a_work_dir_that_is_a_file(command, tmp_path):
    (tmp_path / "file").touch()
    for work_dir in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(SystemExit, match="is a file; expected a folder"):
            main([command, str(CONFIGS / CONFIG), f"--work-dir={work_dir}"])


def test_settings_of_the_command_line_that_nothing_takes(tmp_path):
    options = ["--cfg-options", "train_cfg.max_epoch=1", "topk=5"]
    (tmp_path / "a.pth").touch()
    for command in ("train", "test"):
        rest = [str(tmp_path / "a.pth")] if command == "test" else []
        with pytest.raises(SystemExit, match="max_epoch: .*did you mean max_epochs"):
            main([command, str(CONFIGS / CONFIG), *rest, *options])


def test_the_loader_of_the_first_split_that_is_there():
    tested, validated = dict(dataset=dict(type="A")), dict(dataset=dict(type="B"))
    both = Config(dict(test_dataloader=tested, val_dataloader=validated))
    assert loader_of(both, "test", "val") == tested
    assert loader_of(both, "val", "test") == validated
    none = Config(dict(test_dataloader=None, val_dataloader=validated))
    assert loader_of(none, "test", "val") == validated
    assert loader_of(none, "test", "train") == {}
    # One that only says how batches are made has no images.
    no_set = Config(dict(test_dataloader=dict(batch_size=2), val_dataloader=validated))
    assert loader_of(no_set, "test", "val") == validated
