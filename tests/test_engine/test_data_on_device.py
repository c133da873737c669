"""Images on the device of the networks: which, and why not."""

from types import SimpleNamespace

import pytest
import torch
from torch.utils.data import DataLoader

from pckd_mm.datasets import InMemoryDataset, collate_batches
from pckd_mm.engine import data_on_device
from pckd_mm.engine.data_on_device import put_data_on_device
from pckd_mm.registry import DATASETS
from tests.builders import image_folder
from tests.fake_device import fake_device

CUDA = torch.device("cuda")
NBYTES = 24 * 3 * 16 * 16


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return image_folder(tmp_path_factory.mktemp("images"))


def loader(images, split="train", **settings) -> DataLoader:
    steps = ("LoadImageFromFile", "PackInputs")
    dataset = DATASETS.build(
        dict(
            type="mmpretrain.CustomDataset",
            data_root=str(images),
            data_prefix=split,
            test_mode=split == "test",
            pipeline=[dict(type=f"mmpretrain.{step}") for step in steps],
        )
    )
    if settings.pop("kept", True):
        dataset = InMemoryDataset(dataset)
        dataset.full_init()
    return DataLoader(
        dataset, batch_size=7, collate_fn=collate_batches, pin_memory=True, **settings
    )


def runner(train, val=None, **loop):
    return SimpleNamespace(
        train_dataloader=train,
        val_dataloader=val,
        train_loop=SimpleNamespace(**loop),
    )


def free(monkeypatch, nbytes):
    monkeypatch.setattr(data_on_device, "free_memory", lambda device: nbytes)


@pytest.mark.device
def test_images_of_training_and_validation_move(images, monkeypatch):
    free(monkeypatch, 4 * NBYTES)
    train, val = loader(images), loader(images, "test")
    with fake_device():
        words = put_data_on_device(runner(train, val), CUDA)
        assert train.dataset.device.type == val.dataset.device.type == "cuda"
        for each in (train, val):  # as a data loader asks for a batch
            batch = each.collate_fn(each.dataset.__getitems__([3, 1]))
            assert batch["inputs"].is_cuda
    assert words == ("on in training, 0.0 MB on cuda, on in validation, 0.0 MB on cuda")
    assert not train.pin_memory and not val.pin_memory


@pytest.mark.device
def test_images_that_no_batch_is_made_of_stay(images, monkeypatch):
    free(monkeypatch, 4 * 8 * NBYTES)
    train, val = loader(images), loader(images, "test")
    with fake_device():
        words = put_data_on_device(runner(train, val), CUDA, gets_batches=True)
        assert train.dataset.device.type == "cpu" and train.pin_memory
        assert val.dataset.device.type == "cuda"
    assert words == (
        "off in training, its batches come from another process, on in validation, "
        "0.0 MB on cuda"
    )
    # Eight students are to have room at the same time.
    free(monkeypatch, 4 * 8 * NBYTES - 1)
    runs = runner(train, loader(images, "test"))
    words = put_data_on_device(runs, CUDA, gets_batches=True)
    assert "off in validation" in words and "it may take 3 %" in words


def test_images_that_do_not_fit_stay(images, monkeypatch):
    free(monkeypatch, 4 * NBYTES - 1)
    train = loader(images)
    words = put_data_on_device(runner(train), CUDA)
    assert words == (
        "off in training, it has 1.84e-05 GB of images for 7.37e-05 GB that are free "
        "on cuda, of which it may take 25 %"
    )
    assert train.dataset.device.type == "cpu" and train.pin_memory


def test_what_cannot_lie_there_stays(images, monkeypatch):
    free(monkeypatch, None)
    for train, loop, why in (
        (loader(images, kept=False), {}, "the images of CustomDataset are not in"),
        (loader(images, num_workers=1), {}, "its workers have no access to a GPU"),
        (loader(images), dict(dataloader_iterator=1), "its loop of iterations pins"),
    ):
        assert why in put_data_on_device(runner(train, **loop), CUDA)
        assert train.pin_memory


def test_on_the_cpu_they_are_there_already(images):
    train = loader(images, num_workers=1)
    words = put_data_on_device(runner(train), torch.device("cpu"))
    assert words == "on in training, 0.0 MB on cpu"
