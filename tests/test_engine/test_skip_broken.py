"""What --skip-broken makes of a config."""

import runpy

import pytest
from mmengine.config import Config
from mmengine.runner import Runner

from pckd_mm.datasets import CheckedCustomDataset
from pckd_mm.engine.skip_broken import skip_broken_files
from pckd_mm.registry import HOOKS
from tests.builders import CONFIGS, ROOT


def config(dataset: dict) -> Config:
    return Config(dict(train_dataloader=dict(dataset=dataset)))


def skipping(cfg: Config) -> int:
    return str(cfg.to_dict()).count("'skip_broken': True")


@pytest.mark.parametrize(
    "path, sets",
    [
        ("pckd/cifar100_resnet20_resnet8_6e.py", 1),
        ("pckd/imagenet_resnet34_resnet18.py", 1),
        ("transfer/tiny_imagenet_resnet20.py", 1),
        ("transfer/folder_resnet20.py", 1),
        ("pckd/voc_frcnn_r101_r50.py", 2),
    ],
)
def test_training_sets_of_the_configs_skip(path, sets):
    if "voc" in path:
        pytest.importorskip("mmdet")
    cfg = Config.fromfile(CONFIGS / path)
    skip_broken_files(cfg)
    assert skipping(cfg) == sets
    assert skipping(Config(dict(train=cfg.train_dataloader))) == sets
    assert cfg.default_hooks.broken_files.type == "pckd_mm.BrokenFilesHook"


def test_one_setting_of_the_hook_is_enough():
    cfg = config(dict(type="pckd_mm.TinyImageNet"))
    cfg.default_hooks = dict(broken_files=dict(most=0.5))
    skip_broken_files(cfg)
    assert HOOKS.build(cfg.default_hooks.broken_files).most == 0.5


def test_wrappers_and_classes():
    inner = [dict(type="pckd_mm.TinyImageNet"), dict(type=CheckedCustomDataset)]
    cfg = config(dict(type="RepeatDataset", dataset=dict(datasets=inner)))
    cfg.default_hooks = dict(broken_files=dict(type="pckd_mm.BrokenFilesHook", most=1))
    skip_broken_files(cfg)
    assert skipping(cfg) == 2
    assert cfg.default_hooks.broken_files.most == 1


def part(name: str, **inner) -> dict:
    inner = dict(type="pckd_mm.CheckedCustomDataset", **inner)
    return dict(type="pckd_mm.held_out_part", part=name, dataset=inner)


def left_out(loader: dict) -> int:
    return str(Config(dict(loader=loader)).to_dict()).count("'leave_out_broken': True")


def test_parts_of_the_training_images_are_of_whole_files():
    cfg = config(dict(part("train", data_root="a"), dataset=part("val", data_root="a")))
    cfg.val_dataloader = dict(
        dataset=part("val", data_root="a", test_mode=True, pipeline=[])
    )
    cfg.test_dataloader = dict(dataset=part("val", data_root="b", test_mode=True))
    for _ in range(2):
        skip_broken_files(cfg)
        loaders = (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader)
        assert [left_out(loader) for loader in loaders] == [1, 1, 0]
        assert skipping(cfg) == 1


def test_separate_images_to_validate_on_have_to_be_whole():
    whole = dict(type="pckd_mm.CheckedCustomDataset", data_root="a")
    cfg = config(dict(whole))
    cfg.val_dataloader = dict(dataset=part("val", data_root="a", test_mode=True))
    cfg.test_dataloader = dict(dataset=dict(whole, test_mode=True))
    skip_broken_files(cfg)
    assert left_out(cfg.to_dict()) == 0 and skipping(cfg) == 1


@pytest.mark.parametrize("kind", ["CustomDataset", "pckd_mm.DigitsDataset", "nothing"])
def test_data_sets_that_skip_no_files_are_refused(kind):
    good = dict(type="pckd_mm.TinyImageNet")
    cfg = config(dict(datasets=[good, dict(type=kind)]))
    with pytest.raises(ValueError, match=f"--skip-broken found the data set {kind} in"):
        skip_broken_files(cfg)
    assert skipping(cfg) == 0


@pytest.mark.parametrize(
    "options, refused",
    [([], None), (["--skip-broken"], None), (["--skip-broken"], "DigitsDataset")],
)
def test_option_of_the_command_line(tmp_path, monkeypatch, options, refused):
    name = "digits_resnet8_thin" if refused else "cifar100_resnet8_6e"
    path = str(CONFIGS / "vanilla" / f"{name}.py")
    arguments = ["train.py", path, "--work-dir", str(tmp_path), *options]
    monkeypatch.setattr("sys.argv", arguments)
    seen = []

    def from_cfg(cfg):
        seen.append(skipping(cfg))
        raise SystemExit("seen")

    monkeypatch.setattr(Runner, "from_cfg", from_cfg)
    with pytest.raises(SystemExit, match=refused or "seen"):
        runpy.run_path(str(ROOT / "tools" / "train.py"), run_name="__main__")
    assert seen == ([] if refused else [len(options)])
