"""Runs as their folders have them."""

import os

import pytest

from pckd_mm.analysis import MAP50, TOP1
from pckd_mm.analysis.run_report import report_runs
from pckd_mm.analysis.trained_runs import find_runs
from tests.test_analysis.test_curves import accuracy, write_scalars

CONFIG = 'model = dict(type="A")\nval_evaluator = dict(type="Accuracy", topk=(1, 5))\n'


def run_folder(root, name, config=CONFIG, starts=("20260101_000000",)):
    folder = root / name
    for number, start in enumerate(starts, 1):
        step = {"lr": 0.1, "student.loss": 1.0, "distill.loss_kd": 3.0, "step": 10}
        write_scalars(folder, start, [step, accuracy(number, 40.0 + number)])
        text = f"{config}start = {number}\nresume = {number > 1}\n"
        (folder / start / "vis_data" / "config.py").write_text(text)
    return folder


def test_the_latest_start_and_checkpoint(tmp_path):
    folder = run_folder(tmp_path, "a", starts=("20260101_000000", "20260102_000000"))
    for name in ("epoch_9", "epoch_10", "epoch_10_student", "best_99", "iter_3"):
        (folder / f"{name}.pth").touch()
    (run,) = find_runs([folder])
    assert run.cfg.start == 2 and run.metric is TOP1
    assert run.checkpoint.name == "epoch_10.pth"
    assert not run.distils and not run.detects
    method = run.method()
    assert method.curves == {0: {1: 41.0, 2: 42.0}}
    assert method.losses[0].values == dict(student={10: 1.0}, loss_kd={10: 3.0})
    # As MMEngine says it, from where the folder was moved.
    (folder / "last_checkpoint").write_text("/elsewhere/a/epoch_9.pth")
    os.utime(folder / "epoch_10.pth", (0, 0))  # which an earlier training left
    assert find_runs([folder])[0].checkpoint == folder / "epoch_9.pth"
    # That goes on from it, too, where it was killed before it said so.
    os.utime(folder / "epoch_10.pth")
    assert find_runs([folder])[0].checkpoint == folder / "epoch_10.pth"


def test_a_training_that_began_anew_is_another_one(tmp_path):
    folder = run_folder(tmp_path, "a", starts=("20260101_000000", "20260102_000000"))
    config = folder / "20260102_000000" / "vis_data" / "config.py"
    config.write_text(config.read_text().replace("resume = True", "resume = False"))
    (run, *others) = find_runs([folder, folder])  # named twice
    assert run.method().curves == {0: {2: 42.0}} and not others


def test_a_later_test_is_no_start_of_the_run(tmp_path):
    folder = run_folder(tmp_path, "a")
    (folder / "20260103_000000" / "vis_data").mkdir(parents=True)
    (folder / "20260103_000000" / "vis_data" / "config.py").write_text("model = {}\n")
    assert find_runs([folder])[0].cfg.start == 1


def test_loops_of_iterations(tmp_path):
    loop = "train_cfg = dict(type='IterBasedTrainLoop', max_iters=20)\n"
    folder = run_folder(tmp_path, "a", CONFIG + loop)
    step = {"lr": 0.1, "loss": 1.0}
    lines = [{**step, "step": 10}, accuracy(0, 50.0), {**step, "step": 20}]
    write_scalars(folder, "20260102_000000", [*lines, accuracy(0, 60.0)])
    (run,) = find_runs([folder])
    assert run.step == "iteration"
    assert run.method().curves[0] == {1: 41.0, 10: 50.0, 20: 60.0}
    text = report_runs([run], tmp_path / "report", look=False)
    assert "60.00" in text
    page = (tmp_path / "report" / "report.html").read_text()
    assert "Accuracy after each validated iteration" in page


def test_names_are_what_the_paths_differ_in(tmp_path, monkeypatch):
    folders = [run_folder(tmp_path, name) for name in ("pckd/x", "kd/x", "y")]
    names = [run.name for run in find_runs(folders)]
    assert names == ["pckd/x", "kd/x", "y"]
    monkeypatch.chdir(folders[0])
    (run,) = find_runs(["."])
    assert run.name == "pckd/x"
    nested = [tmp_path / "pckd", run_folder(tmp_path, "pckd/z")]
    run_folder(tmp_path, "pckd")
    assert [run.name for run in find_runs(nested)] == ["pckd", "pckd/z"]


def test_other_networks_and_metrics(tmp_path):
    detector = "model = dict(architecture=dict(roi_head=dict()))\nval_evaluator = {}\n"
    metric = "dict(type='VOCMetric', metric='mAP')"
    folder = run_folder(tmp_path, "a", detector.format(metric))
    (run,) = find_runs([folder])
    assert run.metric is MAP50 and run.detects and run.distils
    assert run.checkpoint is None
    other = run_folder(tmp_path, "b", detector.format("dict(type='Mine')"))
    (run,) = find_runs([other])
    assert run.metric.key == run.metric.name == "accuracy/top1"
    assert run.method().curves == {0: {1: 41.0}}
    text = report_runs([run], tmp_path / "report", look=False)
    page = (tmp_path / "report" / "report.md").read_text()
    assert "41.00" in text and "seed" not in page
    assert "Accuracy/top1 on the test set, after the last epoch" in page


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("missing", "There is no folder .*missing; expected the work dir of a run"),
        ("", "no config that a run wrote; .* such as .*/deep/er/run.$"),
        ("empty", "empty has no config that a run wrote; .*: give that of a run.$"),
    ],
)
def test_folders_of_no_run(tmp_path, name, words):
    run_folder(tmp_path, "deep/er/run")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match=words):
        find_runs([tmp_path / name])
