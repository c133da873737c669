"""Write the student of a distillation alone: ``pckd export``."""

import sys

from pckd_mm.commands import main

if __name__ == "__main__":
    sys.exit(main(["export", *sys.argv[1:]]))
