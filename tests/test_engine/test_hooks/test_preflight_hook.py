"""PreflightHook: what cannot succeed ends before the first step."""

import argparse
import shutil

import pytest
import torch
from mmengine.evaluator import Evaluator
from mmengine.runner import Runner
from mmpretrain.evaluation import Accuracy, RetrievalRecall, SingleLabelMetric

from pckd_mm.engine.preflight import (
    check_batch_size,
    check_categories,
    check_labels,
    check_same_classes,
    check_teachers_classes,
    check_top_k,
)
from pckd_mm.registry import MODELS
from tests.builders import image_folder, run_config

PCKD = "pckd/cifar100_resnet20_resnet8_30e.py"


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return image_folder(tmp_path_factory.mktemp("images"))


def pckd(images, work_dir, **changes):
    cfg = run_config(PCKD, images, work_dir)
    cfg.model.teacher_ckpt = None
    cfg.merge_from_dict(changes)
    return cfg


def fails_before_training(cfg, error, match):
    runner = Runner.from_cfg(cfg)
    with pytest.raises(error, match=match):
        runner.train()
    assert runner.iter == 0


def test_check_labels():
    check_labels([[0], [2, 1], []], 3)
    with pytest.raises(ValueError, match="image 1 has label 3.*num_classes=3.*2 of 4"):
        check_labels([[0], [3], [1], [-1]], 3)


def test_check_categories():
    class Data:
        metainfo = dict(classes=("cat", "dog"))

    check_categories(Data(), 2)
    check_categories([], 2)  # knows nothing of its classes
    with pytest.raises(ValueError, match="has 2 classes .* num_classes=3; expected"):
        check_categories(Data(), 3)
    # Labels tell more than names, of which there may be too few.
    listed = Data()
    listed.get_gt_labels = lambda: torch.tensor([0, 2])
    check_categories(listed, 3)
    with pytest.raises(ValueError, match="label 2"):
        check_categories(listed, 2)
    # A class is missing, whose folder is gone, and all labels are in range.
    listed.get_gt_labels = lambda: torch.tensor([0, 1])
    check_categories(listed, 2)
    with pytest.raises(ValueError, match="has 2 classes .* num_classes=3; expected"):
        check_categories(listed, 3)


def test_check_top_k():
    evaluator = Evaluator([Accuracy(topk=(1, 5)), SingleLabelMetric()])
    check_top_k(evaluator, 5)
    check_top_k(Evaluator(RetrievalRecall(topk=100)), 10)  # of images, not classes
    with pytest.raises(
        ValueError, match=r"top-5 accuracy .* num_classes=4; .*topk=\(1"
    ):
        check_top_k(evaluator, 4)


def test_the_metrics_are_looked_at_before_training(images, tmp_path):
    top_k = {"val_evaluator.topk": (1, 4)}
    cfg = pckd(images, tmp_path, **top_k)
    fails_before_training(cfg, ValueError, "top-4 accuracy")


@pytest.mark.parametrize(
    "images, batch_size, drop_last, which",
    [
        (10, 1, False, "every batch"),
        (10, 1, True, "every batch"),
        (9, 4, False, "the last batch"),
        (9, 4, True, None),
        (10, 4, False, None),
    ],
)
def test_check_batch_size(images, batch_size, drop_last, which):
    if which is None:
        check_batch_size(images, batch_size, drop_last)
        return
    with pytest.raises(ValueError, match=f"{which}.* one image"):
        check_batch_size(images, batch_size, drop_last)


def test_an_epoch_without_a_batch_is_refused(images, tmp_path):
    changes = {"train_dataloader.batch_size": 100, "train_dataloader.drop_last": True}
    match = "has 24 images, batch_size=100 and drop_last=True, and so no batch"
    fails_before_training(pckd(images, tmp_path, **changes), ValueError, match)


@pytest.mark.parametrize("method", ["rkd", "pckd"])
def test_what_compares_rows_needs_two_images(images, tmp_path, method):
    """RKD's loss, and the BatchNorm of PCKD's connector where there is no preview."""
    cfg = run_config(f"{method}/cifar100_resnet20_resnet8_30e.py", images, tmp_path)
    cfg.model.update(teacher_ckpt=None, num_views=1)
    if method == "pckd":
        cfg.model.distiller.preview = None
        cfg.model.distiller.distill_losses.loss_cc = None
    cfg.train_dataloader.batch_size = 23  # of 24 images
    match = "the last batch of an epoch has one image, which preview, losses or conn"
    fails_before_training(cfg, ValueError, match)


def test_a_distillation_that_stops_leaves_the_student_its_loss(images, tmp_path):
    stop = dict(type="mmrazor.StopDistillHook", stop_epoch=2)
    cfg = pckd(images, tmp_path, **{"model.calculate_student_loss": False})
    cfg.custom_hooks = [*cfg.get("custom_hooks", []), stop]
    match = "stops the distillation at epoch 2 of 3, and calculate_student_loss=False"
    fails_before_training(cfg, ValueError, match)


def test_check_same_classes():
    def data(*classes):
        return argparse.Namespace(metainfo=dict(classes=classes))

    check_same_classes(data("cat", "dog"), data("cat", "dog"))
    check_same_classes(data("cat", "dog"), [])  # knows nothing of its classes
    with pytest.raises(ValueError, match="2 classes .* validation set 1, .* lacks cat"):
        check_same_classes(data("cat", "dog"), data("dog"))
    with pytest.raises(ValueError, match="has others or another order"):
        check_same_classes(data("cat", "dog"), data("dog", "cat"))


def test_classes_of_a_teacher_are_in_the_same_order():
    def data(*classes):
        return argparse.Namespace(metainfo=dict(classes=classes))

    check_teachers_classes(["cat", "dog"], data("cat", "dog"))
    check_teachers_classes(["n02123045", "n02085620"], data("cat", "dog"))
    check_teachers_classes(["cat", "dog"], [])  # knows nothing of its classes
    match = "Label 1 is dog in the training set and emu to the teacher"
    with pytest.raises(ValueError, match=match):
        check_teachers_classes(["cat", "emu", "dog"], data("cat", "dog", "emu"))


@pytest.mark.parametrize("places", [(0, 1, 2), (1, 0, 2)])
def test_a_teacher_of_another_order_of_classes(images, tmp_path, places):
    cfg = pckd(images, tmp_path / "work")
    teacher = MODELS.build(cfg.model.teacher)
    names = [f"class_{place}" for place in places]
    meta = dict(dataset_meta=dict(classes=names))
    checkpoint = tmp_path / "teacher.pth"
    torch.save(dict(state_dict=teacher.state_dict(), meta=meta), checkpoint)
    cfg.model.teacher_ckpt = str(checkpoint)
    if places == (0, 1, 2):
        Runner.from_cfg(cfg).train()
    else:
        match = "Label 0 is class_0 in the training set and class_1 to the teacher"
        fails_before_training(cfg, ValueError, match)


def test_folders_that_number_the_labels_are_the_same():
    """Names that are said beside them, the same for both, would hide it."""

    def data(*folders):
        places = {name: place for place, name in enumerate(folders)}
        names = dict(classes=("tench", "hen"))
        return argparse.Namespace(folder_to_idx=places, metainfo=names)

    check_same_classes(data("n01", "n02"), data("n01", "n02"))
    check_same_classes(data("n01", "n02"), argparse.Namespace(dataset=data("n01")))
    held_out = argparse.Namespace(dataset=data("n01", "n03"))
    match = "has a folder n02 and the validation set n03 .* rename them"
    with pytest.raises(ValueError, match=match):
        check_same_classes(data("n01", "n02"), held_out)
    several = argparse.Namespace(datasets=[data("n01", "n02"), data("n03", "n04")])
    check_same_classes(several, held_out)


def test_validation_folder_without_a_class(images, tmp_path):
    copied = shutil.copytree(images, tmp_path / "images")
    shutil.rmtree(copied / "test" / "class_0")
    match = "3 classes and the validation set 2, which lacks class_0"
    fails_before_training(pckd(copied, tmp_path / "work"), ValueError, match)


def test_in_memory_validation_without_its_mode(images, tmp_path):
    cfg = pckd(images, tmp_path)
    cfg.val_dataloader.dataset.dataset.test_mode = False
    del cfg.val_dataloader.dataset.pipeline  # which tells by itself
    match = "val_dataloader has an InMemoryDataset .* test_mode=False; expected True"
    fails_before_training(cfg, ValueError, match)


def test_in_memory_test_without_its_mode(images, tmp_path):
    cfg = pckd(images, tmp_path)
    cfg.test_dataloader.dataset.dataset.test_mode = False
    del cfg.test_dataloader.dataset.pipeline
    with pytest.raises(ValueError, match="test_dataloader has .* test_mode=False"):
        Runner.from_cfg(cfg).test()


def test_in_memory_data_inside_of_another_set(images, tmp_path):
    cfg = pckd(images, tmp_path)
    dataset = cfg.train_dataloader.dataset
    cfg.train_dataloader.dataset = dict(type="RepeatDataset", times=2, dataset=dataset)
    match = "a RepeatDataset of an InMemoryDataset, .*; expected it outside"
    fails_before_training(cfg, ValueError, match)
    both = dict(type="ConcatDataset", datasets=[dataset, dataset])
    cfg.train_dataloader.dataset.dataset = both
    fails_before_training(cfg, ValueError, match)


def test_in_memory_training_in_the_mode_of_tests(images, tmp_path):
    cfg = pckd(images, tmp_path)
    cfg.train_dataloader.dataset.dataset.test_mode = True
    match = "train_dataloader has .* test_mode=True; expected False"
    fails_before_training(cfg, ValueError, match)


def test_in_memory_data_with_another_collate_function(images, tmp_path):
    cfg = pckd(images, tmp_path)
    cfg.train_dataloader.collate_fn.type = "default_collate"
    match = (
        "collate_fn default_collate; expected .* set .*type='pckd_mm.collate_batches'"
    )
    fails_before_training(cfg, ValueError, match)


def test_label_out_of_range(images, tmp_path):
    cfg = pckd(images, tmp_path)
    for model in (cfg.model.architecture, cfg.model.teacher):
        model.head.num_classes = 2
    fails_before_training(cfg, ValueError, "label 2.*num_classes=2.*8 of 24 labels")


def test_label_out_of_range_for_a_plain_student(images, tmp_path):
    cfg = run_config("vanilla/cifar100_resnet8_30e.py", images, tmp_path, classes=2)
    fails_before_training(cfg, ValueError, "label 2.*num_classes=2")


def test_batches_of_one_image(images, tmp_path):
    cfg = pckd(images, tmp_path, **{"train_dataloader.batch_size": 1})
    fails_before_training(cfg, ValueError, "every batch has one image")


def test_last_batch_of_one_image(images, tmp_path):
    # 24 images in batches of 23
    cfg = pckd(images, tmp_path, **{"train_dataloader.batch_size": 23})
    fails_before_training(cfg, ValueError, "the last batch of an epoch has one image")


def test_recorder_that_is_never_called(images, tmp_path):
    source = "model.distiller.student_recorders.feature.source"
    cfg = pckd(images, tmp_path, **{source: "data_preprocessor"})
    fails_before_training(cfg, RuntimeError, "'data_preprocessor'.*called 0 times")


def test_missing_teacher(images, tmp_path):
    cfg = pckd(images, tmp_path, **{"model.teacher_ckpt": str(tmp_path / "no.pth")})
    fails_before_training(cfg, FileNotFoundError, "no.pth.*pckd train configs/")


def test_a_good_run_draws_the_same_numbers_with_and_without_the_check(images, tmp_path):
    weights = []
    for name in ("with", "without"):
        cfg = pckd(images, tmp_path / name)
        cfg.train_cfg.max_epochs = 1
        if name == "without":
            del cfg.default_hooks.preflight
        runner = Runner.from_cfg(cfg)
        runner.train()
        weights.append(runner.model.state_dict())
    for name, value in weights[0].items():
        assert torch.equal(value, weights[1][name]), name


def test_resuming_a_finished_run_ends_at_once(images, tmp_path):
    Runner.from_cfg(pckd(images, tmp_path)).train()
    cfg = pckd(images, tmp_path)
    cfg.resume = True
    runner = Runner.from_cfg(cfg)
    runner.train()
    assert runner.epoch == 3


def test_whole_batches_and_a_preprocessor_that_takes_them_for_an_image(
    images, tmp_path
):
    cfg = pckd(images, tmp_path)
    cfg.model.num_views = 1
    cfg.data_preprocessor = dict(
        type="mmpretrain.ClsDataPreprocessor", num_classes=3, to_onehot=True
    )
    fails_before_training(cfg, ValueError, "ClsDataPreprocessor makes one-hot labels")
    cfg.data_preprocessor.type = "pckd_mm.RotatedViewsDataPreprocessor"  # the advice
    cfg.data_preprocessor.update(flip_prob=0, crop_padding=0)
    cfg.train_cfg.max_epochs = 1
    cfg.experiment_name += "_advice"
    Runner.from_cfg(cfg).train()
