"""Show PCKD at work: a comparison on printed letters, on a CPU, in some minutes.

python tools/demo.py

Trains a teacher, then the same small student alone, with KD and with PCKD, three seeds
each, on letters of 92 categories that are rendered from matplotlib's fonts. The report
is work_dirs/demo/report.html, in one file, with the images that were previewed longest,
the category centers of the networks, and what they confuse. A second call prints the
table again; --fresh trains everything anew.

The letters are chosen so that no quarter turn of one looks like another, since the four
rotated views of an image share its label.
"""

import argparse
import os
import sys
from typing import List, Sequence

from pckd_mm.commands.compare import main
from pckd_mm.commands.shared import ROOT

NOTES = [
    "The data are 92 letters of the Latin, Greek and Cyrillic alphabets, 16x16 pixels, "
    "rendered from the fonts that come with matplotlib, with noise, turns and shifts: "
    "24 of each for training (2,208) and 48 for the test (4,416), in styles of the "
    "fonts that are not in the training set. No quarter turn of a letter looks like "
    "another one, since PCKD gives all four rotated views of an image the same label.",
    "Teacher: ResNet-20. Student: ResNet-8 with 4, 4, 8 and 64 channels in stem and "
    "stages, as many features as the teacher has, so that all terms of PCKD are "
    "defined. All methods share data, schedule and batch size, which were tried on a "
    "validation part in styles of its own, and not on the test. The weights of KD and "
    "PCKD are those of their CIFAR-100 recipes.",
]


def begin(description: str, seeds: Sequence[int] = (0, 1, 2)) -> List[str]:
    """Parse the command line of a demo, and go to the repository.

    Args:
        description (str): What --help prints.
        seeds (Sequence[int]): Those of the demo. Defaults to three.

    Returns:
        list[str]: Options for the comparison that all demos share.
    """
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--fresh", action="store_true", help="train again what is finished"
    )
    of_default = " ".join(map(str, seeds))
    parser.add_argument(
        "--seeds", type=int, nargs="+", default=seeds, help=f"[{of_default}]"
    )
    args = parser.parse_args()
    # Paths of configs and results are relative to the repository.
    os.chdir(ROOT)
    return ["--seeds", *map(str, args.seeds), *["--fresh"] * args.fresh]


def run() -> int:
    """Run the comparison.

    Returns:
        int: Exit status.
    """
    shared = begin(__doc__)
    pair = "letters_resnet20_resnet8_thin"
    options = [
        "--teacher=configs/vanilla/letters_resnet20.py",
        "--run=student alone=configs/vanilla/letters_resnet8_thin.py",
        f"--run=KD=configs/kd/{pair}.py",
        f"--run=PCKD=configs/pckd/{pair}.py",
        "--work-dir=work_dirs/demo",
        "--inspect",
        *shared,
    ]
    return main(
        options,
        title="PCKD on printed letters",
        notes=NOTES,
        command="python tools/demo.py",
    )


if __name__ == "__main__":
    sys.exit(run())
