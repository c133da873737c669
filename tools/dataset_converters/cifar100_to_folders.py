"""Write CIFAR-100 as folders of images, which the short schedules read.

python tools/dataset_converters/cifar100_to_folders.py data/cifar100

reads data/cifar100/cifar-100-python, which MMPretrain fetches if it is not there, and
writes data/cifar100/{train,test}/<class>/<index>.png.
"""

import argparse
import shutil
from pathlib import Path

import cv2

from pckd_mm.datasets import CheckedCIFAR100


def convert(root: Path, split: str) -> int:
    """Write the images of a split, whole or not at all.

    Args:
        root (Path): Folder of ``cifar-100-python`` and of the images to write.
        split (str): ``'train'`` or ``'test'``.

    Returns:
        int: Images written.

    Raises:
        FileExistsError: Where the split's folder is there already.
        OSError: Where an image cannot be written.
        ValueError: For files that are not the official ones.
    """
    out, partial = root / split, root / f"{split}.partial"
    if out.exists():
        raise FileExistsError(
            f"{out} is there already; expected no such folder: remove it to have it "
            "written again."
        )
    shutil.rmtree(partial, ignore_errors=True)
    dataset = CheckedCIFAR100(str(root), split=split)
    for name in dataset.CLASSES:
        (partial / name).mkdir(parents=True)
    for index in range(len(dataset)):
        info = dataset.get_data_info(index)
        path = partial / dataset.CLASSES[info["gt_label"]] / f"{index:05d}.png"
        if not cv2.imwrite(str(path), info["img"][..., ::-1]):  # RGB to BGR
            raise OSError(f"{path} cannot be written; is the disk full?")
    partial.rename(out)
    return len(dataset)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "root",
        type=Path,
        nargs="?",
        default=Path("data/cifar100"),
        help="folder of the data [data/cifar100]",
    )
    args = parser.parse_args()
    splits = ("train", "test")
    # One that is there is whole: an earlier call may have been cut off behind it.
    left = [split for split in splits if not (args.root / split).exists()]
    try:
        for split in left or splits:
            print(f"{args.root / split}: {convert(args.root, split)} images")
    except (OSError, RuntimeError, ValueError) as error:
        raise SystemExit(str(error)) from None


if __name__ == "__main__":
    main()
