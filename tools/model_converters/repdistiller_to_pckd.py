"""Turn a checkpoint of the CRD benchmark into one of ours: ``pckd convert``."""

import sys

from pckd_mm.commands import main

if __name__ == "__main__":
    sys.exit(main(["convert", "repdistiller_to_pckd", *sys.argv[1:]]))
