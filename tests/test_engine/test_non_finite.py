"""Which image a number that is not finite came from, and what is said of it."""

import math

import torch
from mmengine.structures import BaseDataElement
from mmpretrain.structures import DataSample
from torch.utils.data import ConcatDataset

from pckd_mm.datasets import InMemoryDataset
from pckd_mm.engine.non_finite import advice, describe_images, image_names, suspects
from pckd_mm.registry import DATASETS
from tests.builders import image_folder, run_config


def test_names_of_images():
    sample = DataSample(metainfo=dict(sample_idx=torch.tensor([4, 9])))
    assert image_names([sample]) == ["sample_idx 4", "sample_idx 9"]
    samples = [
        DataSample(metainfo=dict(sample_idx=torch.tensor(3), img_path="a")),
        BaseDataElement(metainfo=dict(img_id="000005", img_path="VOC2007/000005.jpg")),
        BaseDataElement(),
    ]
    assert image_names(samples) == [
        "sample_idx 3 (img_path a)",
        "img_id 000005 (img_path VOC2007/000005.jpg)",
        "place 2 in the batch",
    ]


def test_an_image_in_memory_has_a_path(tmp_path):
    data = image_folder(tmp_path)
    config = run_config("vanilla/cifar100_resnet8_6e.py", data, tmp_path / "run")
    dataset = DATASETS.build(config.train_dataloader.dataset)
    (sample,) = dataset.__getitems__([5, 2])["data_samples"]
    paths = [dataset.get_data_info(place)["img_path"] for place in (5, 2)]
    assert paths[0] != paths[1]
    assert image_names([sample], dataset) == [
        f"sample_idx {place} (img_path {path})"
        for place, path in zip((5, 2), paths, strict=True)
    ]
    # Places in each of several data sets say nothing.
    both = InMemoryDataset(ConcatDataset([dataset.dataset, dataset.dataset]))
    assert image_names([sample], both) == ["sample_idx 5", "sample_idx 2"]


def test_suspects():
    fine = torch.zeros(3, 2, 2)
    bad = fine.index_fill(0, torch.tensor([2]), math.inf)
    logits = torch.zeros(6, 4)  # two views of each
    odd = logits.clone()
    odd[3, 1] = -math.inf
    for inputs, given, expected in [
        (fine, logits, [0, 1, 2]),
        (fine, None, [0, 1, 2]),
        (fine, odd, [1]),
        (list(bad), odd, [2]),
        (fine.byte(), odd, [1]),
        (None, odd, [1]),
        (fine, odd[:5], [0, 1, 2]),
    ]:
        assert suspects(inputs, given, 3) == expected


def test_large_batches_are_listed_without_paths():
    samples = [
        DataSample(metainfo=dict(sample_idx=index, img_path=f"{index}.png"))
        for index in range(12)
    ]
    said = describe_images(dict(data_samples=samples), None)
    assert said.startswith("the batch of 12 images with sample_idx 0, 1, 2, ")
    assert "png" not in said
    assert "not known" in describe_images([1], None)


def test_advice_is_about_what_is_at_fault():
    of_distillation = "at the losses of distillation"
    assert of_distillation in advice(["loss", "distill.loss_kd"])
    assert of_distillation not in advice(["student.loss", "distill.loss_kd"])
    assert "another checkpoint than net.pth" in advice(["loss"], "net.pth")
