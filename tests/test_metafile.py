"""The model index as OpenMMLab's tools read it."""

import shutil
import sys
from collections import Counter

import modelindex
import pytest
import yaml

from tests.builders import CONFIGS, ROOT

sys.path.insert(0, str(ROOT / "tools" / "dev"))
import write_metafiles  # noqa: E402

RUNS = sorted(
    path.relative_to(ROOT).as_posix()
    for folder in CONFIGS.iterdir()
    if folder.is_dir() and folder.name[0] != "_"
    for path in folder.rglob("*.py")
)


@pytest.fixture(scope="module")
def index():
    return modelindex.load(str(ROOT / "model-index.yml"))


def test_it_is_up_to_date():
    assert write_metafiles.main(["--check"]) == 0


def test_every_config_is_listed_once(index):
    listed = Counter(model.config for model in index.models)
    assert set(listed) == set(RUNS)
    assert max(listed.values()) == 1
    names = Counter(model.name for model in index.models)
    assert max(names.values()) == 1


def test_what_is_named_is_there(index):
    collections = [entry.name for entry in index.collections]
    assert len(set(collections)) == len(collections)
    for model in index.models:
        assert model.in_collection in collections, model.name
        assert (ROOT / model.config).is_file()
        if model.weights:
            assert (ROOT / model.weights).is_file(), model.weights
    for entry in index.collections:
        assert (ROOT / entry.readme).is_file()
    assert not index.check_errors


def test_some_entries(index):
    models = {model.config: model for model in index.models}
    plain = models["configs/vanilla/cifar100_wrn_40_2.py"].metadata
    assert (plain.parameters, plain.epochs, plain.batch_size) == (2_255_156, 240, 64)
    # The student's parameters, not the teacher's.
    pckd = models["configs/pckd/cifar100_resnet20_resnet8_30e.py"]
    assert (pckd.metadata.parameters, pckd.metadata.epochs) == (83_892, 30)
    zoo = models["configs/vanilla/cifar100_resnet20_60e.py"]
    assert zoo.weights == "zoo/cifar100_resnet20_60e.pth"
    paper = next(c for c in index.collections if c.name == "PCKD").paper
    assert paper["URL"].endswith("2410.14143")


def test_results_are_measured_ones_only(index):
    measured = yaml.safe_load((ROOT / "docs" / "measured.yml").read_text())
    # What each kind of entry is called there, and in the model index.
    names = {"top1": "Top 1 Accuracy", "map50": "mAP@0.5", "ap": "AP"}
    means = {
        entry["config"]: {
            names[key]: sum(entry[key].values()) / len(entry[key])
            for key in names
            if key in entry
        }
        for entry in measured
        if not entry.get("options")
    }
    told = {model.config: model.results or [] for model in index.models}
    assert {config for config, results in told.items() if results} == set(means)
    for config, expected in means.items():
        (result,) = told[config]
        metrics = dict(result.metrics)
        metrics.pop("Top 5 Accuracy", None)  # of the weights of zoo/
        assert metrics == pytest.approx(expected, abs=0.006), config
    assert {frozenset(values) for values in means.values()} == {
        frozenset({"Top 1 Accuracy"}),
        frozenset({"mAP@0.5", "AP"}),
    }


def test_results_of_a_detector(tmp_path):
    (tmp_path / "docs").mkdir()
    (tmp_path / "zoo").symlink_to(ROOT / "zoo")
    name = "configs/pckd/digit_scenes_frcnn_r18w32_r18w8.py"
    (tmp_path / name).parent.mkdir(parents=True)
    for other in ("_base_", "vanilla"):
        (tmp_path / "configs" / other).symlink_to(CONFIGS / other)
    shutil.copy(ROOT / name, tmp_path / name)
    facts = dict.fromkeys(["command", "commit", "hardware", "software"], "x")
    entry = dict(config=name, precision="float32", date="2026-01-01", **facts)
    entry.update(map50={0: 74.0, 1: 75.0}, best={0: 76.0, 1: 77.0}, ap={0: 40, 1: 41})
    (tmp_path / "docs" / "measured.yml").write_text(yaml.safe_dump([entry]))
    written = write_metafiles.metafiles(tmp_path)["configs/pckd/metafile.yml"]
    (model,) = yaml.safe_load(written)["Models"]
    (result,) = model["Results"]
    assert result["Task"] == "Object Detection"
    # After the last epoch, means over seeds.
    assert result["Metrics"] == {"mAP@0.5": 74.5, "AP": 40.5}


def test_what_is_not_up_to_date_is_named(tmp_path, capsys):
    for name in ("docs", "zoo"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "configs" / "kd").mkdir(parents=True)
    (tmp_path / "configs" / "_base_").symlink_to(CONFIGS / "_base_")
    name = "cifar100_resnet56_resnet20.py"
    shutil.copy(CONFIGS / "kd" / name, tmp_path / "configs" / "kd")
    assert write_metafiles.main([], tmp_path) == 0
    assert write_metafiles.main(["--check"], tmp_path) == 0
    (tmp_path / "configs" / "kd" / name).rename(
        tmp_path / "configs" / "kd" / "cifar100_other.py"
    )
    assert write_metafiles.main(["--check"], tmp_path) == 1
    assert "configs/kd/metafile.yml: not what configs/" in capsys.readouterr().err
    shutil.rmtree(tmp_path / "configs" / "kd", ignore_errors=True)
    (tmp_path / "configs" / "kd").mkdir()
    (tmp_path / "configs" / "kd" / "other_x.py").write_text("")
    assert write_metafiles.main([], tmp_path) == 1
    assert "is of no known data set" in capsys.readouterr().err
