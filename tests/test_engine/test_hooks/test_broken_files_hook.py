"""Training on folders with broken images: what is skipped, counted, listed, refused."""

import logging
from contextlib import nullcontext
from types import SimpleNamespace

import pytest
import torch
from mmengine.runner import Runner
from mmpretrain.structures import DataSample

from pckd_mm.datasets import BrokenFileError, CheckedCustomDataset
from pckd_mm.engine import BrokenFilesHook
from pckd_mm.engine.hooks import broken_files_hook
from pckd_mm.engine.skip_broken import skip_broken_files
from tests.builders import image_folder, run_config

LOAD = dict(type="mmpretrain.LoadImageFromFile")
PLAIN = "vanilla/cifar100_resnet8.py"


@pytest.fixture
def images(tmp_path):
    """24 images for training in three classes, and a list of how some are broken."""
    return image_folder(tmp_path / "images")


def break_images(root, *names):
    paths = [root / "train" / name for name in names]
    for path in paths:
        path.write_bytes(b"broken")
    return sorted(str(path) for path in paths)


def run(images, work_dir, in_memory=True, skip=True, workers=0, **hook):
    cfg = run_config(PLAIN, images, work_dir)
    cfg.train_cfg.max_epochs = 2
    if not in_memory:
        loader = cfg.train_dataloader
        loader.dataset, loader.num_workers = loader.dataset.dataset, workers
        loader.collate_fn = dict(type="default_collate")
    if skip:
        skip_broken_files(cfg)
        cfg.default_hooks.broken_files.update(hook)
    runner = Runner.from_cfg(cfg)
    runner.train()
    return runner


@pytest.mark.parametrize("in_memory, workers", [(True, 0), (False, 0), (False, 2)])
def test_training_goes_on(images, tmp_path, in_memory, workers):
    paths = break_images(images, "class_1/3.png", "class_2/7.png")
    runner = run(images, tmp_path / "run", in_memory, workers=workers)
    assert runner.iter == 8
    listed = (tmp_path / "run" / "broken_files.txt").read_text().splitlines()
    assert [line.split("\t")[0] for line in listed] == paths
    assert all("does not decode" in line.split("\t")[1] for line in listed)
    log = next((tmp_path / "run").glob("*/*.log")).read_text()
    for path in paths:
        assert log.count(f"Skipped a broken file: {path}, an image of the class") == 1
    assert log.count("2 broken files were skipped so far, 8.33% of 24 images") == 2
    weights = runner.model.state_dict().values()
    assert all(torch.isfinite(weight.float()).all() for weight in weights)


def test_nothing_is_said_of_whole_files(images, tmp_path):
    run(images, tmp_path / "run")
    assert not (tmp_path / "run" / "broken_files.txt").exists()
    assert (
        "broken"
        not in next((tmp_path / "run").glob("*/*.log"))
        .read_text()
        .lower()
        .split("config:")[0]
    )


def test_many_are_counted_only(images, tmp_path, monkeypatch):
    monkeypatch.setattr(broken_files_hook, "_NAMED", 1)
    break_images(images, "class_1/3.png", "class_2/7.png")
    run(images, tmp_path / "run")
    log = next((tmp_path / "run").glob("*/*.log")).read_text()
    assert log.count("Skipped a broken file") == 1


@pytest.mark.parametrize("in_memory", [True, False])
def test_too_many_end_the_run(images, tmp_path, in_memory):
    paths = break_images(images, "class_0/0.png", "class_1/3.png", "class_2/7.png")
    message = "3 of 24 training images are broken, such as: .*no more than 10%"
    with pytest.raises(ValueError, match=message):
        run(images, tmp_path / "run", in_memory)
    listed = (tmp_path / "run" / "broken_files.txt").read_text().splitlines()
    assert [line.split("\t")[0] for line in listed] == paths
    run(images, tmp_path / "again", in_memory, most=0.125)


@pytest.mark.parametrize("in_memory", [True, False])
def test_without_the_option_the_error_names_it(images, tmp_path, in_memory):
    break_images(images, "class_1/3.png")
    with pytest.raises(BrokenFileError, match="class_1/3.png.*--skip-broken"):
        run(images, tmp_path / "run", in_memory, skip=False)


def test_validation_skips_nothing(images, tmp_path):
    (images / "test" / "class_0" / "1.png").write_bytes(b"broken")
    with pytest.raises(BrokenFileError) as caught:
        run(images, tmp_path / "run")
    assert "test/class_0/1.png" in str(caught.value)
    assert "--skip-broken" not in str(caught.value)


@pytest.mark.parametrize("most, ends", [(3 / 24, False), (2.9 / 24, True)])
def test_the_share_is_of_the_images_before_the_split(images, tmp_path, most, ends):
    break_images(images, *(f"class_1/{index}.png" for index in range(3)))
    dataset = CheckedCustomDataset(
        str(images), data_prefix="train", pipeline=[LOAD], leave_out_broken=True
    )
    dataset.get_subset_(5)
    runner = SimpleNamespace(
        train_dataloader=SimpleNamespace(dataset=dataset),
        logger=logging.getLogger("quiet"),
        work_dir=str(tmp_path),
    )
    refused = pytest.raises(ValueError, match="3 of 24 training images")
    with refused if ends else nullcontext():
        BrokenFilesHook(most=most).before_train(runner)


def test_lists_of_all_processes_are_joined(tmp_path, monkeypatch):
    hook = BrokenFilesHook(most=1.0)
    hook._images, hook.found = 10, {"a": "a is broken"}
    others = [{"b": "b is broken"}, {"a": "a is broken"}, {}]
    monkeypatch.setattr(
        broken_files_hook, "all_gather_object", lambda mine: [mine, *others]
    )

    class Logger:
        def info(self, message):
            pass

        warning = info

    class FakeRunner:
        work_dir, logger = str(tmp_path), Logger()

    hook.after_train_epoch(FakeRunner())
    text = (tmp_path / "broken_files.txt").read_text()
    assert text == "a\ta is broken\nb\tb is broken\n"


def test_a_share_that_is_none():
    for share in (-0.1, 1.5):
        with pytest.raises(ValueError, match=f"found most={share}; expected a share"):
            BrokenFilesHook(most=share)


def test_a_process_that_ends_the_run_lists_its_own(tmp_path, monkeypatch):
    monkeypatch.setattr(broken_files_hook, "is_main_process", lambda: False)
    monkeypatch.setattr(broken_files_hook, "get_rank", lambda: 3)
    hook = BrokenFilesHook()
    hook._images = 5
    runner = SimpleNamespace(work_dir=str(tmp_path), logger=logging.getLogger("test"))
    sample = DataSample(metainfo=dict(broken_files={"a": "a is broken"}))
    with pytest.raises(ValueError, match="1 of 5 .*broken_files_rank3.txt lists them"):
        hook.after_train_iter(runner, 0, dict(data_samples=[sample]))
    text = (tmp_path / "broken_files_rank3.txt").read_text()
    assert text == "a\ta is broken\n"


def test_checkpoints_between_epochs_bring_the_list(tmp_path):
    hook = BrokenFilesHook()
    runner = SimpleNamespace(work_dir=str(tmp_path))
    hook.before_save_checkpoint(runner, {})
    assert not (tmp_path / "broken_files.txt").exists()
    hook.found = {"a": "a is broken"}
    hook.before_save_checkpoint(runner, {})
    assert (tmp_path / "broken_files.txt").read_text() == "a\ta is broken\n"
