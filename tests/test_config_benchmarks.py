"""Data and schedule of shipped configs, by values of the benchmarks' protocols."""

import re
from collections import defaultdict
from functools import lru_cache

import numpy as np
import pytest
from mmengine.optim import build_optim_wrapper
from mmengine.registry import PARAM_SCHEDULERS
from torch import nn

from pckd_mm.registry import DATASETS, MODELS
from pckd_mm.utils.config import load_config
from pckd_mm.utils.nested_datasets import nested_datasets
from tests.builders import CONFIGS
from tests.test_configs import CROSS_FAMILY, METHODS, SAME_FAMILY

# Their data and schedule are the student's alone, as test_configs.py finds.
COMPARED = {
    f"{method}/cifar100_{pair}.py"
    for method in METHODS
    for pair in (*SAME_FAMILY, *CROSS_FAMILY)
}


def benchmark(path) -> str:
    """Data set, and epochs where they are not the benchmark's own."""
    first, *_, last = path.stem.split("_")
    return f"{first}_{last}" if re.fullmatch(r"\d+e", last) else first


# The configs of each. Methods for detectors have data and schedule of the students.
CONFIGS_OF = defaultdict(list)
for _path in sorted(CONFIGS.glob("[a-z]*/*_*.py")):
    is_detector = _path.name.startswith(("voc_", "coco_", "digit_"))
    if not is_detector and _path.relative_to(CONFIGS).as_posix() not in COMPARED:
        CONFIGS_OF[benchmark(_path)].append(_path)
for _name in ("photos", "boxes"):  # that pckd init builds on
    CONFIGS_OF[_name] = [CONFIGS / "_base_" / "benchmarks" / f"{_name}.py"]
DETECTORS = dict(
    scenes="digit_scenes_frcnn_r18w8 digit_scenes_cascade_r18w8 digit_scenes_gfl_r18w8",
    scenes_rtmdet="digit_scenes_rtmdet_w16",
    voc="voc_frcnn_r50 voc_rtmdet_s voc_yolox_s",
    coco="coco_frcnn_r50 coco_mask_rcnn_r50 coco_rtmdet_s",
)
for _name, _networks in DETECTORS.items():
    CONFIGS_OF[_name] = [CONFIGS / f"vanilla/{n}.py" for n in _networks.split()]


@lru_cache(None)
def read(path):
    return load_config(path)


def configs_of(name):
    if name in DETECTORS:
        pytest.importorskip("mmdet.models", exc_type=ImportError)
    return [(path.stem, read(path)) for path in CONFIGS_OF[name]]


# The setting that names a part, the parts that are trained and tested on. The test
# images of ImageNet, TinyImageNet and COCO have no labels.
SPLIT, FOLDERS = ("split", ["train"], ["test"]), ("data_prefix", ["train"], ["test"])
HELD_OUT = ("part", ["train"], ["val"])
LISTS = "VOC{}/ImageSets/Main/{}.txt"
SCENES = ("ann_file", [LISTS.format(2007, "train")], [LISTS.format(2007, "test")])
PARTS = dict(
    cifar100=SPLIT,
    **{f"cifar100_{epochs}e": FOLDERS for epochs in (60, 30, 6)},
    digits=SPLIT,
    letters=SPLIT,
    imagenet=("split", ["train"], ["val"]),
    stl10=SPLIT,
    tiny=("split", ["train"], ["val"]),
    folder=FOLDERS,
    photos=HELD_OUT,
    boxes=HELD_OUT,
    scenes=SCENES,
    scenes_rtmdet=SCENES,
    voc=(
        "ann_file",
        [LISTS.format(year, "trainval") for year in (2007, 2012)],
        [LISTS.format(2007, "test")],
    ),
    coco=(
        "ann_file",
        ["annotations/instances_train2017.json"],
        ["annotations/instances_val2017.json"],
    ),
)


def values_of(dataset, key):
    """A setting of a data set, of those inside of it, and of those joined in it."""
    return [each[key] for each in nested_datasets(dataset) if key in each]


def test_every_benchmark_has_its_parts():
    assert set(PARTS) == set(CONFIGS_OF)


@pytest.mark.parametrize("name", PARTS)
def test_what_is_trained_on_is_not_tested_on(name):
    key, train, test = PARTS[name]
    for stem, cfg in configs_of(name):
        loaders = {k: cfg[f"{k}_dataloader"] for k in ("train", "val", "test")}
        parts = {k: values_of(each.dataset, key) for k, each in loaders.items()}
        assert parts == dict(train=train, val=test, test=test), stem
        modes = {
            k: any(values_of(each.dataset, "test_mode")) for k, each in loaders.items()
        }
        if name != "imagenet":  # MMPretrain's, see test_imagenet_configs.py
            assert modes == dict(train=False, val=True, test=True), stem
        shuffled = {k: each.sampler.shuffle for k, each in loaders.items()}
        assert shuffled == dict(train=True, val=False, test=False), stem


@pytest.mark.parametrize(
    "name, counts", [("digits", (450, 1167)), ("letters", (2208, 4416))]
)
def test_images_of_training_and_testing_are_different_ones(name, counts):
    cfg = read(CONFIGS / f"vanilla/{name}_resnet20.py")
    images = []
    for loader in (cfg.train_dataloader, cfg.test_dataloader):
        dataset = DATASETS.build(dict(loader.dataset.dataset, pipeline=()))
        images.append([dataset.get_data_info(index) for index in range(len(dataset))])
    assert tuple(map(len, images)) == counts
    train, test = (
        {(i["gt_label"], i["img"].tobytes()) for i in part} for part in images
    )
    assert not train & test
    pixels = np.stack([each["img"] for each in images[0]])
    found = [pixels.mean(), pixels.std()]
    said = [*cfg.data_preprocessor["mean"], *cfg.data_preprocessor["std"]]
    assert said == pytest.approx(found, abs=0.001 * 255)


# Probability of a flip, and pixels that a crop moves by. A mirrored digit or letter is
# none, and they are smaller; ImageNet's and photos' crops are the loader's.
CIFAR_VIEWS = (0.5, 4)
VIEWS = dict(
    **{name: CIFAR_VIEWS for name in PARTS if name.startswith("cifar100")},
    digits=(0, 1),
    letters=(0, 2),
    imagenet=(0.5, 0),
    photos=(0.5, 0),
    stl10=CIFAR_VIEWS,
    tiny=CIFAR_VIEWS,
    folder=CIFAR_VIEWS,
)


@pytest.mark.parametrize("name", VIEWS)
def test_flips_and_crops(name):
    for stem, cfg in configs_of(name):
        views = MODELS.build(cfg.data_preprocessor)
        assert (views.flip_prob, views.crop_padding) == VIEWS[name], stem


# Epochs, the learning rate from an epoch on, momentum, weight decay, images of a step
# on one device, and images that the rate is for. In the CRD benchmark it drops after
# 5/8, 3/4 and 7/8 of the epochs; short runs round these.
SCHEDULES = dict(
    cifar100=(240, {1: 0.05, 151: 5e-3, 181: 5e-4, 211: 5e-5}, 0.9, 5e-4, 64, 64),
    cifar100_60e=(60, {1: 0.05, 39: 5e-3, 46: 5e-4, 54: 5e-5}, 0.9, 5e-4, 64, 64),
    cifar100_30e=(30, {1: 0.05, 20: 5e-3, 24: 5e-4, 27: 5e-5}, 0.9, 5e-4, 64, 64),
    cifar100_6e=(6, {1: 0.05, 5: 5e-3, 6: 5e-4}, 0.9, 5e-4, 64, 64),
    digits=(100, {1: 0.1, 63: 0.01, 76: 1e-3, 88: 1e-4}, 0.9, 5e-4, 45, 45),
    letters=(25, {1: 0.1, 17: 0.01, 20: 1e-3, 23: 1e-4}, 0.9, 5e-4, 64, 64),
    # MMPretrain's, on 8 devices.
    imagenet=(100, {1: 0.1, 31: 0.01, 61: 1e-3, 91: 1e-4}, 0.9, 1e-4, 32, 256),
    **{  # the usual protocol of linear evaluation
        name: (100, {1: 0.1, 31: 0.01, 61: 1e-3, 91: 1e-4}, 0.9, 0, 64, 64)
        for name in ("stl10", "tiny", "folder")
    },
    # This project's, by AdamW.
    scenes=(18, {1: 1e-3, 13: 1e-4, 17: 1e-5}, None, 0.01, 8, None),
    scenes_rtmdet=(18, {1: 4e-3, 13: 4e-4, 17: 4e-5}, None, 0.01, 8, None),
)


def rates(cfg, optimizer):
    """The learning rates of a run, by the first epoch that has them."""
    of_epoch, group = {}, optimizer.param_groups[0]
    scheduler = PARAM_SCHEDULERS.build(dict(cfg.param_scheduler, optimizer=optimizer))
    for epoch in range(1, cfg.train_cfg.max_epochs + 1):
        if group["lr"] != of_epoch.get(max(of_epoch, default=0)):
            of_epoch[epoch] = group["lr"]
        optimizer.step()
        scheduler.step()
    return of_epoch


@pytest.mark.parametrize("name", SCHEDULES)
def test_schedule(name):
    epochs, of_epoch, *others = SCHEDULES[name]
    for stem, cfg in configs_of(name):
        wrapper = build_optim_wrapper(nn.Linear(1, 1), cfg.optim_wrapper)
        group = wrapper.optimizer.param_groups[0]
        # MobileNetV2 and the ShuffleNets of the benchmark begin at a fifth.
        is_mobile = stem.endswith(("_mobilenetv2", "_shufflev1", "_shufflev2"))
        share = 0.2 if is_mobile else 1
        assert cfg.train_cfg.max_epochs == epochs, stem
        found = rates(cfg, wrapper.optimizer)
        expected = {epoch: share * lr for epoch, lr in of_epoch.items()}
        assert found == pytest.approx(expected, rel=1e-6), stem
        base = cfg.get("auto_scale_lr", {}).get("base_batch_size")
        images = (cfg.train_dataloader.batch_size, base)
        assert [group.get("momentum"), group["weight_decay"], *images] == others, stem
        assert not group.get("nesterov", False), stem
        clip = dict(max_norm=10) if name.startswith("scenes") else None
        assert cfg.optim_wrapper.get("clip_grad") == clip, stem
