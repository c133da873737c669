"""Write the student of a distillation checkpoint alone, for plain MMPretrain.

python tools/model_converters/export_student.py CHECKPOINT student.pth
"""

import argparse

from pckd_mm.utils.checkpoint import export_student


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("checkpoint", help="checkpoint of a distillation run")
    parser.add_argument("out", help="file to write")
    args = parser.parse_args()
    how_it_loads = export_student(args.checkpoint, args.out)
    if how_it_loads is not None:
        print(f"{args.out}: {how_it_loads}")


if __name__ == "__main__":
    main()
