"""A devkit of three images and a Faster R-CNN with few channels and random weights."""

from pathlib import Path
from typing import Tuple

import cv2
import numpy as np
import torch
from mmengine.config import Config, ConfigDict

CLASSES = ("one", "two")
OBJECT = (
    "<object><name>{}</name><difficult>{}</difficult><bndbox><xmin>{}</xmin>"
    "<ymin>{}</ymin><xmax>{}</xmax><ymax>{}</ymax></bndbox></object>"
)


def write_devkit(root: Path) -> Path:
    """Grey images c, a, b in this order; a has an object and a difficult one."""
    year = root / "VOC2007"
    for name in ("JPEGImages", "Annotations", "ImageSets/Main"):
        (year / name).mkdir(parents=True)
    objects = OBJECT.format("one", 0, 11, 16, 31, 46)
    objects += OBJECT.format("two", 1, 41, 41, 61, 61)
    for stem in ("c", "a", "b"):
        image = np.full((48, 64, 3), 128, dtype=np.uint8)
        cv2.imwrite(str(year / "JPEGImages" / f"{stem}.jpg"), image)
        (year / "Annotations" / f"{stem}.xml").write_text(
            "<annotation><size><width>64</width><height>48</height></size>"
            f"{objects if stem == 'a' else ''}</annotation>"
        )
    (year / "ImageSets" / "Main" / "test.txt").write_text("c\na\nb\n")
    return root


def network(channels: int = 8) -> ConfigDict:
    """Config of a Faster R-CNN whose first stage has few channels."""
    from mmengine.hub import get_config

    model = get_config("mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py").model
    model.backbone.update(depth=18, base_channels=channels, init_cfg=None)
    widths = [channels * factor for factor in (1, 2, 4, 8)]
    model.neck.update(in_channels=widths, out_channels=16)
    model.rpn_head.update(in_channels=16, feat_channels=16)
    model.roi_head.bbox_roi_extractor.out_channels = 16
    model.roi_head.bbox_head.update(
        in_channels=16, fc_out_channels=32, num_classes=len(CLASSES)
    )
    model.test_cfg.rcnn.max_per_img = 3
    return model


def detector(devkit: Path, seed: int = 0) -> Tuple[Config, Path]:
    """The detector's config and its checkpoint in the devkit."""
    from mmdet.registry import MODELS

    model = network()
    keys = ("img_path", "img_shape", "ori_shape", "scale_factor")
    dataset = dict(
        type="VOCDataset",
        data_root=str(devkit),
        ann_file="VOC2007/ImageSets/Main/test.txt",
        data_prefix=dict(sub_data_root="VOC2007/"),
        metainfo=dict(classes=CLASSES),
        test_mode=True,
        pipeline=[
            dict(type="LoadImageFromFile"),
            dict(type="Resize", scale=(64, 64), keep_ratio=True),
            dict(type="PackDetInputs", meta_keys=keys),
        ],
    )
    cfg = Config(
        dict(
            default_scope="mmdet",
            model=model.to_dict(),
            test_dataloader=dict(dataset=dataset),
        )
    )
    torch.manual_seed(seed)
    built = MODELS.build(ConfigDict(cfg.model, _scope_="mmdet"))
    # As configs have it; init_detector takes it out of the config that it gets.
    pretrained = dict(type="Pretrained", checkpoint="torchvision://resnet18")
    cfg.model.backbone.init_cfg = pretrained
    path = devkit / f"detector_{seed}.pth"
    meta = dict(dataset_meta=dict(classes=CLASSES))
    torch.save(dict(state_dict=built.state_dict(), meta=meta), path)
    return cfg, path
