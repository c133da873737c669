"""Small models, batches and runs that several tests share."""

from multiprocessing import set_forkserver_preload
from pathlib import Path
from typing import Callable, List, Tuple

import cv2
import numpy as np
import torch
import torch.multiprocessing as mp
from mmengine.config import Config
from mmengine.model import BaseModel
from mmpretrain.structures import DataSample

from pckd_mm.compat import end_process_group
from pckd_mm.registry import MODELS

ROOT = Path(__file__).resolve().parents[1]
CONFIGS = ROOT / "configs"
# Real data and golden values; tests that need them skip where they are absent.
SHARED = ROOT.parent / "shared"


class Point(BaseModel):
    """A model of one number."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))

    def forward(self, inputs, mode="tensor"):
        if mode == "loss":
            return {"loss": self.weight.square().sum()}
        return list(inputs)


def in_processes(world: int, work: Callable, folder: Path, *args: object) -> None:
    """Run a function in several processes of one group, over gloo.

    Args:
        world (int): Number of processes.
        work (Callable): Takes the rank and the arguments; a function of a module.
        folder (Path): Where they meet.
        *args: What can be pickled.
    """
    set_forkserver_preload(["tests.imports"])  # once, instead of by each process
    mp.start_processes(
        _in_group, (world, str(folder), work, args), world, start_method="forkserver"
    )


def in_clean_process(work: Callable, *args: object) -> int:
    """Run a function in a process in which nothing has been computed yet.

    What was computed here may forbid to fork: autograd has threads after some tests.

    Args:
        work (Callable): A function of a module.
        *args: What can be pickled.

    Returns:
        int: Exit status.
    """
    set_forkserver_preload(["tests.imports"])
    process = mp.get_context("forkserver").Process(target=work, args=args)
    process.start()
    process.join()
    return process.exitcode


def _in_group(rank: int, world: int, folder: str, work: Callable, args: tuple) -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/store", rank=rank, world_size=world
    )
    work(rank, *args)
    end_process_group()


def classifier(depth: int, classes: int = 10, width=(4, 4, 8, 16), **head) -> dict:
    """Config of a small classifier for 3-channel images."""
    features = {1: 64, 4: 256}.get(width) if isinstance(width, int) else width[-1]
    return dict(
        type="mmpretrain.ImageClassifier",
        backbone=dict(type="pckd_mm.CIFARResNet", depth=depth, width=width),
        neck=dict(type="mmpretrain.GlobalAveragePooling"),
        head={
            **dict(
                type="mmpretrain.LinearClsHead",
                num_classes=classes,
                in_channels=features,
                init_cfg=None,
                loss=dict(type="mmpretrain.CrossEntropyLoss"),
            ),
            **head,
        },
    )


def method(name: str) -> dict:
    """The model of ``configs/_base_/methods``, for ready-made views."""
    model = Config.fromfile(CONFIGS / "_base_" / "methods" / f"{name}.py").model
    del model.num_views
    return model.to_dict()


def small_method(name: str, student: dict, teacher: dict) -> dict:
    """The model of a shipped method for 16 x 16 pixels and 40 training images."""
    model = method(name)
    if "input_shape" in model:
        model["input_shape"] = (3, 16, 16)
    if name == "crd":
        model["distiller"]["distill_losses"]["loss_crd"].update(neg_num=9)
    return dict(model, architecture=student, teacher=teacher)


def pckd_config(student: dict, teacher: dict, **settings) -> dict:
    """Config of PCKD as the repository ships it, for any two classifiers."""
    return {
        **method("pckd"),
        "architecture": student,
        "teacher": teacher,
        **settings,
    }


def build_pckd(student: dict, teacher: dict, seed: int = 0, **settings):
    """Build and initialise PCKD for two classifiers."""
    torch.manual_seed(seed)
    model = MODELS.build(pckd_config(student, teacher, **settings))
    model.progress = 0.25
    if settings.get("teacher_ckpt") is None:
        model.load_teacher()
    return model.train()


def batch(
    images: int, views: int = 4, classes: int = 10, size: int = 8, seed: int = 0
) -> Tuple[torch.Tensor, List[DataSample]]:
    """Random views and labels."""
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(views * images, 3, size, size, generator=generator)
    labels = torch.randint(classes, (images,), generator=generator)
    return inputs, [DataSample().set_gt_label(label) for label in labels.tolist()]


def image_folder(root: Path, classes: int = 3, images: int = 8, size: int = 16) -> Path:
    """Write ``root/{train,test}/<class>/*.png``, each class a brightness of its own."""
    rng = np.random.RandomState(0)
    for split in ("train", "test"):
        for label in range(classes):
            folder = root / split / f"class_{label}"
            folder.mkdir(parents=True)
            for index in range(images):
                image = rng.randint(0, 60, (size, size, 3)) + 60 * label
                cv2.imwrite(str(folder / f"{index}.png"), image.astype(np.uint8))
    return root


def run_config(path: str, data_root: Path, work_dir: Path, classes: int = 3) -> Config:
    """A run config of the repository, cut to a small folder of images.

    Networks become small ones, everything else stays as shipped.
    """
    cfg = Config.fromfile(CONFIGS / path)
    steps = [dict(type="LoadImageFromFile"), dict(type="PackInputs")]
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        split = "train" if loader is cfg.train_dataloader else "test"
        loader.dataset.dataset = dict(
            type="pckd_mm.CheckedCustomDataset",
            data_root=str(data_root),
            data_prefix=split,
            test_mode=split == "test",
            pipeline=steps,
        )
        if split == "test":
            loader.dataset.pipeline = steps
        loader.update(batch_size=6, num_workers=0, persistent_workers=False)
    models = [cfg.model]
    if "architecture" in cfg.model:
        models = [cfg.model.architecture, cfg.model.teacher]
    for model in models:
        model.backbone.width = (4, 4, 8, 16)
        model.head.update(num_classes=classes, in_channels=16)
    cfg.val_evaluator.topk = cfg.test_evaluator.topk = (1,)
    cfg.param_scheduler.milestones = [2]
    cfg.train_cfg.max_epochs = 3
    cfg.default_hooks.logger.interval = 1
    cfg.randomness.seed = 0
    cfg.work_dir = str(work_dir)
    cfg.experiment_name = work_dir.name + str(abs(hash(str(work_dir))))
    return cfg


def detector(channels: int = 8, classes: int = 4, **box_head) -> dict:
    """Config of a small Faster R-CNN, the demo's, for images of any size."""
    path = CONFIGS / "vanilla" / "digit_scenes_frcnn_r18w8.py"
    cfg = Config.fromfile(path).model.to_dict()
    cfg["backbone"].update(base_channels=channels, stem_channels=channels)
    cfg["neck"]["in_channels"] = [channels, 2 * channels, 4 * channels]
    cfg["roi_head"]["bbox_head"].update(num_classes=classes, **box_head)
    cfg["train_cfg"]["rcnn"]["sampler"]["num"] = 16
    return cfg


def scenes(
    boxes: List[list],
    classes: int = 4,
    size: int = 64,
    seed: int = 0,
    masks: bool = False,
) -> dict:
    """A batch of random images as mmdet's data loader gives it.

    Args:
        boxes: For each image its boxes, four pixels each; labels go round the classes.
        classes: Categories.
        size: Width and height of the images.
        seed: Seed of the pixels.
        masks: Whether the objects have masks, their whole boxes.
    """
    from mmdet.structures import DetDataSample
    from mmdet.structures.mask import BitmapMasks
    from mmengine.structures import InstanceData

    generator = torch.Generator().manual_seed(seed)
    shape = (3, size, size)
    data = dict(inputs=[], data_samples=[])
    for index, of_image in enumerate(boxes):
        image = torch.randint(256, shape, generator=generator, dtype=torch.uint8)
        sample = DetDataSample(
            metainfo=dict(img_shape=(size, size), ori_shape=(size, size), img_id=index)
        )
        labels = [(index + k) % classes for k in range(len(of_image))]
        sample.gt_instances = InstanceData(
            bboxes=torch.tensor(of_image, dtype=torch.float).reshape(-1, 4),
            labels=torch.tensor(labels, dtype=torch.long),
        )
        if masks:
            drawn = torch.zeros(len(of_image), size, size, dtype=torch.uint8)
            for mask, (left, top, right, bottom) in zip(drawn, of_image, strict=True):
                mask[int(top) : int(bottom), int(left) : int(right)] = 1
            sample.gt_instances.masks = BitmapMasks(drawn.numpy(), size, size)
        sample.ignored_instances = InstanceData(
            bboxes=torch.zeros(0, 4), labels=torch.zeros(0, dtype=torch.long)
        )
        data["inputs"].append(image)
        data["data_samples"].append(sample)
    return data
