"""Train a network: ``pckd train`` by the name that OpenMMLab's users know."""

import sys

from pckd_mm.commands import main

if __name__ == "__main__":
    sys.exit(main(["train", *sys.argv[1:]]))
