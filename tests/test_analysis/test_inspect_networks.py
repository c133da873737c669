"""Tests of trained classifiers for the report, and what was previewed."""

import numpy as np
import pytest
import torch
from mmengine.dataset import BaseDataset
from mmengine.runner import Runner

from pckd_mm.analysis import inspect_networks as module
from pckd_mm.analysis.inspect_networks import (
    Answers,
    confused_pairs,
    inspect_networks,
    longest_previewed,
)
from pckd_mm.utils.config import load_config
from tests.builders import image_folder, run_config


class Numbers(BaseDataset):
    """Images that are told apart by their place."""

    METAINFO = {"classes": ("a", "b", "c")}

    def __init__(self, labels):
        self.labels = labels
        super().__init__()

    def load_data_list(self):
        return [dict(gt_label=label) for label in self.labels]


@pytest.fixture(autouse=True)
def places(monkeypatch):
    """Instead of pictures the places of images."""
    monkeypatch.setattr(module, "thumbnail", lambda dataset, place: str(place))


LABELS = [0, 0, 0, 1, 1, 2]


def answers(predicted):
    return Answers(torch.tensor(predicted), torch.tensor(LABELS), Numbers(LABELS), None)


def test_pairs_by_the_students_together():
    found = {
        "teacher": answers([2, 2, 2, 1, 1, 2]),
        "one": answers([0, 1, 1, 1, 2, 2]),
        "two": answers([0, 0, 1, 1, 2, 0]),
    }
    first, second, third = confused_pairs(found, "teacher")
    # a for b: 2 of one, 1 of two; image 2 is taken for it by both.
    assert (first.category, first.taken_for, first.total) == ("a", "b", 3)
    assert first.counts == {"teacher": 0, "one": 2, "two": 1}
    # Image 3 is a b that all know.
    assert (first.image, first.other_image) == ("2", "3")
    assert (second.category, second.taken_for) == ("b", "c")
    assert second.counts == {"teacher": 0, "one": 1, "two": 1}
    assert (third.category, third.taken_for, third.image) == ("c", "a", "5")
    # The teacher's own confusion of a with c, three times, is none of the students'.
    assert len(confused_pairs(found, "teacher", most=2)) == 2
    assert confused_pairs(found, None)[1].counts["teacher"] == 3


def test_no_confusion_no_pair_and_categories_without_an_image():
    assert confused_pairs({"one": answers(LABELS)}, None) == []
    data = Numbers([0])
    found = Answers(torch.tensor([2]), torch.tensor([0]), data, None)
    (pair,) = confused_pairs({"one": found}, None)
    assert (pair.taken_for, pair.image, pair.other_image) == ("c", "0", "")


def test_the_longest_previewed():
    counts = dict(
        previewed=np.array([1, 3, 0, 3, 0, 0]),
        seen=np.array([4, 4, 0, 4, 4, 4]),
        weight_sum=np.array([3.0, 2.0, 0.0, 1.0, 4.0, 4.0]),
    )
    found = longest_previewed(counts, Numbers(LABELS), 5)
    assert [(i.image, i.label, i.epochs, i.mean_weight) for i in found] == [
        ("3", "b", 3, 0.25),
        ("1", "a", 3, 0.5),
        ("0", "a", 1, 0.75),
    ]
    assert len(longest_previewed(counts, Numbers(LABELS), 2)) == 2


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A student alone and one that was distilled for an epoch, as runs leave them."""
    root = tmp_path_factory.mktemp("trained")
    data = image_folder(root / "images")
    networks = {}
    for name in ("vanilla/cifar100_resnet8_30e", "pckd/cifar100_resnet20_resnet8_30e"):
        folder = root / name.split("/")[0]
        cfg = run_config(f"{name}.py", data, folder)
        cfg.train_cfg.max_epochs = 1
        if "teacher_ckpt" in cfg.model:
            cfg.model.teacher_ckpt = None
        cfg.dump(folder.with_suffix(".py"))
        Runner.from_cfg(cfg).train()
        networks[folder.name] = dict(
            config=str(folder.with_suffix(".py")),
            checkpoint=str(folder / "epoch_1.pth"),
            folder=str(folder),
        )
    return networks


def test_networks_of_runs(trained):
    found = inspect_networks(dict(networks=trained, teacher="vanilla"))
    assert found.networks == ["vanilla", "pckd"] and found.test_images == 24
    # The classifiers' own weights.
    for name, entry in trained.items():
        state = torch.load(entry["checkpoint"], weights_only=False)["state_dict"]
        (rows,) = [v for k, v in state.items() if k.endswith("head.fc.weight")]
        assert np.array_equal(found.centers[name], rows.numpy())
    # What the runner's own test says.
    for name, entry in trained.items():
        cfg = load_config(entry["config"])
        cfg.load_from, cfg.work_dir = entry["checkpoint"], f"{entry['folder']}/test"
        cfg.experiment_name += "_test"
        top1 = Runner.from_cfg(cfg).test()["accuracy/top1"]
        assert found.wrong[name] == round(24 * (1 - top1 / 100))
    assert found.passes == {"pckd": 1}
    counts = np.load(f"{trained['pckd']['folder']}/preview_images.npz")
    assert len(found.previewed["pckd"]) == min(24, counts["previewed"].sum())
    for image in found.previewed["pckd"]:
        assert image.epochs == 1
        assert image.mean_weight == counts["weight_sum"][int(image.image)]
        # Eight images of each class, class by class.
        assert image.label == f"class_{int(image.image) // 8}"


def test_other_test_images_are_refused(trained, tmp_path):
    cfg = load_config(trained["vanilla"]["config"])
    cfg.test_dataloader.dataset.dataset.indices = 20
    cfg.dump(tmp_path / "other.py")
    other = dict(trained["vanilla"], config=str(tmp_path / "other.py"))
    networks = dict(vanilla=trained["vanilla"], other=other)
    with pytest.raises(ValueError, match="^other is tested on other images than vani"):
        inspect_networks(dict(networks=networks, teacher=None))
