"""Search settings: ``pckd tune`` by the name that OpenMMLab's users know."""

import sys

from pckd_mm.commands import main

if __name__ == "__main__":
    sys.exit(main(["tune", *sys.argv[1:]]))
