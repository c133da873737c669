"""Runs of small detectors through the command-line tools, for their tests."""

import json
import shutil
import tarfile
from pathlib import Path
from typing import List

import torch
from mmengine.config import Config, ConfigDict
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.registry import DefaultScope

from pckd_mm.registry import HOOKS, MODELS
from tests.builders import CONFIGS, SHARED


def unpack(archive: str, folder: Path) -> Path:
    """Unpack an archive of real photos; returns its devkit."""
    with tarfile.open(SHARED / "data" / archive) as file:
        file.extractall(folder, filter="data")
    return folder / "VOCdevkit"


def random_weights(config: Path, out: Path, **box_head) -> Path:
    """Write random weights of a config's detector, not those that it would fetch."""
    model = Config.fromfile(config).model
    model.backbone.init_cfg = None
    model.roi_head.bbox_head.update(box_head)
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope("mmdet"):
        network = MODELS.build(model)
    network.init_weights()
    torch.save(network.state_dict(), out)
    return out


def small_voc(devkit: Path, folder: Path, batch_size: int = 2) -> Path:
    """PCKD on Pascal VOC as shipped, with thin networks on small images.

    The teacher's config and random weights of it are written beside.

    Args:
        devkit: Folder of VOC2007 and VOC2012, or of one of them.
        folder: Where configs and weights are written.
        batch_size: Images in a batch.

    Returns:
        Path: The config.
    """
    folder.mkdir()
    teacher = Config.fromfile(CONFIGS / "vanilla" / "voc_frcnn_r101.py")
    thin(teacher.model)
    teacher.dump(folder / "teacher.py")
    cfg = Config.fromfile(CONFIGS / "pckd" / "voc_frcnn_r101_r50.py")
    thin(cfg.model.architecture)
    cfg.model.teacher_config = str(folder / "teacher.py")
    weights = random_weights(folder / "teacher.py", folder / "teacher.pth")
    cfg.model.teacher_ckpt = str(weights)

    cfg.train_dataloader.dataset.times = 1
    cfg.train_dataloader.batch_size = batch_size
    loaders = (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader)
    for loader in loaders:
        loader.update(num_workers=0, persistent_workers=False)
    parts = cfg.train_dataloader.dataset.dataset
    years = sorted(path.name for path in devkit.glob("VOC20*"))
    parts.datasets = [
        part
        for part in parts.datasets
        if part.data_prefix.sub_data_root.strip("/") in years
    ]
    for dataset in (*parts.datasets, *(loader.dataset for loader in loaders[1:])):
        dataset.data_root = str(devkit)
        for transform in dataset.pipeline:
            if transform.type == "Resize":
                transform.scale = (120, 80)
    cfg.default_hooks.logger.interval = 1
    cfg.randomness = dict(seed=0)
    cfg.dump(folder / "pckd.py")
    return folder / "pckd.py"


def thin(model: ConfigDict) -> None:
    """Let a Faster R-CNN of mmdet have few channels and sample few regions."""
    model.backbone.update(base_channels=8, stem_channels=8, init_cfg=None)
    model.neck.update(in_channels=[32, 64, 128, 256], out_channels=32)
    model.rpn_head.update(in_channels=32, feat_channels=32)
    model.roi_head.bbox_roi_extractor.out_channels = 32
    model.roi_head.bbox_head.update(in_channels=32, fc_out_channels=64)
    model.train_cfg.rcnn.sampler.num = 32


def at(devkit: Path, *loaders: str) -> List[str]:
    """Options by which data loaders of the digit scenes read another devkit."""
    loaders = loaders or ("train", "val", "test")
    return [f"{name}_dataloader.dataset.data_root={devkit}" for name in loaders]


def without_objects(devkit: Path, out: Path) -> Path:
    """Copy digit scenes; every second image for training has no object."""
    shutil.copytree(devkit, out)
    year = out / "VOC2007"
    stems = (year / "ImageSets" / "Main" / "train.txt").read_text().split()
    for stem in stems[1::2]:
        path = year / "Annotations" / f"{stem}.xml"
        head, _, rest = path.read_text().partition("<object>")
        assert rest
        path.write_text(f"{head}</annotation>")
    return out


def scalars(work_dir: Path) -> List[dict]:
    """All that was logged in a work dir, line by line, in the order of time."""
    files = sorted(work_dir.glob("*/vis_data/scalars.json"))
    return [
        json.loads(line) for file in files for line in file.read_text().splitlines()
    ]


@HOOKS.register_module()
class KeepProcessHook(Hook):
    """Keep for each process its parameters and the objects it was trained on."""

    def __init__(self) -> None:
        self.objects: List[int] = []

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        """Count the objects of the batch."""
        samples = data_batch["data_samples"]
        self.objects.append(sum(len(sample.gt_instances) for sample in samples))

    def after_train(self, runner) -> None:
        """Write ``process_R.pth``."""
        kept = dict(
            objects=self.objects,
            parameters={
                name: value.detach() for name, value in runner.model.named_parameters()
            },
        )
        torch.save(kept, Path(runner.work_dir) / f"process_{get_rank()}.pth")
