"""Batches of the data set in memory against those of the data set itself."""

import contextlib
import logging
import random
import re

import numpy as np
import pytest
import torch
from mmengine.logging import MMLogger
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from mmpretrain.structures import DataSample

from pckd_mm.datasets import InMemoryDataset, collate_batches, read_once
from pckd_mm.engine.preflight import check_in_memory
from pckd_mm.registry import DATASETS
from tests.builders import image_folder, run_config
from tests.fake_device import fake_device

LOAD = dict(type="mmpretrain.LoadImageFromFile")
PACK = dict(type="mmpretrain.PackInputs")
READ = dict(type="LoadImageFromFile")


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Of each split 24 images of 3 classes, 16x16."""
    return image_folder(tmp_path_factory.mktemp("images"))


def plain(images, *steps, pack=PACK, **settings) -> dict:
    config = dict(
        type="mmpretrain.CustomDataset",
        data_root=str(images),
        data_prefix="train",
        pipeline=[LOAD, *steps, *([pack] if pack else [])],
    )
    return {**config, **settings}


def kept(*args, **settings) -> InMemoryDataset:
    config = plain(*args, **settings)
    return DATASETS.build(dict(type="pckd_mm.InMemoryDataset", dataset=config))


def loader(dataset, workers: int = 0, collate="default_collate", **settings):
    return Runner.build_dataloader(
        dict(
            dataset=dataset,
            sampler=dict(type="DefaultSampler", shuffle=True),
            batch_size=7,  # three batches of 7 and one of 3
            num_workers=workers,
            collate_fn=dict(type=collate),
            **settings,
        ),
        seed=5,
    )


def both(images, workers: int, **settings):
    """Loaders of the data set itself, and of it in memory."""
    config = plain(images, **settings)
    wrapped = dict(type="pckd_mm.InMemoryDataset", dataset=config)
    return loader(config), loader(wrapped, workers, "pckd_mm.collate_batches")


@pytest.mark.parametrize("workers", [0, 2])
def test_training_batches_are_those_of_the_data_set(images, workers):
    expected, found = (list(each) for each in both(images, workers))
    assert [len(batch["inputs"]) for batch in found] == [7, 7, 7, 3]
    for theirs, ours in zip(expected, found, strict=True):
        assert ours["inputs"].dtype == torch.uint8
        assert torch.equal(ours["inputs"], theirs["inputs"])
        (sample,) = ours["data_samples"]
        labels = [label.gt_label.item() for label in theirs["data_samples"]]
        assert sample.gt_label.dtype == torch.long
        assert sample.gt_label.tolist() == labels
        assert "sample_idx" in sample.metainfo
        places = [label.sample_idx for label in theirs["data_samples"]]
        assert sample.sample_idx.tolist() == places


@pytest.mark.parametrize("workers", [0, 2])
def test_test_batches_are_those_of_the_data_set(images, workers):
    expected, found = both(images, workers, test_mode=True)
    for _ in range(2):  # predictions of the first pass must not stay
        for theirs, ours in zip(expected, found, strict=True):
            assert torch.equal(ours["inputs"], theirs["inputs"])
            assert len(ours["data_samples"]) == len(ours["inputs"])
            pairs = zip(theirs["data_samples"], ours["data_samples"], strict=True)
            for label, sample in pairs:
                assert type(sample) is DataSample
                assert sample.keys() == label.keys() == ["gt_label"]
                assert torch.equal(sample.gt_label, label.gt_label)
                assert sample.metainfo == label.metainfo
                assert sample.metainfo["img_path"].endswith(".png")
                sample.set_pred_score(torch.rand(3))
                sample.set_gt_label(2)


def test_single_items_and_attributes_are_those_of_the_data_set(images):
    dataset, expected = kept(images), DATASETS.build(plain(images))
    assert len(dataset) == len(expected) == 24
    labels = [0] * 8 + [1] * 8 + [2] * 8
    for _ in range(2):  # before all images are read, and after
        assert dataset.get_gt_labels().tolist() == labels
        dataset.full_init()
    dataset.get_gt_labels()[:] = 0  # a copy
    assert dataset.get_gt_labels().tolist() == labels
    assert dataset.get_cat_ids(20) == [2]
    assert dataset.get_data_info(9) == expected.get_data_info(9)
    assert dataset.metainfo == expected.metainfo
    assert dataset.metainfo["classes"] == ("class_0", "class_1", "class_2")
    assert not dataset.test_mode and kept(images, test_mode=True).test_mode
    batch = collate_batches([dataset[0], dataset[23]])
    assert [sample.gt_label.tolist() for sample in batch["data_samples"]] == [[0], [2]]
    assert torch.equal(batch["inputs"][1], expected[23]["inputs"])


@contextlib.contextmanager
def warnings_of(caplog):
    """Texts of the warnings in the log, where MMEngine's logger writes."""
    logger = MMLogger.get_current_instance()
    caplog.clear()
    logger.addHandler(caplog.handler)
    try:
        yield lambda: [
            record.getMessage()
            for record in caplog.records
            if record.levelno == logging.WARNING
        ]
    finally:
        logger.removeHandler(caplog.handler)


class Count:
    """Counts the images that pass, and lets none pass once it is closed."""

    def __init__(self):
        self.passed, self.closed = 0, False

    def __call__(self, results):
        assert not self.closed
        self.passed += 1
        return results


def test_the_pipeline_runs_at_first_access_and_never_again(images):
    count = Count()
    dataset = kept(images, count)
    assert count.passed == 0
    dataset.__getitems__([3, 4])
    # And the first image twice, to see that it stays the same.
    assert count.passed == 24 + 2
    count.closed = True
    for workers in (0, 2):  # workers have the images of this process
        each = loader(dataset, workers, "pckd_mm.collate_batches")
        assert sum(len(batch["inputs"]) for batch in each) == 24


def test_images_for_testing_need_no_labels(images):
    dataset = kept(images, with_label=False, test_mode=True, data_prefix="")
    batch = dataset.__getitems__([0, 30])
    assert [sample.keys() for sample in batch["data_samples"]] == [[], []]


@pytest.mark.parametrize(
    ("steps", "problem"),
    [
        ([READ, PACK], None),
        # Of this size already.
        ([READ, dict(type="Resize", scale=16, backend="pillow"), PACK], None),
        ([READ, dict(type="Resize", scale=8), PACK], "makes inputs of 3x8x8"),
        # mmpretrain's tools decode, and leave out the step of this very name.
        ([LOAD, PACK], "fails with KeyError: 'img_path'"),
        (
            [READ, dict(type="NumpyToPIL", to_rgb=True), dict(type="PILToNumpy"), PACK],
            r"makes other pixels of .*class_0/0\.png",
        ),
    ],
)
def test_pipeline_for_files(images, steps, problem, caplog):
    """It changes nothing of the data; where it makes other inputs, a warning tells."""
    config = plain(images, test_mode=True, data_prefix="test")
    wrapped = dict(type="pckd_mm.InMemoryDataset", dataset=config, pipeline=steps)
    with warnings_of(caplog) as warnings:
        found = DATASETS.build(wrapped).__getitems__([3])["inputs"][0]
    assert torch.equal(found, DATASETS.build(config)[3]["inputs"])
    if problem is None:
        assert not warnings()
    else:
        (warning,) = warnings()
        assert re.search(f"found a pipeline that {problem}; expected what", warning)
        assert "CustomDataset's own does, of 3x16x16" in warning


def test_pipeline_for_files_beside_arrays(caplog):
    """Of arrays only the shape can be compared."""
    dataset = dict(type="pckd_mm.DigitsDataset", split="test", pipeline=[PACK])
    for size in (8, 9):
        steps = [
            READ,
            dict(type="Resize", scale=size),
            dict(type="NumpyToPIL"),
            dict(type="torchvision/Grayscale"),
            dict(type="PILToNumpy"),
            PACK,
        ]
        wrapped = dict(type="InMemoryDataset", dataset=dataset, pipeline=steps)
        with warnings_of(caplog) as warnings:
            DATASETS.build(wrapped).full_init()
        assert len(warnings()) == (size == 9)


def test_training_has_no_pipeline_for_files(images):
    wrapped = dict(type="InMemoryDataset", dataset=plain(images), pipeline=[PACK])
    expected = (
        r"test_mode=False; expected test_mode=True .* for testing, and the pipeline .* "
        r"for training, as train_dataloader\.dataset\.dataset\.pipeline"
    )
    with pytest.raises(TypeError, match=expected):
        DATASETS.build(wrapped)
    wrapped["dataset"]["test_mode"] = True  # the advice
    assert DATASETS.build(wrapped).test_mode


@pytest.mark.parametrize("probe", [False, True])
def test_a_run_ends_with_the_same_weights_and_accuracy(images, tmp_path, probe):
    found = []
    for in_memory_mode in (True, False):
        work_dir = tmp_path / str(in_memory_mode)
        cfg = run_config("vanilla/cifar100_resnet20.py", images, work_dir)
        cfg.train_cfg.max_epochs = 1
        if probe:
            cfg.model.type = "pckd_mm.LinearProbe"
        for each in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
            assert each.dataset.type == "pckd_mm.InMemoryDataset"
            if not in_memory_mode:
                each.dataset = each.dataset.dataset
                each.collate_fn = dict(type="default_collate")
        runner = Runner.from_cfg(cfg)
        runner.train()
        found.append((runner.model.state_dict(), runner.val_loop.run()))
    (ours, our_metrics), (theirs, their_metrics) = found
    assert ours.keys() == theirs.keys()
    for name in theirs:
        assert torch.equal(ours[name], theirs[name]), name
    assert our_metrics == their_metrics and "accuracy/top1" in our_metrics


class OwnNoise:
    """Noise from a generator that nobody else knows."""

    def __init__(self):
        self.generator = np.random.RandomState(0)

    def __call__(self, results):
        results["img"] = self.generator.randint(0, 256, (16, 16, 3)).astype(np.uint8)
        return results


def draw_for_class_2(results):
    if results["gt_label"] == 2:
        torch.rand(1)
    return results


def draw_in_python(results):
    random.random()
    return results


@pytest.mark.parametrize(
    "step",
    [
        dict(type="mmpretrain.RandomFlip", prob=0.5, direction="horizontal"),
        OwnNoise(),
        draw_for_class_2,
        draw_in_python,
    ],
)
def test_refuses_a_random_pipeline(images, step):
    name = "RandomFlip" if isinstance(step, dict) else type(step).__name__
    count = Count()
    dataset = kept(images, count, step)
    before = random.getstate(), np.random.get_state()[2], torch.get_rng_state()
    message = rf"draws random numbers \(LoadImageFromFile, Count, {name}, PackInputs\)"
    with pytest.raises(ValueError, match=message):
        dataset.full_init()
    assert random.getstate() == before[0] and np.random.get_state()[2] == before[1]
    assert torch.equal(torch.get_rng_state(), before[2])
    # At once, where the first image tells.
    assert count.passed == (2 + 24 if step is draw_for_class_2 else 2)


def as_float(results):
    return dict(results, img=results["img"].astype(np.float32))


def labels_of_some(results):
    if results["sample_idx"] != 5:
        return results
    return {key: value for key, value in results.items() if key != "gt_label"}


def scores(results):
    index = results["sample_idx"]
    return dict(results, gt_label=[0] * (index % 3), gt_score=[1.0, index, 0.0])


def taller_at_8(results):
    rows = 20 if results["sample_idx"] == 8 else 16
    return dict(results, img=np.zeros((rows, 16, 3), np.uint8))


@pytest.mark.parametrize(
    "step, message",
    [
        (as_float, r"^InMemoryDataset found inputs of torch.float32 and the shape"),
        (
            labels_of_some,
            "found no label in the data sample of image 5 of .* and gt_label in that",
        ),
        (
            taller_at_8,
            r"image 8 of CustomDataset \(\S+\.png\) to be 3x20x16 and image 0 3x16x16;",
        ),
    ],
)
def test_names_the_image_that_does_not_fit(images, step, message):
    with pytest.raises(ValueError, match=message):
        kept(images, step).full_init()


@pytest.mark.parametrize(
    "steps, settings",
    [((scores,), {}), ((), dict(with_label=False, data_prefix="train/class_0"))],
    ids=["several labels", "no labels"],
)
def test_a_sample_for_each_image_that_has_not_one_label(images, steps, settings):
    config = plain(images, *steps, **settings)
    dataset = kept(images, *steps, **settings)
    batch = dataset.__getitems__([3, 1])
    assert not dataset.test_mode
    assert batch["inputs"].shape == (2, 3, 16, 16)
    originals = DATASETS.build(config)
    for index, sample in zip([3, 1], batch["data_samples"], strict=True):
        expected = originals[index]["data_samples"]
        assert sample.metainfo == expected.metainfo
        assert sorted(sample.keys()) == sorted(expected.keys())
        for name in sample.keys():
            assert torch.equal(sample.get(name), expected.get(name))


def test_names_other_faults(images, monkeypatch):
    with pytest.raises(ValueError, match="found no inputs in image 0 of CustomDataset"):
        kept(images, pack=None).full_init()
    with pytest.raises(ValueError, match="found no images in CustomDataset; expected"):
        kept(images, indices=0, serialize_data=False).full_init()
    # 24 x 3 x 16 x 16 = 18432 bytes.
    monkeypatch.setattr(read_once, "free_memory", lambda device: 18432)
    kept(images).full_init()
    monkeypatch.setattr(read_once, "free_memory", lambda device: 18431)
    message = "found 24 images of 3x16x16, 1.84e-05 GB, for 1.84e-05 GB of memory that"
    with pytest.raises(ValueError, match=message):
        kept(images).full_init()


def test_the_mode_of_data_sets_in_a_wrapper(images):
    def wrapped(*modes):
        inside = [plain(images, test_mode=mode) for mode in modes]
        concat = dict(type="ConcatDataset", datasets=inside)
        return DATASETS.build(dict(type="pckd_mm.InMemoryDataset", dataset=concat))

    assert wrapped(True, True).test_mode and not wrapped(False, False).test_mode
    for modes, training in ((True, True), True), ((False, False), False):
        data = loader(wrapped(*modes), collate="pckd_mm.collate_batches")
        match = "expected .*: set test_mode of each data set in the ConcatDataset"
        with pytest.raises(ValueError, match=match):
            check_in_memory(data, "val_dataloader", training)
        check_in_memory(data, "val_dataloader", not training)
    mixed = wrapped(True, False)
    with pytest.raises(ValueError, match="with test_mode=True and False; expected the"):
        mixed.test_mode  # noqa: B018


@pytest.mark.parametrize("test_mode", [False, True])
def test_a_batch_on_a_device_has_the_same_numbers(images, test_mode):
    places = [5, 0, 23, 5]
    expected = kept(images, test_mode=test_mode).__getitems__(places)
    moved = kept(images, test_mode=test_mode).to(torch.device("cpu"))
    found = moved.__getitems__(places)
    assert moved.device.type == "cpu" and moved.nbytes == 24 * 3 * 16 * 16
    assert torch.equal(found["inputs"], expected["inputs"])
    pairs = zip(found["data_samples"], expected["data_samples"], strict=True)
    for ours, theirs in pairs:
        assert torch.equal(ours.gt_label, theirs.gt_label)
        if not test_mode:
            assert torch.equal(ours.sample_idx, theirs.sample_idx)


@pytest.mark.device
def test_a_batch_on_a_gpu_is_a_look_up_there(images):
    dataset = kept(images)
    dataset.full_init()
    with fake_device() as device:
        dataset.to(torch.device("cuda"))
        device.waits.clear()
        batch = dataset.__getitems__([5, 0, 23, 5])
        (sample,) = batch["data_samples"]
        assert batch["inputs"].shape == (4, 3, 16, 16)
        tensors = (batch["inputs"], sample.gt_label, sample.sample_idx)
        assert all(tensor.is_cuda for tensor in tensors)
        assert device.waits == []


def test_long_reading_shows_its_progress(images, monkeypatch, capsys):
    kept(images).full_init()
    assert "ETA" not in capsys.readouterr().err
    monkeypatch.setattr(read_once, "_MANY", 23)
    monkeypatch.setattr(read_once, "_STEP", 10)
    kept(images).full_init()
    shown = capsys.readouterr().err
    assert [f"] {n}/24" in shown for n in (1, 10, 20, 24)] == [False, True, True, True]
    assert "ETA" in shown
    monkeypatch.setattr(read_once, "is_main_process", lambda: False)
    kept(images).full_init()
    assert "ETA" not in capsys.readouterr().err


def test_collate_function_is_found_by_name(images):
    with DefaultScope.overwrite_default_scope("mmpretrain"):
        each = loader(plain(images), 0, "pckd_mm.collate_batches")
    batch = next(iter(each))
    assert batch["inputs"].shape == (7, 3, 16, 16) and len(batch["data_samples"]) == 7
    assert collate_batches(batch) is batch


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
@pytest.mark.parametrize("workers", [0, 2])
def test_batches_are_pinned(images, workers):
    settings = dict(collate="pckd_mm.collate_batches", pin_memory=True)
    batch = next(iter(loader(kept(images), workers, **settings)))
    assert batch["inputs"].is_pinned()
    assert len(batch["data_samples"][0].gt_label) == 7
