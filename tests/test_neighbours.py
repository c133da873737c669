"""MMPretrain's and MMDetection's own tools with the configs and checkpoints here."""

import subprocess
import sys

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.hub import get_config
from mmengine.runner import Runner
from mmpretrain.apis import ImageClassificationInferencer, get_model
from mmpretrain.datasets import CustomDataset

from pckd_mm.datasets import CheckedCIFAR100, DigitsDataset, collate_batches
from pckd_mm.models import RotatedViewsDataPreprocessor
from pckd_mm.registry import DATASETS, MODELS
from pckd_mm.utils.checkpoint import export_student
from pckd_mm.utils.dependencies import has_detection
from tests.builders import CONFIGS, ROOT, image_folder, run_config

needs_mmdet = pytest.mark.skipif(not has_detection(), reason="needs mmdet")


def predictions(model, dataset: dict, images: int) -> torch.Tensor:
    """Scores of a network on the first images, as a test run computes them."""
    dataset = DATASETS.build(dataset)
    indices = list(range(images))
    if hasattr(dataset, "__getitems__"):
        batch = dataset.__getitems__(indices)
    else:
        batch = collate_batches([dataset[index] for index in indices])
    with torch.no_grad():
        samples = model.eval().test_step(batch)
    return torch.stack([sample.pred_score for sample in samples])


def train_a_little(model) -> None:
    """Weights that are not symmetric in the channels, with statistics of batches."""
    generator = torch.Generator().manual_seed(0)
    for name, value in model.state_dict().items():
        if value.is_floating_point() and "running_var" not in name:
            noise = torch.randn(value.shape, generator=generator)
            value.add_(noise * 0.1)


def distilled(config: str, folder) -> tuple:
    """The model of a config, its checkpoint and that of its student alone."""
    torch.manual_seed(0)
    cfg = Config.fromfile(CONFIGS / config)
    settings = dict(data_preprocessor=cfg.get("data_preprocessor"))
    model = MODELS.build(dict(cfg.model, **settings))
    train_a_little(model.student)
    whole, student = folder / "epoch_1.pth", folder / "epoch_1_student.pth"
    classes = tuple(f"class {index}" for index in range(100))
    meta = dict(dataset_meta=dict(classes=classes))
    torch.save(dict(meta=meta, state_dict=model.state_dict()), whole)
    export_student(str(whole), str(student))
    return model, str(whole), str(student)


def cifar_images(self) -> list:
    """In the place of the official files: arrays in RGB."""
    rng = np.random.RandomState(1)
    images = rng.randint(0, 256, (6, 32, 32, 3)).astype(np.uint8)
    images[..., 0] //= 4  # channels that differ
    return [dict(img=image, gt_label=0) for image in images]


def write_arrays(dataset, folder) -> list:
    """The data set's arrays as files, whose decoder gives BGR."""
    paths = []
    for index in range(6):
        image = dataset.get_data_info(index)["img"]
        paths.append(str(folder / f"{index}.png"))
        cv2.imwrite(paths[-1], image[..., ::-1])
    return paths


def write_photos(folder) -> list:
    """Files of several shapes, in a folder of one class each."""
    rng = np.random.RandomState(2)
    paths = []
    for index, shape in enumerate([(40, 60), (33, 32), (300, 280), (32, 32)]):
        (folder / "test" / f"class_{index}").mkdir(parents=True)
        image = cv2.resize(rng.randint(0, 256, (9, 7, 3)).astype(np.uint8), shape[::-1])
        image[..., 0] //= 4
        paths.append(str(folder / "test" / f"class_{index}" / "image.jpg"))
        cv2.imwrite(paths[-1], image)
    return paths


@pytest.mark.parametrize(
    ("pair", "alone"),
    [
        ("kd/cifar100_resnet20_resnet8.py", "vanilla/cifar100_resnet8.py"),
        (
            "pckd/digits_resnet20_resnet8_thin.py",
            "vanilla/digits_resnet8_thin.py",
        ),
    ],
)
def test_inferencer_on_files_predicts_what_a_test_does_on_arrays(
    pair, alone, tmp_path, monkeypatch
):
    """Decoding, order and number of channels, and normalisation are the same."""
    monkeypatch.setattr(CheckedCIFAR100, "load_data_list", cifar_images)
    model, whole, student = distilled(pair, tmp_path)
    cfg = Config.fromfile(CONFIGS / pair)
    dataset = cfg.test_dataloader.dataset
    expected = predictions(model, dataset, 6)
    paths = write_arrays(DATASETS.build(dataset), tmp_path)
    for config, checkpoint in ((pair, whole), (alone, student)):
        inferencer = ImageClassificationInferencer(
            str(CONFIGS / config), pretrained=checkpoint, device="cpu"
        )
        found = inferencer(paths, batch_size=4)
        scores = torch.stack([torch.tensor(each["pred_scores"]) for each in found])
        torch.testing.assert_close(scores, expected, rtol=1e-5, atol=1e-7)
        labels = expected.argmax(1).tolist()
        assert [each["pred_label"] for each in found] == labels
        assert found[0]["pred_class"] == f"class {labels[0]}"
    # The network tells the images apart, and the order of their channels.
    assert (expected[0] - expected[1]).abs().max() > 1e-3
    if "cifar100" in pair:
        swapped = inferencer(cv2.imread(paths[0])[..., ::-1])[0]["pred_scores"]
        assert np.abs(swapped - expected[0].numpy()).max() > 1e-3
    # An image of any other size is brought to that of the data.
    large = str(tmp_path / "large.png")
    cv2.imwrite(large, np.zeros((50, 70, 3), np.uint8))
    assert inferencer(large)[0]["pred_scores"].shape == expected[0].shape


@pytest.mark.parametrize("name", ["tiny_imagenet", "transfer_folder", "imagenet"])
def test_inferencer_on_files_predicts_what_a_test_does_on_them(name, tmp_path):
    """Files of several shapes are resized and cropped the same."""
    paths = write_photos(tmp_path)
    cfg = Config.fromfile(CONFIGS / "_base_" / "datasets" / f"{name}.py")
    loader = cfg.test_dataloader
    inner = loader.dataset.get("dataset", loader.dataset)
    folder = dict(
        type="CustomDataset",
        data_root=str(tmp_path / "test"),
        test_mode=True,
        pipeline=inner.pipeline,
    )
    assert DATASETS.get("CustomDataset") is CustomDataset
    if inner is not loader.dataset:
        folder = dict(loader.dataset, dataset=folder)
    loader.dataset = folder
    cfg.model = Config.fromfile(CONFIGS / "vanilla" / "cifar100_resnet8.py").model
    torch.manual_seed(0)
    model = MODELS.build(dict(cfg.model, data_preprocessor=cfg.data_preprocessor))
    train_a_little(model)
    torch.save(dict(state_dict=model.state_dict()), tmp_path / "model.pth")
    expected = predictions(model, folder, 4)
    inferencer = ImageClassificationInferencer(
        cfg, pretrained=str(tmp_path / "model.pth"), device="cpu"
    )
    found = inferencer(paths)
    scores = torch.stack([torch.tensor(each["pred_scores"]) for each in found])
    torch.testing.assert_close(scores, expected, rtol=1e-5, atol=1e-7)


def test_every_test_set_says_what_to_do_with_a_file():
    for path in sorted(CONFIGS.glob("_base_/datasets/*.py")):
        cfg = Config.fromfile(path)
        steps = [step["type"] for step in cfg.test_dataloader.dataset.pipeline]
        assert steps[0] == "LoadImageFromFile", path
        assert any("Resize" in step for step in steps), path
        packed = "PackInputs"
        if path.stem in ("boxes", "digit_scenes"):
            packed = "PackDetInputs"
        assert steps[-1] == packed, path
        assert cfg.val_dataloader == cfg.test_dataloader
    assert DigitsDataset.METAINFO["classes"] == tuple("012345678")


def test_get_model_of_a_distillation(tmp_path):
    config = "kd/cifar100_resnet20_resnet8.py"
    model, *checkpoints = distilled(config, tmp_path)
    inputs = torch.randn(2, 3, 32, 32)
    for checkpoint in checkpoints:  # of the distillation, and of its student alone
        found = get_model(str(CONFIGS / config), pretrained=checkpoint)
        with torch.no_grad():
            assert torch.equal(found.eval()(inputs), model.eval()(inputs))
        mean = found.data_preprocessor.mean.flatten()
        assert mean[0].item() == pytest.approx(255 * 0.5071)
        assert found._dataset_meta["classes"][3] == "class 3"


@needs_mmdet
def test_detectors(tmp_path, monkeypatch):
    """A distillation and its student detect the same, by both of mmdet's tools."""
    from mmdet.apis import DetInferencer, inference_detector, init_detector

    monkeypatch.chdir(ROOT)  # for the config of the teacher
    pair = "kd/digit_scenes_frcnn_r18w32_r18w8.py"
    alone = "vanilla/digit_scenes_frcnn_r18w8.py"
    cfg = Config.fromfile(CONFIGS / pair)
    torch.manual_seed(0)
    model = MODELS.build(cfg.model)
    whole, student = str(tmp_path / "epoch_1.pth"), str(tmp_path / "student.pth")
    meta = dict(dataset_meta=dict(classes=tuple("0123456789"), palette="random"))
    torch.save(dict(meta=meta, state_dict=model.state_dict()), whole)
    export_student(whole, student)
    image = np.random.RandomState(0).randint(0, 256, (160, 160, 3)).astype(np.uint8)

    found = []
    for config, checkpoint in ((pair, whole), (alone, student)):
        config = str(CONFIGS / config)
        # Without options init_detector looks for model.backbone.init_cfg.
        detector = init_detector(config, checkpoint, device="cpu", cfg_options={})
        instances = inference_detector(detector, image).pred_instances
        inferencer = DetInferencer(
            config, checkpoint, device="cpu", show_progress=False
        )
        result = inferencer(image, return_datasamples=True)["predictions"][0]
        found += [instances, result.pred_instances]
    assert len(found[0]) > 0
    for instances in found:
        assert torch.equal(instances.scores, found[0].scores)
        assert torch.equal(instances.bboxes, found[0].bboxes)


# In a process that does not import pckd_mm by itself, as MMRazor needs it.
WITHOUT_IMPORT = """
import sys
import numpy as np
from mmpretrain.apis import ImageClassificationInferencer
assert "pckd_mm" not in sys.modules
for path in sys.argv[1:]:
    inferencer = ImageClassificationInferencer(path, pretrained=False)
    (found,) = inferencer(np.zeros((30, 40, 3), np.uint8))
    print()
    print(path, len(found["pred_scores"]))
"""


def test_without_importing_pckd_mm():
    classes = {
        "kd/digits_resnet20_resnet8_thin.py": 9,
        "vanilla/cifar100_resnet8.py": 100,
    }
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_IMPORT, *(CONFIGS / path for path in classes)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    for path, number in classes.items():
        assert f"{CONFIGS / path} {number}" in done.stdout.splitlines()


def test_a_run_on_a_data_set_of_mmpretrain(tmp_path):
    """Its data preprocessor has no type, its pipeline augments, its workers load."""
    images = image_folder(tmp_path / "images")
    cfg = run_config("pckd/cifar100_resnet56_resnet20.py", images, tmp_path / "run")
    theirs = get_config("mmpretrain::_base_/datasets/cifar100_bs16.py")
    for split in ("train", "val", "test"):
        loader = theirs[f"{split}_dataloader"]
        loader.update(batch_size=6, num_workers=0, persistent_workers=False)
        loader.dataset = dict(
            type="CustomDataset",
            data_root=str(images / ("train" if split == "train" else "test")),
            test_mode=split != "train",
            pipeline=[dict(type="LoadImageFromFile"), *loader.dataset.pipeline],
        )
        cfg[f"{split}_dataloader"] = loader
    assert "RandomFlip" in [step.type for step in cfg.train_dataloader.dataset.pipeline]
    cfg.data_preprocessor = theirs.data_preprocessor
    cfg.train_cfg.max_epochs = 1
    cfg.model.update(teacher_ckpt=None, teacher_config=None)
    runner = Runner.from_cfg(cfg)
    runner.train()
    preprocessor = runner.model.data_preprocessor
    assert isinstance(preprocessor, RotatedViewsDataPreprocessor)
    # The pipeline flips and crops already.
    assert preprocessor.num_views == 4
    assert (preprocessor.flip_prob, preprocessor.crop_padding) == (0, 0)
    mean = theirs.data_preprocessor.mean
    assert preprocessor.mean.flatten().tolist() == pytest.approx(mean)
    assert runner.message_hub.get_scalar("val/accuracy/top1").current() >= 0
