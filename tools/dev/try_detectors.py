"""Take pairs of detectors through a whole life on a few real photos.

python tools/dev/try_detectors.py data/voc_mini/VOCdevkit voc_gfl_r101_r50 voc_yolox_m_s

Of each config of configs/pckd/: trains its teacher for an epoch, its student with PCKD
for one, and goes on for a second, each with a validation. Tests what was exported, with
this project's tool and with mmdet's own, which has to find the same. Whole networks,
from random weights and on small images: it shows that a pair runs, not how good it is.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Dict, Optional, Sequence

import mmdet
from mmengine.config import Config

from pckd_mm.analysis import read_curve, read_losses
from pckd_mm.experiments.catalogue import student_config
from pckd_mm.starting.detectors import begin_at_random

ROOT = Path(__file__).resolve().parents[2]
MMDET = Path(mmdet.__file__).parent / ".mim" / "tools" / "test.py"
MAP = "pascal_voc/mAP"
# Keys of configs that hold the size of images, as two numbers.
SIZES = (
    "scale",
    "scales",
    "img_scale",
    "crop_size",
    "size",
    "random_size_range",
    "border",
)


def shrink(part: Any, by: int) -> None:
    """Divide the sizes of images, wherever a config has them.

    Args:
        part (Any): A part of a config; changed in place.
        by (int): The divisor.
    """
    if isinstance(part, (list, tuple)):
        for value in part:
            shrink(value, by)
    elif isinstance(part, dict):
        for key, value in part.items():
            if key in SIZES and isinstance(value, (list, tuple)) and len(value) == 2:
                part[key] = tuple(side // by for side in value)
            else:
                shrink(value, by)


def read_once(dataset: Dict[str, Any], devkit: Path) -> None:
    """Let a data set read a devkit, each image once, whatever it is wrapped in.

    Args:
        dataset (dict): Its config; changed in place.
        devkit (Path): Folder of VOC2007 and VOC2012.
    """
    if "times" in dataset:
        dataset["times"] = 1
    if "ann_file" in dataset:
        dataset["data_root"] = str(devkit)
    for inner in (*dataset.get("datasets", []), dataset.get("dataset")):
        if inner is not None:
            read_once(inner, devkit)


def small(path: Path, devkit: Path, by: int) -> Config:
    """A config on little data.

    Args:
        path (Path): A shipped config.
        devkit (Path): Folder of VOC2007 and VOC2012.
        by (int): What the sizes of images are divided by.

    Returns:
        Config: With one epoch, two images a batch, random weights at the start and a
        hundredth of the learning rate.
    """
    cfg = Config.fromfile(path)
    for loader in ("train", "val", "test"):
        shrink(cfg[f"{loader}_dataloader"], by)
        cfg[f"{loader}_dataloader"].update(num_workers=0, persistent_workers=False)
        read_once(cfg[f"{loader}_dataloader"].dataset, devkit)
    cfg.train_dataloader.batch_size = 2
    detector = cfg.model.get("architecture", cfg.model)
    begin_at_random(detector)
    shrink(detector.data_preprocessor, by)
    cfg.train_cfg.max_epochs = 1
    cfg.default_hooks.logger.interval = 1
    # Weights at random leave the finite numbers at the rate of trained ones.
    cfg.optim_wrapper.optimizer.lr /= 100
    return cfg


def run(log: Path, *command: object) -> None:
    """Run a tool.

    Args:
        log (Path): Where what it prints is added.
        *command (Any): What comes behind ``python``.

    Raises:
        RuntimeError: Where it fails, with its last lines.
    """
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    with log.open("a") as file:
        done = subprocess.run(
            [sys.executable, *map(str, command)],
            cwd=ROOT,
            env=env,
            stdout=file,
            stderr=subprocess.STDOUT,
        )
    if done.returncode:
        last = "\n".join(log.read_text(errors="replace").splitlines()[-12:])
        raise RuntimeError(f"{' '.join(map(str, command))}\n{last}")


def life_of(name: str, devkit: Path, folder: Path, by: int) -> Dict[str, Any]:
    """What a pair of detectors did.

    Args:
        name (str): A config of configs/pckd/.
        devkit (Path): Folder of VOC2007 and VOC2012.
        folder (Path): For all that is written.
        by (int): What the sizes of images are divided by.

    Returns:
        dict: Steps, the last value of each loss, and the mAP of each way to find it.

    Raises:
        RuntimeError: Where a tool fails.
    """
    if folder.exists():
        raise RuntimeError(
            f"{folder} is there already; expected a new folder: name another --work-dir"
        )
    folder.mkdir(parents=True)
    pckd = small(ROOT / "configs" / "pckd" / f"{name}.py", devkit, by)
    teacher = small(ROOT / pckd.model.teacher_config, devkit, by)
    teacher.dump(folder / "teacher.py")
    pckd.model.teacher_config = str(folder / "teacher.py")
    pckd.model.teacher_ckpt = str(folder / "teacher" / "epoch_1.pth")
    pckd.dump(folder / "pckd.py")
    alone = student_config("voc", name.removeprefix("voc_"))
    assert alone is not None  # each shipped pair has it
    small(ROOT / alone, devkit, by).dump(folder / "alone.py")

    log, work = folder / "log.txt", folder / "pckd"
    train = ("tools/train.py", folder / "pckd.py", f"--work-dir={work}")
    exported = work / "epoch_2_student.pth"
    plain = (folder / "alone.py", exported)
    start = time.perf_counter()
    run(
        log, "tools/train.py", folder / "teacher.py", f"--work-dir={folder / 'teacher'}"
    )
    run(log, *train)
    run(log, *train, "--resume", "--cfg-options", "train_cfg.max_epochs=2")
    run(
        log,
        "tools/test.py",
        *plain,
        "--out",
        folder / "ours.json",
        f"--work-dir={folder / 'ours'}",
    )
    run(log, MMDET, *plain, f"--work-dir={folder / 'mmdet'}")
    losses, maps = read_losses(work).values, read_curve(work, MAP)
    (theirs,) = (folder / "mmdet").glob("*/*.json")
    return dict(
        steps=len(read_curve(work, "loss")),
        seconds=round(time.perf_counter() - start),
        losses={k: round(curve[max(curve)], 3) for k, curve in losses.items()},
        validated=maps[max(maps)],
        ours=json.loads((folder / "ours.json").read_text())[MAP],
        mmdet=json.loads(theirs.read_text())[MAP],
    )


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Take each pair through its life.

    Args:
        argv (Sequence[str], optional): The command line; None for the process's.

    Returns:
        int: Exit status: 1 where a pair fails, or is tested to something else.
    """
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("devkit", type=Path, help="folder of VOC2007 and VOC2012")
    parser.add_argument("names", nargs="+", metavar="NAME", help="of configs/pckd/")
    parser.add_argument(
        "--divide", type=int, default=4, help="sizes of images by this number [4]"
    )
    parser.add_argument("--work-dir", type=Path, help="[a temporary folder]")
    args = parser.parse_args(argv)
    known = sorted(path.stem for path in (ROOT / "configs/pckd").glob("voc_*.py"))
    for name in set(args.names) - set(known):
        parser.error(f"{name} is no config of Pascal VOC; expected {', '.join(known)}")
    status = 0
    with tempfile.TemporaryDirectory() as temporary:
        for name in args.names:
            folder = (args.work_dir or Path(temporary)).resolve() / name
            try:
                found = life_of(name, args.devkit.resolve(), folder, args.divide)
            except RuntimeError as error:
                print(f"{name}: failed: {error}", flush=True)
                status = 1
                continue
            values = {found[by] for by in ("validated", "ours", "mmdet")}
            said = "DIFFERS" if len(values) > 1 else "well"
            if values == {0}:  # which random weights have now and then
                said = "runs, and finds nothing:"
            print(f"{name}: {said} {found}", flush=True)
            status = status or int(len(values) > 1)
    return status


if __name__ == "__main__":
    sys.exit(main())
