"""Show PCKD at work: a comparison on handwritten digits, on a CPU, in some minutes.

python tools/demo.py

Trains a teacher, then the same small student alone, with KD and with PCKD, three seeds
each, on the digits that come with scikit-learn. The report is in work_dirs/demo. A
second call prints the table again; --fresh trains everything anew.

Nines are left out, since a nine is a six upside down and the four rotated views of an
image share its label.
"""

import argparse
import os
import sys
from typing import List

from compare import ROOT, main

NOTES = [
    "The data are the handwritten digits 0 to 8 that come with scikit-learn, 8x8 "
    "pixels: the first 50 of each digit for training (450), all others for the test "
    "(1,167). Nines are left out, since a nine is a six upside down and PCKD gives all "
    "four rotated views of an image the same label.",
    "Teacher: ResNet-20. Student: ResNet-8 with 4, 4, 4 and 8 channels in stem and "
    "stages. All methods share data, schedule and batch size. The learning rate was "
    "chosen for the teacher and for the student alone, on a part of the training "
    "images; the weights of KD and PCKD are those of their CIFAR-100 recipes. So small "
    "a comparison shows how the method runs, not how good it is: see the results on "
    "CIFAR-100 in the README for that.",
]


def begin(description: str) -> List[str]:
    """Parse the command line of a demo, and go to the repository.

    Args:
        description (str): What --help prints.

    Returns:
        list[str]: Options for the comparison that all demos share.
    """
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--fresh", action="store_true", help="train again what is finished"
    )
    args = parser.parse_args()
    # Paths of configs and results are relative to the repository.
    os.chdir(ROOT)
    return ["--seeds", "0", "1", "2", *["--fresh"] * args.fresh]


def run() -> int:
    """Run the comparison.

    Returns:
        int: Exit status.
    """
    shared = begin(__doc__)
    pair = "digits_resnet20_resnet8_thin"
    options = [
        "--teacher=configs/vanilla/digits_resnet20.py",
        "--run=student alone=configs/vanilla/digits_resnet8_thin.py",
        f"--run=KD=configs/kd/{pair}.py",
        f"--run=PCKD=configs/pckd/{pair}.py",
        "--work-dir=work_dirs/demo",
        *shared,
    ]
    return main(
        options,
        title="PCKD on handwritten digits",
        notes=NOTES,
        command="python tools/demo.py",
    )


if __name__ == "__main__":
    sys.exit(run())
