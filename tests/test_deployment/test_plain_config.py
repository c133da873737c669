"""The config of a student alone."""

import subprocess
import sys

import cv2
import numpy as np
import pytest
from mmengine.config import Config
from mmengine.registry import DefaultScope

from pckd_mm.datasets.image_format import channel_order, image_size
from pckd_mm.deployment.images import read_inputs
from pckd_mm.deployment.plain_config import (
    config_beside,
    file_pipeline,
    plain_config,
    write_plain_config,
)
from pckd_mm.registry import MODELS
from pckd_mm.utils.config import load_config


def test_of_a_distillation_the_student_is_left():
    cfg = load_config("pckd/letters_resnet20_resnet8_thin")
    plain = plain_config(cfg)
    assert plain.model.backbone == cfg.model.architecture.backbone
    # Views are the training's.
    shared = cfg.data_preprocessor
    assert plain.model.data_preprocessor == dict(
        type="mmpretrain.ClsDataPreprocessor",
        mean=shared.mean,
        std=shared.std,
        to_rgb=shared.to_rgb,
    )
    assert plain.test_pipeline == file_pipeline(cfg)
    assert plain.test_dataloader.dataset.pipeline == plain.test_pipeline
    assert plain.custom_imports.imports == ["pckd_mm"]  # whose network it is
    assert "train_dataloader" not in plain and "optim_wrapper" not in plain
    MODELS.build(plain.model)


def test_of_a_plain_network_all_of_it_is():
    cfg = load_config("vanilla/letters_resnet8_thin")
    same = plain_config(load_config("pckd/letters_resnet20_resnet8_thin"))
    assert plain_config(cfg).model == same.model


def test_a_network_of_mmpretrain_needs_nothing_of_this_package():
    plain = plain_config(load_config("pckd/imagenet_resnet34_resnet18"))
    assert "pckd_mm" not in plain.pretty_text
    assert plain.model.backbone.depth == 18 and plain.default_scope == "mmpretrain"


def test_names_of_the_categories(tmp_path):
    out = tmp_path / "student.py"
    write_plain_config("kd/cifar100_resnet20_resnet8_6e", out, ["apple", "pear"])
    text = out.read_text()
    assert text.startswith("# The student of cifar100_resnet20_resnet8_6e alone.\n")
    read = Config.fromfile(out)
    assert read.classes == ["apple", "pear"]
    assert read.test_dataloader.dataset.metainfo.classes == ["apple", "pear"]


def test_of_a_detector():
    pytest.importorskip("mmdet")
    cfg = load_config("pckd/voc_frcnn_r101_r50")
    plain = plain_config(cfg)
    assert plain.model.type == "FasterRCNN" and plain.model.backbone.depth == 50
    assert plain.default_scope == "mmdet" and "pckd_mm" not in plain.pretty_text
    assert plain.model.data_preprocessor.type == "DetDataPreprocessor"
    assert [step["type"].rpartition(".")[2] for step in plain.test_pipeline][0] == (
        "LoadImageFromFile"
    )
    MODELS.build(plain.model)


@pytest.mark.parametrize(
    "classes, kind", [(None, "VOCDataset"), (["crack", "straße"], "XMLDataset")]
)
def test_own_classes_of_a_detector_keep_their_names(classes, kind):
    mmdet = pytest.importorskip("mmdet.datasets")
    cfg = load_config("pckd/voc_frcnn_r101_r50")
    dataset = plain_config(cfg, classes or mmdet.VOCDataset.METAINFO["classes"])
    dataset = dataset.test_dataloader.dataset
    assert dataset.type == kind
    settings = {name: value for name, value in dataset.items() if name[0] not in "t_"}
    with DefaultScope.overwrite_default_scope("mmdet"):
        built = getattr(mmdet, kind)(**settings, lazy_init=True)
    assert built.metainfo["classes"] == dataset.metainfo.classes


def test_the_pipeline_of_several_test_sets_is_the_firsts():
    steps = [dict(type="LoadImageFromFile"), dict(type="PackInputs")]
    one = dict(type="CustomDataset", pipeline=steps)
    both = dict(type="ConcatDataset", datasets=[one, dict(one, pipeline=[])])
    loader = dict(dataset=dict(type="RepeatDataset", dataset=both, times=1))
    assert file_pipeline(Config(dict(test_dataloader=loader))) == steps


def test_a_part_that_is_held_out_is_none_of_mmdets():
    cfg = load_config("pckd/voc_frcnn_r101_r50")
    inner = cfg.test_dataloader.dataset
    inner.type = "pckd_mm.CheckedCocoDataset"
    part = dict(type="pckd_mm.held_out_part", dataset=inner, part="val", share=0.2)
    cfg.test_dataloader.dataset = dict(part, pipeline=inner.pop("pipeline"))
    cfg.test_evaluator = dict(type="pckd_mm.WholeCocoMetric", classwise=True)
    plain = plain_config(cfg, ["straße"])
    assert plain.test_evaluator == dict(type="CocoMetric", classwise=True)
    dataset = plain.test_dataloader.dataset
    assert dataset.pop("pipeline")[0]["type"].endswith("LoadImageFromFile")
    assert dataset == dict(
        type="CocoDataset",
        data_root="",
        ann_file="",
        test_mode=True,
        metainfo=dict(classes=["straße"]),
    )


def test_a_config_without_test_data():
    with pytest.raises(ValueError, match="no test_dataloader with a pipeline; exp"):
        file_pipeline(Config(dict(model={})))


def test_the_config_beside_a_checkpoint(tmp_path):
    checkpoint = tmp_path / "epoch_3.pth"
    with pytest.raises(FileNotFoundError, match="no config beside .*epoch_3.pth; exp"):
        config_beside(checkpoint)
    (tmp_path / "run.py").touch()
    assert config_beside(checkpoint) == str(tmp_path / "run.py")
    (tmp_path / "other.py").touch()
    with pytest.raises(FileNotFoundError, match="several configs .other.py, run.py."):
        config_beside(checkpoint)
    (tmp_path / "epoch_3.py").touch()
    assert config_beside(checkpoint) == str(tmp_path / "epoch_3.py")


def test_a_student_in_the_folder_of_its_run(tmp_path):
    config = tmp_path / "run.py"
    write_plain_config("kd/cifar100_resnet20_resnet8_6e", tmp_path / "student.py")
    write_plain_config("kd/cifar100_resnet20_resnet8_6e", tmp_path / "another.py")
    with pytest.raises(FileNotFoundError, match="several configs .another.py, student"):
        config_beside(tmp_path / "epoch_3.pth")
    (tmp_path / "another.py").unlink()
    # A student that was renamed, without anything of its run.
    assert config_beside(tmp_path / "mine.pth") == str(tmp_path / "student.py")
    write_plain_config("kd/cifar100_resnet20_resnet8_6e", tmp_path / "another.py")
    load_config("kd/cifar100_resnet20_resnet8_6e").dump(config)
    assert config_beside(tmp_path / "epoch_3.pth") == str(config)
    assert config_beside(tmp_path / "student.pth") == str(tmp_path / "student.py")


def test_plain_mmpretrain_reads_it(tmp_path):
    """In a Python that knows nothing of this package."""
    import torch

    cfg = load_config("pckd/imagenet_resnet34_resnet18")
    plain = plain_config(cfg, [f"kind {i}" for i in range(1000)])
    plain.dump(tmp_path / "student.py")
    network = MODELS.build(plain.model)
    torch.save(dict(state_dict=network.state_dict()), tmp_path / "student.pth")
    script = (
        "import sys, numpy as np\n"
        "from mmpretrain import ImageClassificationInferencer as Inferencer\n"
        "found = Inferencer('student.py', pretrained='student.pth', device='cpu')\n"
        "image = np.zeros((90, 70, 3), np.uint8)\n"
        "print(found([image])[0]['pred_scores'].shape)\n"
        "assert 'pckd_mm' not in sys.modules\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "(1000,)" in done.stdout


CIFAR = dict(type="CIFAR10", data_root="", split="test")
PACK = [dict(type="PackInputs")]


def of_classifier(dataset, split="test"):
    head = dict(type="LinearClsHead", num_classes=10)
    model = dict(type="ImageClassifier", head=head)
    loader = {f"{split}_dataloader": dict(dataset=dataset)}
    return Config(dict(default_scope="mmpretrain", model=model, **loader))


@pytest.mark.parametrize("order, kind", [("rgb", "CIFAR10"), ("gray", "MNIST")])
def test_files_become_what_a_data_set_holds(order, kind, tmp_path):
    """MMPretrain's own data sets of arrays load no file."""
    size = 32 if order == "rgb" else 28
    shape = (size, size, 3) if order == "rgb" else (size, size)
    image = np.random.RandomState(0).randint(0, 256, shape, np.uint8)
    file = str(tmp_path / "a.png")
    cv2.imwrite(file, image[..., ::-1] if order == "rgb" else image)
    pipeline = plain_config(of_classifier(dict(CIFAR, type=kind, pipeline=PACK)))
    with DefaultScope.overwrite_default_scope("mmpretrain"):
        (found,) = read_inputs([file], pipeline.test_pipeline)
    expected = image.transpose(2, 0, 1) if order == "rgb" else image[None]
    np.testing.assert_array_equal(found.numpy(), expected)
    assert channel_order(pipeline.test_dataloader.dataset) == order
    assert image_size(pipeline.test_dataloader.dataset) == (size, size)


def test_a_pipeline_that_loads_no_file_is_told(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((4, 4, 3), np.uint8))
    cfg = of_classifier(dict(type="MyArrays", pipeline=PACK))
    with DefaultScope.overwrite_default_scope("mmpretrain"):
        with pytest.raises(ValueError, match="makes no input of a file; expected a st"):
            read_inputs([str(tmp_path / "a.png")], file_pipeline(cfg))


def test_names_are_those_of_the_data_sets_class():
    for split in ("test", "val"):
        plain = plain_config(of_classifier(dict(CIFAR, pipeline=PACK), split))
        assert plain.classes[:2] == ["airplane", "automobile"]
    named = dict(CIFAR, pipeline=PACK, metainfo=dict(classes=["a", "b"]))
    assert plain_config(of_classifier(named)).classes == ["a", "b"]
    # A file of other names, or a network for other categories.
    named["metainfo"] = dict(classes="mine.txt")
    assert "classes" not in plain_config(of_classifier(named))
    other = of_classifier(dict(CIFAR, pipeline=PACK))
    other.model.head.num_classes = 3
    assert "classes" not in plain_config(other)


def test_of_a_detector_without_a_test_set():
    pytest.importorskip("mmdet")
    cfg = load_config("vanilla/voc_frcnn_r50")
    cfg.pop("test_dataloader")
    plain = plain_config(cfg)
    assert plain.test_dataloader.dataset.type == "VOCDataset"
    assert plain.classes[0] == "aeroplane" and len(plain.classes) == 20
