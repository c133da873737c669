"""Train a small detector from a larger one, by MMEngine's Runner.

The images are discs and squares that are drawn here, with boxes in COCO's layout. The
teacher has random weights: give it yours.
"""

import json
from pathlib import Path

import cv2
import numpy as np
from mmengine.runner import Runner

import pckd_mm
from pckd_mm.utils.config import load_config

CLASSES, SIDE = ("disc", "square"), 160


def draw(folder: Path, images: int) -> None:
    """Write images with one to three objects each, and their boxes."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    coco = dict(images=[], annotations=[], categories=[])
    coco["categories"] = [dict(id=k, name=name) for k, name in enumerate(CLASSES)]
    for index in range(images):
        image = rng.integers(0, 60, (SIDE, SIDE, 3)).astype(np.uint8)
        size = dict(width=SIDE, height=SIDE)
        coco["images"].append(dict(size, id=index, file_name=f"{index}.png"))
        for _ in range(rng.integers(1, 4)):
            x, y, kind = *rng.integers(20, SIDE - 20, 2).tolist(), int(rng.integers(2))
            color = rng.integers(120, 256, 3).tolist()
            if CLASSES[kind] == "disc":
                cv2.circle(image, (x, y), 15, color, -1)
            else:
                cv2.rectangle(image, (x - 15, y - 15), (x + 15, y + 15), color, -1)
            box = dict(bbox=[x - 15, y - 15, 31, 31], area=961, iscrowd=0)
            number = len(coco["annotations"])
            coco["annotations"].append(
                dict(box, id=number, image_id=index, category_id=kind)
            )
        cv2.imwrite(str(folder / f"{index}.png"), image)
    (folder / "boxes.json").write_text(json.dumps(coco))


def detector(width: int) -> dict:
    """A small GFL of two categories, as a config."""
    model = load_config(f"vanilla/digit_scenes_gfl_r18w{width}").model.to_dict()
    model["bbox_head"]["num_classes"] = len(CLASSES)
    return model


def main(epochs: int = 4, images: int = 64) -> str:
    draw(Path("shapes"), images)
    # The teacher has random weights here, from which nothing is to be learned. One of
    # yours that is given as a config brings its weights by teacher_ckpt="...pth".
    print("The teacher has random weights: the student learns nothing from it.")
    model = pckd_mm.distill(detector(8), detector(32), method="pckd")
    cfg = load_config("vanilla/digit_scenes_gfl_r18w8")
    loader = cfg.train_dataloader
    loader.dataset = dict(
        type="pckd_mm.CheckedCocoDataset",
        data_root="shapes",
        ann_file="boxes.json",
        data_prefix=dict(img=""),
        metainfo=dict(classes=CLASSES),
        pipeline=loader.dataset.pipeline,
    )
    runner = Runner(
        model,
        work_dir="work_dirs/shapes",
        train_dataloader=loader,
        train_cfg=dict(by_epoch=True, max_epochs=epochs),
        optim_wrapper=cfg.optim_wrapper,
        custom_hooks=[dict(type="pckd_mm.ExportStudentHook")],
        default_scope="mmdet",
    )
    runner.train()
    return f"work_dirs/shapes/epoch_{epochs}_student.pth"  # the student alone


if __name__ == "__main__":
    print(main())
