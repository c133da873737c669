"""How often each training image was previewed."""

import copy
import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.dataset import BaseDataset, ConcatDataset, RepeatDataset
from mmengine.logging import MessageHub
from mmengine.runner import Runner
from mmpretrain.structures import DataSample

from pckd_mm.engine.image_previews import ImagePreviews
from tests.builders import image_folder, in_processes, run_config


class Images(BaseDataset):
    """A data set of so many images."""

    def __init__(self, total):
        self.total = total
        super().__init__()

    def load_data_list(self):
        return [dict(img=index) for index in range(self.total)]


def runner_of(dataset, folder):
    return SimpleNamespace(
        train_dataloader=SimpleNamespace(dataset=dataset),
        message_hub=MessageHub.get_instance(f"{folder}"),
        work_dir=str(folder),
    )


def samples(places):
    return [DataSample(metainfo=dict(sample_idx=place)) for place in places]


def written(folder):
    with np.load(folder / "preview_images.npz") as file:
        return {name: file[name].tolist() for name in file.files}


def whole(places):
    """One data sample for all images, as of images in memory."""
    return [DataSample(metainfo=dict(sample_idx=torch.tensor(places)))]


@pytest.mark.parametrize("make", [samples, whole])
def test_counts_by_hand(make, tmp_path):
    runner, previews = runner_of(Images(4), tmp_path), ImagePreviews()
    # Image 3 is left out, image 1 comes twice.
    previews.take(make([2, 1]), torch.tensor([1.0, 0.5]))
    previews.take(make([0, 1]), torch.tensor([0.25, 0.25]))
    previews.end(runner, 1)
    first = dict(previewed=[1, 1, 0, 0], seen=[1, 2, 1, 0], epochs=1)
    assert written(tmp_path) == dict(first, weight_sum=[0.25, 0.75, 1.0, 0.0])
    previews.take(make([1, 3]), torch.tensor([1.0, 0.0]))
    previews.end(runner, 2)
    second = dict(previewed=[1, 1, 0, 1], seen=[1, 3, 1, 1], epochs=2)
    assert written(tmp_path) == dict(second, weight_sum=[0.25, 1.75, 1.0, 0.0])


def test_weights_are_copied(tmp_path):
    """A captured graph gives each batch in the same memory."""
    runner, previews = runner_of(Images(2), tmp_path), ImagePreviews()
    weights = torch.tensor([0.5])
    previews.take(samples([0]), weights)
    previews.take(samples([1]), weights.fill_(1.0))
    previews.end(runner, 1)
    assert written(tmp_path)["previewed"] == [1, 0]


def test_a_pass_that_is_not_whole_is_forgotten(tmp_path):
    runner, previews = runner_of(Images(2), tmp_path), ImagePreviews()
    previews.take(samples([0]), torch.tensor([0.5]))
    previews.begin()
    previews.take(samples([1]), torch.tensor([0.5]))
    previews.end(runner, 1)
    assert written(tmp_path)["seen"] == [0, 1]


def test_what_an_earlier_run_in_this_process_left_is_not_added(tmp_path):
    for _ in range(2):
        runner, previews = runner_of(Images(1), tmp_path), ImagePreviews()
        for epoch in (1, 2, 3):
            previews.take(samples([0]), torch.tensor([0.5]))
            previews.end(runner, epoch)
        assert written(tmp_path)["previewed"] == [3]
    runner = runner_of(Images(2), tmp_path)
    previews.take(samples([0]), torch.tensor([0.5]))
    previews.end(runner, 4)  # of other images
    assert written(tmp_path)["previewed"] == [1, 0]


def test_wrappers_are_looked_into(tmp_path):
    dataset = RepeatDataset(Images(2), times=3)
    runner, previews = runner_of(dataset, tmp_path), ImagePreviews()
    for _ in range(3):
        previews.take(samples([0, 1]), torch.tensor([0.5, 1.0]))
    previews.end(runner, 1)
    assert written(tmp_path)["previewed"] == [1, 0]
    assert written(tmp_path)["seen"] == [3, 3]


TWO = ConcatDataset([Images(2), Images(2)])


@pytest.mark.parametrize(
    "dataset, batch, reason",
    [
        (Images(2), [DataSample()], "samples have no sample_idx, the place"),
        (Images(2), None, "samples have no sample_idx, the place"),
        (Images(2), samples([0, 1]), "samples have no sample_idx, the place"),
        (TWO, samples([0]), "training set is made of 2 data sets, and sample_idx"),
        (Images(2), samples([2]), "is a sample_idx 2 among 2 images"),
    ],
)
def test_without_places_of_their_own_nothing_is_written(
    dataset, batch, reason, tmp_path, monkeypatch
):
    said = []
    monkeypatch.setattr(
        "pckd_mm.engine.image_previews.print_log", lambda text, **_: said.append(text)
    )
    runner, previews = runner_of(dataset, tmp_path), ImagePreviews()
    for epoch in (1, 2):
        previews.take(batch, torch.tensor([0.5]))
        previews.end(runner, epoch)
    (text,) = said
    assert reason in text and "preview_images.npz is not written" in text
    assert not list(tmp_path.iterdir())


def count_in_group(rank, folder, places, weights):
    runner, previews = runner_of(Images(3), folder), ImagePreviews()
    for epoch in (1, 2):
        previews.take(samples(places[rank]), torch.tensor(weights[rank]))
        previews.end(runner, epoch)
    # One that cannot count keeps the others from waiting for it.
    previews.take(samples(places[rank]) if rank else None, torch.ones(2))
    previews.end(runner, 3)
    assert previews.is_off


def test_several_processes(tmp_path):
    places, weights = [[0, 1], [2, 0]], [[0.5, 1.0], [0.0, 0.25]]
    in_processes(2, count_in_group, tmp_path, tmp_path, places, weights)
    # Both processes had image 0, which a sampler adds so that they have as many.
    assert written(tmp_path) == dict(
        previewed=[2, 0, 2], seen=[4, 2, 2], weight_sum=[1.5, 2.0, 0.0], epochs=2
    )


def test_of_a_resumed_run_it_is_that_of_the_whole_run(tmp_path):
    data = image_folder(tmp_path / "images")
    cfg = run_config("pckd/cifar100_resnet20_resnet8_30e.py", data, tmp_path / "whole")
    cfg.model.teacher_ckpt = None
    cfg.default_hooks.checkpoint.update(interval=1, max_keep_ckpts=3)
    Runner.from_cfg(copy.deepcopy(cfg)).train()
    expected = written(tmp_path / "whole")
    lines = (tmp_path / "whole" / "preview.jsonl").read_text().splitlines()
    shares = [json.loads(line)["share"] for line in lines]
    assert sum(expected["previewed"]) == pytest.approx(24 * sum(shares))
    assert expected["seen"] == [3] * 24 and expected["epochs"] == 3
    # Resumed from the first epoch, when two more were recorded already.
    cfg.load_from, cfg.resume = str(tmp_path / "whole" / "epoch_1.pth"), True
    cfg.experiment_name += "_again"
    Runner.from_cfg(cfg).train()
    assert written(tmp_path / "whole") == expected
