"""TensorBoard, W&B and MLflow beside the local log, read by their own means."""

import json
import struct
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import VISUALIZERS, init_default_scope
from mmengine.visualization import TensorboardVisBackend

from pckd_mm.engine.vis_backends import as_number
from pckd_mm.experiments.run import Run
from pckd_mm.experiments.settings import Settings
from pckd_mm.utils import trackers
from pckd_mm.utils.config import load_config
from pckd_mm.utils.trackers import names_of_run, use_trackers
from tests.builders import ROOT
from tests.preloaded import ALONE, FEW_DIGITS, preloaded

ALL = ["tensorboard", "wandb", "mlflow"]
SMALL = [
    *FEW_DIGITS,
    "default_hooks.logger.interval=2",
]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of one epoch, and of one more when it is resumed."""
    for package in ALL:
        pytest.importorskip(package)
    work = tmp_path_factory.mktemp("trackers") / "run"
    command = ["tools/train.py", ALONE, f"--work-dir={work}", "--track", *ALL]
    for epochs, more in ((1, []), (2, ["--resume"])):
        options = [*SMALL, f"train_cfg.max_epochs={epochs}"]
        done = preloaded().call([*command, *more, "--cfg-options", *options])
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return work


def logged(work: Path, name: str) -> list:
    """What the local log has of a scalar, by step."""
    lines = []
    for path in sorted(work.glob("*/vis_data/scalars.json")):
        lines += map(json.loads, path.read_text().splitlines())
    return [(line["step"], line[name]) for line in lines if name in line]


# Of a student alone; "loss" is in the log of iterations, top-1 in that of epochs.
SCALARS = ["loss", "lr", "accuracy/top1"]


def assert_same(found: list, work: Path, name: str) -> None:
    expected = logged(work, name)
    # Two epochs of four steps, each second of which is logged; two validations, and
    # one when the run is resumed.
    steps = [1, 1, 2] if name.startswith("accuracy") else [2, 4, 6, 8]
    assert sorted(step for step, _ in expected) == steps
    assert sorted(step for step, _ in found) == steps
    for mine, theirs in zip(sorted(found), sorted(expected), strict=True):
        assert mine == pytest.approx(theirs)


def test_tensorboard_has_all_steps_of_a_run_that_was_resumed(run):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    (folder,) = (run / "tensorboard").iterdir()
    assert len(list(folder.iterdir())) == 2  # one file for each start
    events = EventAccumulator(str(folder))
    events.Reload()
    for name in SCALARS:
        found = [(event.step, event.value) for event in events.Scalars(name)]
        assert_same(found, run, name)


def test_mlflow_goes_on_with_the_run_that_it_has(run):
    import mlflow

    client = mlflow.MlflowClient(f"sqlite:///{run / 'mlflow' / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("digits_resnet8_thin")
    (found,) = client.search_runs([experiment.experiment_id])
    assert found.info.run_name == "vanilla" and found.info.status == "FINISHED"
    assert found.data.params["train_cfg.max_epochs"] == "1"  # as it began
    for name in SCALARS:
        history = client.get_metric_history(found.info.run_id, name)
        assert_same([(each.step, each.value) for each in history], run, name)
    config = run.glob("mlflow/artifacts/**/config.py")
    assert "max_epochs=2" in next(config).read_text()


def records(path: Path) -> list:
    """What is in a file of W&B's: a log of LevelDB's kind, behind seven bytes."""
    from wandb.proto import wandb_internal_pb2

    data, at, whole, found = path.read_bytes(), 7, b"", []
    assert data[:4] == b":W&B"
    while at < len(data):
        left = 2**15 - at % 2**15
        if left < 7:  # no head of a part has room in this block
            at += left
            continue
        size, kind = struct.unpack("<HB", data[at + 4 : at + 7])
        whole += data[at + 7 : at + 7 + size]
        at += 7 + size
        if kind in (1, 4):  # the whole, or its last part
            found.append(wandb_internal_pb2.Record())
            found[-1].ParseFromString(whole)
            whole = b""
    return found


def test_wandb_writes_offline_and_keeps_its_id(run):
    files = sorted(run.glob("wandb/offline-run-*/*.wandb"))
    assert len(files) == 2 and len({path.name for path in files}) == 1
    found = {}
    for path in files:
        for record in records(path):
            if record.HasField("run"):
                assert record.run.project == "digits_resnet8_thin"
                assert record.run.display_name == "vanilla"
            line = {}
            for item in record.history.item:
                name = item.key or "/".join(item.nested_key)
                line[name] = json.loads(item.value_json)
            for name, value in line.items():
                found.setdefault(name, []).append((line["step"], value))
    for name in SCALARS:
        assert_same(found[name], run, name)


# ------------------------------------------------------- values of other kinds


@pytest.mark.parametrize(
    "value, expected",
    [
        (2, 2),
        (0.5, 0.5),
        (True, 1),
        (torch.tensor(2.5, dtype=torch.bfloat16), 2.5),
        (torch.tensor([[3]]), 3),
        (torch.tensor(True), 1),
        (torch.ones(3).numpy()[0], 1.0),
        ("text", None),
        (None, None),
        ([1, 2], None),
        (torch.ones(2), None),
    ],
)
def test_values_as_numbers(value, expected):
    found = as_number(value)
    assert found == expected and type(found) is type(expected)


@pytest.mark.parametrize("name", ALL)
def test_no_value_ends_a_run(tmp_path, name):
    pytest.importorskip(name)
    cfg = load_config(ALONE)
    cfg.work_dir = str(tmp_path / "run")
    use_trackers(cfg, [name])
    init_default_scope("mmpretrain")
    visualizer = VISUALIZERS.build(
        {**cfg.visualizer, "name": f"values of {name}", "save_dir": str(tmp_path)}
    )
    (tracker,) = list(visualizer._vis_backends.values())[1:]
    tracker.add_config(cfg)
    odd = {
        "text": "a text",
        "none": None,
        "bool": True,
        "half": torch.tensor(2.5, dtype=torch.bfloat16),
        "nan": float("nan"),
        "infinite": float("inf"),
        "several": torch.ones(2),
        "odd [name]": 1,
    }
    tracker.add_scalars(odd, step=3)
    tracker.add_scalars({"step": 4, "loss": 1.0})
    tracker.add_scalar("text", "a text", step=5)
    tracker.add_scalar("half", odd["half"], step=5)
    tracker.add_image("image", torch.zeros(4, 4, 3, dtype=torch.uint8).numpy(), step=5)
    tracker.close()
    tracker.close()


# ---------------------------------------------------------------- the config


def types(cfg: Config) -> list:
    return [backend["type"] for backend in cfg.visualizer["vis_backends"]]


@pytest.mark.parametrize(
    "name, kind",
    [
        ("pckd/cifar100_resnet56_resnet20", "UniversalVisualizer"),
        ("pckd/voc_frcnn_r101_r50", "DetLocalVisualizer"),
        (None, "mmengine.Visualizer"),
    ],
)
def test_trackers_stand_beside_the_local_log(tmp_path, name, kind):
    if name == "pckd/voc_frcnn_r101_r50":
        pytest.importorskip("mmdet")
    cfg = Config() if name is None else load_config(name)
    cfg.work_dir = str(tmp_path)
    use_trackers(cfg, ["tensorboard", "tensorboard"])
    assert cfg.visualizer["type"] == kind
    assert types(cfg) == ["LocalVisBackend", "pckd_mm.TensorBoardTracker"]


def test_a_backend_that_the_config_has_stays_as_it_is(tmp_path):
    own = [dict(type="TensorboardVisBackend"), dict(type="LocalVisBackend")]
    cfg = Config(dict(work_dir=str(tmp_path), visualizer=dict(vis_backends=own)))
    use_trackers(cfg, ["tensorboard"])
    assert types(cfg) == ["TensorboardVisBackend", "LocalVisBackend"]


@pytest.mark.parametrize("kind", ["pckd_mm.TensorBoardTracker", TensorboardVisBackend])
def test_one_that_the_config_has_by_another_name(tmp_path, kind):
    backends = [dict(type=kind, save_dir=str(tmp_path))]
    visualizer = dict(type="Visualizer", vis_backends=backends)
    cfg = Config(dict(visualizer=visualizer, work_dir=str(tmp_path)))

    use_trackers(cfg, ["tensorboard"])
    assert len(cfg.visualizer.vis_backends) == 1


def test_nothing_is_changed_without_trackers():
    cfg = Config()
    assert use_trackers(cfg, []) == [] and "visualizer" not in cfg


def test_offline_unless_the_environment_says_otherwise(tmp_path, monkeypatch):
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setattr(trackers, "check_trackers", lambda names: None)

    def settings():
        cfg = Config(dict(work_dir=str(tmp_path)))
        use_trackers(cfg, ["wandb", "mlflow"])
        _, wandb, mlflow = cfg.visualizer["vis_backends"]
        return wandb["init_kwargs"]["mode"], mlflow["tracking_uri"]

    database = tmp_path / "mlflow" / "mlflow.db"
    assert settings() == ("offline", f"sqlite:///{database}")
    monkeypatch.setenv("WANDB_MODE", "online")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://server:5000")
    assert settings() == ("online", "http://server:5000")


def test_a_missing_package_is_told_with_the_extra(monkeypatch):
    monkeypatch.setattr(
        trackers.importlib.util, "find_spec", lambda name: name != "wandb" or None
    )
    message = (
        r"--track wandb needs the package wandb.*pip install 'pckd_mm\[trackers\]'"
    )
    with pytest.raises(ValueError, match=message):
        use_trackers(Config(), ["tensorboard", "wandb"])


@pytest.mark.parametrize(
    "file, work, experiment, expected",
    [
        ("configs/kd/pair.py", "work_dirs/kd/pair", None, ("pair", "kd")),
        ("configs/kd/pair.py", "anywhere", "mine", ("mine", "kd")),
        # As pckd compare has them: a run's config beside its folder.
        ("w/pair/KD/seed_0.py", "w/pair/KD/seed_0", None, ("pair", "KD/seed_0")),
    ],
)
def test_names(tmp_path, file, work, experiment, expected):
    path = tmp_path / file
    path.parent.mkdir(parents=True)
    path.write_text(f"experiment_name = {experiment!r}")
    cfg = Config.fromfile(path)
    cfg.work_dir = str(tmp_path / work)
    assert names_of_run(cfg) == expected


def test_runs_of_a_comparison_track_too(tmp_path):
    config = str(ROOT / "configs" / f"{ALONE}.py")
    with_it, without = (
        Run("alone", config, 0, tmp_path, Settings(ROOT, track=track))
        for track in (("wandb", "mlflow"), ())
    )
    assert with_it.command()[-3:] == ["--track", "wandb", "mlflow"]
    assert "--track" not in without.command()
    assert with_it.text() == without.text()  # what is trained is the same
