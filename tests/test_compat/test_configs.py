"""MMEngine reads configs of this package, and bases of either kind."""

import importlib
import subprocess
import sys

import pytest
from mmengine.config import Config, ConfigDict
from mmengine.config import config as config_module
from mmengine.config import utils as config_utils
from mmengine.hub import get_config

from pckd_mm.compat.configs import TEXTS, lay_out_once
from pckd_mm.utils.dependencies import has_detection
from tests.builders import CONFIGS, ROOT

# Of each kind one: read_base(), and _base_.
CLASSIFIER = "pckd/digits_resnet20_resnet8_thin"
DETECTOR = "pckd/digit_scenes_frcnn_r18w32_r18w8"
NAMES = [CLASSIFIER]
NAMES += [DETECTOR] if has_detection() else []


def write(folder, name: str, kind: str):
    """A config with another number of epochs, whose base has a name."""
    path = folder / "mine.py"
    if kind == "_base_":
        path.write_text(f'_base_ = "pckd_mm::{name}.py"\ntrain_cfg=dict(max_epochs=3)')
    else:
        module = name.replace("/", ".")
        path.write_text(
            "from mmengine.config import read_base\n"
            "with read_base():\n"
            f"    from pckd_mm.configs.{module} import *\n"
            "train_cfg.update(max_epochs=3)\n"
        )
    return path


@pytest.mark.parametrize("kind", ["_base_", "read_base"])
@pytest.mark.parametrize("name", NAMES)
def test_a_config_of_either_kind_is_a_base_of_either_kind(
    name, kind, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    expected = Config.fromfile(CONFIGS / f"{name}.py").to_dict()
    assert expected["train_cfg"]["max_epochs"] != 3
    expected["train_cfg"]["max_epochs"] = 3
    cfg = Config.fromfile(write(tmp_path, name, kind))
    assert cfg.to_dict() == expected
    assert ConfigDict.lazy is False
    # What training writes beside its checkpoints reads as the same.
    cfg.dump(tmp_path / "written.py")
    assert Config.fromfile(tmp_path / "written.py").to_dict() == expected


def test_a_chain_of_both_kinds(tmp_path):
    (tmp_path / "first.py").write_text("a = dict(x=1, y=dict(z=2))\nb = [1]\n")
    read = "from mmengine.config import read_base\nwith read_base():\n    from .{} "
    (tmp_path / "second.py").write_text(
        read.format("first") + "import *\na.update(x=2)"
    )
    (tmp_path / "third.py").write_text(
        '_base_ = "second.py"\na = dict(y=dict(z=5))\nb = _base_.b + [2]'
    )
    (tmp_path / "fourth.py").write_text(
        read.format("third") + "import *\na.update(w=b)"
    )
    cfg = Config.fromfile(tmp_path / "fourth.py")
    assert cfg.to_dict() == dict(a=dict(x=2, y=dict(z=5), w=[1, 2]), b=[1, 2])


def test_classes_in_a_base_become_their_names(tmp_path):
    (tmp_path / "lazy.py").write_text(
        "from mmengine.config import read_base\nfrom torch.optim import SGD\n"
        "with read_base():\n    from .plain import lr\n"
        "optimizer = dict(type=SGD, lr=lr)\n"
    )
    (tmp_path / "plain.py").write_text("lr = 0.1")
    (tmp_path / "mine.py").write_text('_base_ = "lazy.py"')
    cfg = Config.fromfile(tmp_path / "mine.py")
    assert cfg.to_dict() == dict(lr=0.1, optimizer=dict(type="torch.optim.SGD", lr=0.1))


def test_only_a_method_is_inherited(tmp_path):
    (tmp_path / "mine.py").write_text('_base_ = "pckd_mm::methods/pckd.py"')
    cfg = Config.fromfile(tmp_path / "mine.py")
    assert cfg.model.type == "pckd_mm.MultiViewDistill" and cfg.model.num_views == 4
    assert "_scope_" not in cfg.model


def test_a_misspelt_base_is_answered_with_the_nearest(tmp_path):
    (tmp_path / "mine.py").write_text('_base_ = "pckd_mm::kd/digits_resnet20_resnet8"')
    with pytest.raises(FileNotFoundError, match="did you mean kd/digits_resnet20_res"):
        Config.fromfile(tmp_path / "mine.py")


def test_bases_of_other_libraries_are_theirs(tmp_path):
    (tmp_path / "mine.py").write_text(
        '_base_ = "mmpretrain::_base_/schedules/cifar10_bs128.py"'
    )
    assert Config.fromfile(tmp_path / "mine.py").auto_scale_lr.base_batch_size == 128
    (tmp_path / "other.py").write_text('_base_ = "nobody::a/b.py"')
    with pytest.raises(AssertionError, match="does not support to load nobody"):
        Config.fromfile(tmp_path / "other.py")


def test_mmengines_hub_knows_the_package():
    expected = Config.fromfile(CONFIGS / f"{CLASSIFIER}.py").to_dict()
    assert get_config(f"pckd_mm::{CLASSIFIER}.py").to_dict() == expected


def test_mmpretrain_first_and_a_config_next_in_plain_python(tmp_path):
    """Nothing imports pckd_mm but the names in the config."""
    code = (
        "import sys\n"
        "import mmpretrain\n"
        "from mmpretrain.apis import get_model\n"
        "assert 'pckd_mm' not in sys.modules\n"
        f"print(type(get_model({str(CONFIGS / CLASSIFIER)!r} + '.py')).__name__)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
    )
    assert done.stdout.endswith("MultiViewDistill\n"), done.stderr


@pytest.mark.skipif(not has_detection(), reason="reads a config of mmdet")
def test_metafiles_of_another_package_are_parsed_once(tmp_path):
    path, parsed = tmp_path / "mine.py", config_utils.load.cache_info
    path.write_text('_base_ = "mmdet::retinanet/retinanet_r50_fpn_1x_coco.py"\n')
    config_utils.load.cache_clear()
    first, found = Config.fromfile(path).to_dict(), parsed()
    assert found.misses > 50
    assert Config.fromfile(path).to_dict() == first
    path.write_text(path.read_text().replace("r50", "r101"))
    assert Config.fromfile(path).model.backbone.depth == 101
    assert parsed().misses == found.misses and parsed().hits > found.hits


def test_installed_packages_are_listed_once(tmp_path, monkeypatch):
    path = tmp_path / "mine.py"
    path.write_text('_base_ = "mmpretrain::_base_/schedules/cifar10_bs128.py"')
    first = Config.fromfile(path).to_dict()  # perhaps not in this process
    # MMEngine lists them by it.
    monkeypatch.setattr(importlib, "reload", None)
    assert Config.fromfile(path).to_dict() == first


def test_what_was_not_installed_is_looked_for_again(tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text('_base_ = "mmpose::a/b.py"')
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="mmpose is not installed"):
        Config.fromfile(tmp_path / "mine.py")
    (tmp_path / "mmpose" / ".mim").mkdir(parents=True)
    (tmp_path / "mmpose" / "__init__.py").write_text("")
    (tmp_path / "mmpose" / ".mim" / "model-index.yml").write_text("Import: []\n")
    importlib.invalidate_caches()
    with pytest.raises(FileNotFoundError, match="configs/a/b.py"):
        Config.fromfile(tmp_path / "mine.py")


def test_a_text_is_laid_out_once(monkeypatch):
    laid_out = []

    def lay_out(text, **settings):
        laid_out.append(text)
        return f"# {len(laid_out)}\n{text}", True

    monkeypatch.setattr(config_module, "FormatCode", lay_out)
    lay_out_once()
    one, other = Config(dict(a=1)), Config(dict(a=2))
    assert one.pretty_text == one.pretty_text == "# 1\na=1"
    assert other.pretty_text == "# 2\na=2"
    assert laid_out == ["a=1", "a=2"]
    for value in range(TEXTS):  # only the last ones are kept
        assert Config(dict(b=value)).pretty_text.endswith(f"b={value}")
    assert other.pretty_text == f"# {len(laid_out)}\na=2"
    assert len(laid_out) == 3 + TEXTS
