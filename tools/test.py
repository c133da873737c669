"""Test a checkpoint: ``pckd test`` by the name that OpenMMLab's users know."""

import sys

from pckd_mm.commands import main

if __name__ == "__main__":
    sys.exit(main(["test", *sys.argv[1:]]))
