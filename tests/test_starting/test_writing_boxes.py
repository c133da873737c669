"""The config that pckd init writes for images with boxes, from folder to training."""

import json
import re

import pytest

pytest.importorskip("mmdet.models", exc_type=ImportError)

import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope

from pckd_mm.commands import main, parse
from pckd_mm.commands.compare_options import check
from pckd_mm.engine.skip_broken import skip_broken_files
from pckd_mm.experiments.hold_out import hold_out
from pckd_mm.registry import MODELS
from pckd_mm.starting import networks
from pckd_mm.utils.config import load_config
from tests.boxes import CLASSES, write_coco, write_voc
from tests.dense import dense_detector
from tests.test_analysis.tiny_detector import network
from tests.test_starting.test_writing import loaders, paths

NAMES = [f"bild {index}" for index in range(8)]


@pytest.fixture(autouse=True)
def somewhere(tmp_path, monkeypatch):
    monkeypatch.setattr(networks, "_answers", lambda address: False)
    monkeypatch.chdir(tmp_path)
    for name, channels in (("teacher", 16), ("student", 8)):
        model = network(channels).to_dict()
        model["train_cfg"]["rcnn"]["sampler"]["num"] = 16
        Config(dict(model=model)).dump(tmp_path / f"{name}.py")


def voc(root):
    # By this name mmdet's metric would take the classes for VOC's.
    write_voc(root / "VOC2007", [*NAMES, "sommer/straße 1"])


def coco(root):
    files = [f"{name}.jpg" for name in NAMES]
    write_coco(root / "annotations" / "train.json", root / "train", files)
    write_coco(root / "annotations" / "val.json", root / "val", files[:2], begin=50)


def begin(tmp_path, make, *options):
    """Write the config ``mine.py``."""
    make(tmp_path / "my images")
    own = ["--teacher=teacher.py", "--student=student.py", "--out=mine.py"]
    assert main(["init", "--data=my images", *own, "--size=64", *options]) == 0
    return load_config("mine.py")


def without_workers(path):
    """No processes for a few small images."""
    with open(path, "a") as file:
        file.write("\ntrain_dataloader.num_workers = val_dataloader.num_workers = 0")
        file.write("\nval_dataloader.persistent_workers = False\n")
        file.write("test_dataloader = val_dataloader\n")


def run(config, folder, *options):
    """Train; returns its last values and what its log says."""
    assert main(["train", config, f"--work-dir={folder}", *options]) == 0
    lines = next(folder.glob("*/vis_data/scalars.json")).read_text().splitlines()
    return json.loads(lines[-1]), next(folder.glob("*/*.log")).read_text("utf-8")


@pytest.mark.parametrize(
    "make, key", [(voc, "pascal_voc/mAP"), (coco, "coco/bbox_mAP")]
)
def test_from_a_folder_to_the_student(tmp_path, make, key):
    begin(tmp_path, make, "--epochs=1", "--val-share=0.4")
    without_workers("mine.py")
    args = parse(["compare", "mine.py", "--seeds", "0"])
    check(args)
    runs = dict(each.split("=") for each in args.run)
    assert list(runs) == ["student alone", "KD", "PCKD"]
    kd, alone = load_config(runs["KD"]), load_config(runs["student alone"])
    assert kd.model.type == "pckd_mm.RoIDistill" and alone.model.type.endswith("RCNN")
    losses = kd.model.distiller.distill_losses
    assert [name for name, loss in losses.items() if loss] == ["loss_kd"]
    hooks = [hook.type for hook in (*kd.custom_hooks, *kd.default_hooks.values())]
    assert len(hooks) == len(set(hooks)) and "pckd_mm.ReseedHook" in hooks
    assert alone.train_dataloader == kd.train_dataloader

    work_dirs = tmp_path / "work_dirs" / "mine"
    # mmdet's metric starts processes for each threshold: once will do.
    run(args.teacher, work_dirs / "teacher", "--cfg-options", "train_cfg.val_begin=9")
    values, log = run("mine.py", tmp_path / "pckd")
    assert key in values and (tmp_path / "pckd" / "epoch_1_student.pth").is_file()
    assert all(f"distill.loss_{name}" in log for name in ("kd", "cc", "ca", "fa"))
    rows = re.findall(r"^\| (\S.*?) +\|", log, re.MULTILINE)
    assert set(rows) >= set(CLASSES) and "aeroplane" not in log


def test_detectors_of_one_stage_are_trained_by_places(tmp_path, capsys):
    for name, channels in (("large", 12), ("small", 8)):
        model = dense_detector("gfl", channels)
        Config(dict(model=model)).dump(tmp_path / f"{name}.py")
    # No pair of regions and places.
    make = [f"--student={tmp_path}/small.py", "--teacher=teacher.py"]
    voc(tmp_path / "data")
    assert main(["init", "--data=data", "--out=mixed.py", *make]) == 1
    assert "take a teacher of the student's kind" in capsys.readouterr().err

    options = ["--student=small.py", "--teacher=large.py", "--epochs=1"]
    cfg = begin(tmp_path, voc, *options)
    assert cfg.model.type == "pckd_mm.DenseDistill"
    assert cfg.optim_wrapper.optimizer.lr == 0.01 * 4 / 16
    without_workers("mine.py")
    torch.save(MODELS.build(cfg.model.teacher).state_dict(), "large.pth")
    values, log = run(
        "mine.py",
        tmp_path / "pckd",
        "--cfg-options",
        "model.teacher_ckpt=large.pth",
        "train_cfg.val_begin=9",
    )
    assert (tmp_path / "pckd" / "epoch_1_student.pth").is_file()
    assert all(f"distill.loss_{name}" in log for name in ("kd", "cc", "ca", "fa"))


@pytest.mark.parametrize(
    "name, lr, like",
    [
        ("rtmdet_tiny", 0.004 * 8 / 256, "voc_rtmdet_s"),
        ("yolox_tiny", 0.01 * 8 / 64, "voc_yolox_s"),
    ],
)
def test_a_detector_is_trained_by_its_own_recipe(tmp_path, name, lr, like):
    networks_ = [f"--teacher={name}", f"--student={name}", "--from-scratch"]
    cfg = begin(tmp_path, voc, *networks_)
    assert cfg.train_dataloader.batch_size == 8
    assert cfg.auto_scale_lr.base_batch_size == 8
    own, shipped = cfg.optim_wrapper, load_config(f"vanilla/{like}").optim_wrapper
    assert own.optimizer.pop("lr") == pytest.approx(lr)
    shipped.optimizer.pop("lr")
    for settings in ("optimizer", "paramwise_cfg"):
        expected = {k: v for k, v in shipped[settings].items() if k != "_scope_"}
        assert own[settings] == expected != {}
    average = load_config(f"vanilla/{like}").default_hooks.average
    assert cfg.default_hooks.average == average
    assert average.momentum == dict(voc_rtmdet_s=2e-4, voc_yolox_s=1e-4)[like]


def test_a_detector_without_a_recipe_is_trained_by_mmdets(tmp_path):
    found = begin(tmp_path, voc).optim_wrapper
    rate = 0.02 * 4 / 16  # Faster R-CNN's is for 16 images
    assert found.optimizer == dict(type="SGD", lr=rate, momentum=0.9, weight_decay=1e-4)
    assert found.clip_grad == dict(max_norm=35)  # as FCOS has it


def test_a_recipe_with_an_average_trains(tmp_path):
    model = dense_detector("rtmdet", 8)
    wrapper = dict(optimizer=dict(type="AdamW", lr=1e-3, weight_decay=0.05))
    hooks = [dict(type="EMAHook", momentum=0.1, update_buffers=True, priority=49)]
    own = dict(model=model, optim_wrapper=wrapper, custom_hooks=hooks)
    Config(own).dump(tmp_path / "small_4xb2.py")
    options = ["--student=small_4xb2.py", "--teacher=small_4xb2.py", "--epochs=1"]
    cfg = begin(tmp_path, voc, *options)
    assert cfg.optim_wrapper.optimizer.lr == 1e-3 * 4 / 8
    without_workers("mine.py")
    torch.save(MODELS.build(cfg.model.teacher).state_dict(), "large.pth")
    options = ["model.teacher_ckpt=large.pth", "train_cfg.val_begin=9"]
    run("mine.py", tmp_path / "pckd", "--cfg-options", *options)
    kept = torch.load(tmp_path / "pckd" / "epoch_1.pth", weights_only=False)
    averaged = kept["ema_state_dict"]
    assert averaged["steps"] == 2
    assert (tmp_path / "pckd" / "epoch_1_student.pth").is_file()


@pytest.mark.parametrize(
    "make, metric", [(voc, "pascal_voc/mAP"), (coco, "coco/bbox_mAP")]
)
def test_a_part_of_the_training_images_validates(tmp_path, make, metric):
    """As pckd tune and pckd compare --val-share do it; others are never read."""
    cfg = begin(tmp_path, make, "--epochs=1")
    without_workers("mine.py")
    cfg = load_config("mine.py")
    with DefaultScope.overwrite_default_scope("mmdet"):
        before = {name: paths(loader) for name, loader in loaders(cfg).items()}
        if make is coco:  # as in mmdet's own configs
            cfg.val_evaluator.ann_file = "my images/annotations/val.json"
            for step in cfg.val_dataloader.dataset.pipeline:
                step.pop("meta_keys", None)
        hold_out(cfg, 0.4)
        after = {name: paths(loader) for name, loader in loaders(cfg).items()}
    assert after["train"] and after["val"] and after["val"] == after["test"]
    assert not after["train"] & after["val"]
    assert after["train"] | after["val"] == before["train"]
    if make is coco:
        (tmp_path / "my images" / "annotations" / "val.json").unlink()
    cfg.model = cfg.model.architecture
    cfg.custom_hooks = []
    cfg.dump("alone.py")
    options = ["train_cfg.max_epochs=1", "optim_wrapper.optimizer.lr=1e-4"]
    values, _ = run("alone.py", tmp_path / "alone", "--cfg-options", *options)
    assert 0 <= values[metric] <= 1


@pytest.mark.parametrize("make, layout", [(voc, "VOC"), (coco, "Coco")])
def test_parts_and_networks(tmp_path, make, layout):
    cfg = begin(tmp_path, make)
    text = (tmp_path / "mine.py").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if str(tmp_path) not in line]
    assert max(len(line) for line in lines if "noqa" not in line) <= 88
    assert cfg.train_dataloader.batch_size == 4 and cfg.train_cfg.max_epochs == 100
    assert cfg.optim_wrapper.optimizer.lr == 0.02 * 4 / 16
    with DefaultScope.overwrite_default_scope("mmdet"):
        built = loaders(cfg)
        model = MODELS.build(cfg.model)
    found = {name: paths(loader) for name, loader in built.items()}
    assert not found["train"] & found["val"] and found["test"] == found["val"]
    if layout == "VOC":
        assert len(found["train"] | found["val"]) == 9 and found["val"]
    else:
        assert (len(found["train"]), len(found["val"])) == (8, 2)
    for loader in built.values():
        assert type(loader.dataset).__name__ == f"Checked{layout}Dataset"
        assert list(loader.dataset.metainfo["classes"]) == list(CLASSES)
        assert min(loader.dataset[0]["inputs"].shape[1:]) == 64
    assert model.num_classes == len(CLASSES)
    assert model.teacher_ckpt == "work_dirs/mine/teacher/epoch_100.pth"


@pytest.mark.parametrize("make", [voc, coco])
def test_boxes_lie_where_they_are_drawn(tmp_path, make):
    cfg = begin(tmp_path, make)
    with DefaultScope.overwrite_default_scope("mmdet"):
        dataset = loaders(cfg)["train"].dataset
    checked = 0
    for sample in map(dataset.__getitem__, range(len(dataset))):
        assert min(sample["inputs"].shape[1:]) == 64 > 48  # larger than in the file
        truth = sample["data_samples"].gt_instances
        for box, label in zip(truth.bboxes.tensor, truth.labels, strict=True):
            # A class's box is bright in the channel of its label.
            rows, columns = torch.where(sample["inputs"][label] > 150)
            (left, right), (top, bottom) = columns.aminmax(), rows.aminmax()
            drawn = torch.stack([left, top, right + 1, bottom + 1]).tolist()
            assert box.tolist() == pytest.approx(drawn, abs=2.5)
            checked += 1
    assert checked > 8


def test_a_pair_of_other_widths_is_told_what_it_lacks(tmp_path, capsys):
    # A patch of 3 x 3 places of the channels in front of the classifying convolution.
    for name, channels in (("large", 24), ("small", 16)):
        model = dense_detector("gfl", 8)
        model["bbox_head"]["feat_channels"] = channels
        Config(dict(model=model)).dump(tmp_path / f"{name}.py")
    begin(tmp_path, voc, "--student=small.py", "--teacher=large.py")
    said = capsys.readouterr().out
    assert "(loss_ca) is left out: the features of large and small have the" in said
    assert "widths 216 and 144, and it" in said
    begin(tmp_path, lambda root: None, "--force")  # box heads of one width
    assert "loss_ca" not in capsys.readouterr().out


def test_a_network_that_is_not_served_leaves_no_config(tmp_path, capsys):
    voc(tmp_path / "data")
    command = ["init", "--data=data", "--student=ssd300_coco"]
    assert main([*command, "--teacher=teacher.py", "--out=mine.py"]) == 1
    assert "with a SSDHead, whose levels have features" in capsys.readouterr().err
    assert not (tmp_path / "mine.py").exists()


def test_broken_files_are_named(tmp_path, capsys):
    voc(tmp_path / "my images")
    path = tmp_path / "my images" / "VOC2007" / "Annotations" / "bild 3.xml"
    path.write_text("<annotation>")
    begin(tmp_path, lambda root: None)
    said = capsys.readouterr().out
    assert "Pascal VOC, 2 classes; train: 8 images, 16 boxes, 8 of a class" in said
    assert "1 files have a defect, and are not counted:\n" in said
    assert "bild 3.xml is no well-formed XML" in said
    assert "Fewer than 10 boxes to train on: blue whale, straße." in said


def test_broken_annotations_and_images_are_in_neither_part(tmp_path):
    names = [f"photo {index}" for index in range(20)]
    home = write_voc(tmp_path / "my images" / "street", names)
    for name in names[:7]:
        (home / "Annotations" / f"{name}.xml").write_text(f"<annotation>{name}")
    for name in names[7:10]:
        (home / "JPEGImages" / f"{name}.jpg").write_bytes(name.encode())
    cfg = begin(tmp_path, lambda root: None, "--val-share=0.5")
    skip_broken_files(cfg)
    with DefaultScope.overwrite_default_scope("mmdet"):
        built = loaders(cfg)
    train, val = paths(built["train"]), paths(built["val"])
    whole = {str(home / "JPEGImages" / f"{name}.jpg") for name in names[10:]}
    assert train | val == whole and not train & val and len(val) > 1
    assert len(built["train"].dataset.broken_files) == 10
    assert built["val"].dataset.test_mode
