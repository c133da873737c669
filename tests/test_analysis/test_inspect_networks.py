"""Tests of trained classifiers for the report, and what was previewed."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.dataset import BaseDataset
from mmengine.runner import Runner
from mmpretrain.structures import DataSample

from pckd_mm.analysis import inspect_networks as module
from pckd_mm.analysis import previewed
from pckd_mm.analysis.answers import Answers, answers_of, load_network
from pckd_mm.analysis.inspect_networks import (
    confused_pairs,
    confusion_matrices,
    inspect_networks,
)
from pckd_mm.analysis.inspection import FAULTS, reason_of
from pckd_mm.registry import MODELS
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
    for user in (module, previewed):
        monkeypatch.setattr(user, "thumbnail", lambda dataset, place: str(place))


LABELS = [0, 0, 0, 1, 1, 2]


def answers(predicted):
    return Answers(torch.tensor(predicted), torch.tensor(LABELS), Numbers(LABELS), None)


def pairs_of(found, *args, **kwargs):
    return confused_pairs(found, confusion_matrices(found), *args, **kwargs)


def test_pairs_by_the_students_together():
    found = {
        "teacher": answers([2, 2, 2, 1, 1, 2]),
        "one": answers([0, 1, 1, 1, 2, 2]),
        "two": answers([0, 0, 1, 1, 2, 0]),
    }
    first, second, third = pairs_of(found, {"teacher"})
    # a for b: 2 of one, 1 of two; image 2 is taken for it by both.
    assert (first.category, first.taken_for, first.total) == ("a", "b", 3)
    assert first.counts == {"teacher": 0, "one": 2, "two": 1}
    # Image 3 is a b that all know.
    assert (first.image, first.other_image) == ("2", "3")
    assert (second.category, second.taken_for) == ("b", "c")
    assert second.counts == {"teacher": 0, "one": 1, "two": 1}
    assert (third.category, third.taken_for, third.image) == ("c", "a", "5")
    # The teacher's own confusion of a with c, three times, is none of the students'.
    assert len(pairs_of(found, {"teacher"}, most=2)) == 2
    assert pairs_of(found, ())[1].counts["teacher"] == 3
    # Nor are those of several teachers.
    found["big"] = answers([1, 1, 1, 1, 1, 1])
    pairs = pairs_of(found, {"teacher", "big", "one"})
    named = [(pair.category, pair.taken_for) for pair in pairs]
    assert named == [("a", "b"), ("b", "c"), ("c", "a")]  # not c for b


def test_no_confusion_no_pair_and_categories_without_an_image():
    assert pairs_of({"one": answers(LABELS)}, ()) == []
    data = Numbers([0])
    found = Answers(torch.tensor([2]), torch.tensor([0]), data, None)
    (pair,) = pairs_of({"one": found}, ())
    assert (pair.taken_for, pair.image, pair.other_image) == ("c", "0", "")


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
    request = dict(networks=trained, teachers={"pckd": "vanilla"})
    found, left_out = inspect_networks(request)
    assert left_out == {}
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
    assert len(found.previewed["pckd"]) == min(12, counts["previewed"].sum())
    for image in found.previewed["pckd"]:
        assert image.epochs == 1
        assert image.mean_weight == counts["weight_sum"][int(image.image)]
        # Eight images of each class, class by class.
        assert image.label == f"class_{int(image.image) // 8}"
    asked, right = found.asked["pckd"]
    assert asked == counts["previewed"].sum()
    assert len(found.learned["pckd"]) == min(12, right)
    assert all(image.answer == image.label for image in found.learned["pckd"])
    # What the trained network says of the images themselves.
    model = load_network(load_config(trained["pckd"]["config"]), **of(trained["pckd"]))
    for image in found.previewed["pckd"]:
        label, number = divmod(int(image.image), 8)
        path = trained_images(trained) / f"train/class_{label}/{number}.png"
        pixels = torch.from_numpy(cv2.imread(str(path))).permute(2, 0, 1)
        sample = DataSample()
        batch = dict(inputs=[pixels], data_samples=[sample])
        (said,) = model.test_step(batch)
        assert image.answer == f"class_{int(said.pred_label)}"
    assert found.categories == ["class_0", "class_1", "class_2"]
    for name, matrix in found.matrices.items():
        assert matrix.sum() == 24 and matrix.trace() == 24 - found.wrong[name]


def of(entry):
    return dict(checkpoint=entry["checkpoint"])


def trained_images(trained):
    return Path(trained["pckd"]["folder"]).parent / "images"


def test_features_are_those_in_front_of_the_classifier(trained):
    entry = trained["pckd"]
    cfg = load_config(entry["config"])
    loader = Runner.build_dataloader(cfg.test_dataloader, seed=0)
    model = load_network(cfg, entry["checkpoint"])
    answer = answers_of(model, loader, "it")
    assert answer.kept.tolist() == list(range(24))  # all, there are few
    head = model.student.head.fc
    logits = answer.features @ head.weight.cpu().T + head.bias.cpu()
    assert logits.argmax(1).equal(answer.predicted)


def test_the_teacher_that_a_config_names(trained, tmp_path):
    cfg = load_config(trained["pckd"]["config"])
    algorithm = MODELS.build(cfg.model)
    checkpoint = tmp_path / "teacher.pth"
    torch.save(dict(state_dict=algorithm.teacher.state_dict()), checkpoint)
    cfg.model.teacher_ckpt = str(checkpoint)
    # It was trained on other numbers.
    other = dict(mean=[0.0] * 3, std=[1.0] * 3, to_rgb=False)
    cfg.model.teacher.data_preprocessor = dict(type="ClsDataPreprocessor", **other)
    cfg.dump(tmp_path / "config.py")
    entry = dict(config=str(tmp_path / "config.py"), folder=str(tmp_path))
    teacher = dict(entry, checkpoint=None, is_teacher=True)
    student = dict(entry, checkpoint=trained["pckd"]["checkpoint"])
    networks = dict(teacher=teacher, student=student)
    request = dict(networks=networks, teachers={"student": "teacher"})
    found, _ = inspect_networks(request)
    weight = algorithm.teacher.head.fc.weight
    assert np.array_equal(found.centers["teacher"], weight.detach().numpy())
    assert list(found.likeness_to_teacher()) == ["student"]
    images = []
    for label in range(3):
        for number in range(8):
            path = trained_images(trained) / f"test/class_{label}/{number}.png"
            images.append(torch.from_numpy(cv2.imread(str(path))).permute(2, 0, 1))
    teacher = algorithm.teacher.eval()
    logits = teacher.head.fc(teacher.extract_feat(torch.stack(images).float())[-1])
    labels = torch.arange(24) // 8
    assert found.wrong["teacher"] == int((logits.argmax(1) != labels).sum())


def test_a_network_that_cannot_be_tested_is_left_out_alone(
    trained, tmp_path, monkeypatch
):
    gone = dict(trained["vanilla"], checkpoint=str(tmp_path / "gone.pth"))
    networks = dict(gone=gone, pckd=trained["pckd"], vanilla=trained["vanilla"])
    compared = {"pckd": "gone", "vanilla": "pckd"}
    found, left_out = inspect_networks(dict(networks=networks, teachers=compared))
    assert found.networks == ["pckd", "vanilla"]
    assert found.teachers == {"vanilla": "pckd"}
    assert list(left_out) == ["gone"] and str(tmp_path / "gone.pth") in left_out["gone"]
    with pytest.raises(ValueError, match="^There is no .*gone.pth"):
        inspect_networks(dict(networks=dict(gone=gone), teachers={}))
    both = dict(gone=gone, other=gone)
    with pytest.raises(ValueError, match="^gone: .*gone.pth.* other: .*gone.pth"):
        inspect_networks(dict(networks=both, teachers={}))
    request = tmp_path / "request.json"
    request.write_text(json.dumps(dict(networks=networks, teachers={})))
    argv = ["inspect_networks", str(request), str(tmp_path / "found")]
    monkeypatch.setattr("sys.argv", argv)
    with pytest.raises(ValueError, match="gone: .*gone.pth"):  # pckd compare says it
        module.main()


@pytest.mark.parametrize(
    "fault, expected",
    [
        (ValueError("a\nb"), "a"),
        (ValueError("a" * 400), "a" * 400),  # whose advice is at its end
        (KeyError("img"), "KeyError: 'img'"),
        (AttributeError("no x"), "AttributeError: no x"),
    ],
)
def test_why_a_network_is_left_out(fault, expected):
    assert isinstance(fault, FAULTS) and reason_of(fault) == expected


def test_other_test_images_are_refused(trained, tmp_path):
    cfg = load_config(trained["vanilla"]["config"])
    cfg.test_dataloader.dataset.dataset.indices = 20
    cfg.dump(tmp_path / "other.py")
    other = dict(trained["vanilla"], config=str(tmp_path / "other.py"))
    networks = dict(vanilla=trained["vanilla"], other=other)
    with pytest.raises(ValueError, match="^other is tested on other images than vani"):
        inspect_networks(dict(networks=networks, teachers={}))
