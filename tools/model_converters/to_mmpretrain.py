"""Turn a checkpoint of torchvision or timm into one of mmpretrain: ``pckd convert``."""

import sys

from pckd_mm.commands import main

if __name__ == "__main__":
    sys.exit(main(["convert", "to_mmpretrain", *sys.argv[1:]]))
