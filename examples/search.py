"""Find the weights of a method's losses on images that are held out.

The same as the command ``pckd tune``. The test set is not read.
"""

from typing import Sequence

from pckd_mm.commands import main as pckd


def main(trials: int = 8, options: Sequence[str] = ("train_cfg.max_epochs=6",)) -> int:
    command = ["tune", "pckd/letters_resnet20_resnet8_thin"]
    command += ["--search", "loss_fa=2..200", "loss_cc=0.005..0.5"]
    command += ["--trials", str(trials)]
    command += ["--val-share", "0.25", "--jobs", "1", "--work-dir", "work_dirs/search"]
    return pckd([*command, "--cfg-options", *options])


if __name__ == "__main__":
    raise SystemExit(main())
