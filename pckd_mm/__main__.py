"""``python -m pckd_mm`` is ``pckd``."""

import sys

from pckd_mm.commands import main

if __name__ == "__main__":
    sys.exit(main())
