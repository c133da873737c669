"""Write a config for photos of your own, that teacher and student are trained by.

  pckd init --data photos/ --teacher resnet34 --student mobilenet_v2 --size 96
  pckd compare photos_resnet34_mobilenet_v2.py

The folder has a folder for each class, or train, val and test folders of such. Where
there is no val folder, a part of the images is held out to validate on: by what their
files hold, so that an image never moves to the other part. Files that cannot be read
are named.

Networks are those of MMPretrain's zoo, with their weights on ImageNet where these can
be had, or the models of configs, by their paths.
"""

import argparse
import sys
from pathlib import Path

from pckd_mm.utils.options import require_at_least, require_share

from .completion import DIRECTORY, FILE

# Fewer images of a class to train on are worth a word.
_FEW = 10
# Files that are named one by one.
_NAMED = 10


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options.

    Args:
        parser (ArgumentParser): Of the subcommand.
    """
    parser.add_argument(
        "--data", type=Path, required=True, metavar="FOLDER", help="the photos"
    ).complete = DIRECTORY
    parser.add_argument(
        "--teacher", default="resnet34", metavar="NETWORK", help="[resnet34]"
    )
    parser.add_argument(
        "--student", default="mobilenet_v2", metavar="NETWORK", help="[mobilenet_v2]"
    )
    parser.add_argument(
        "--size",
        type=int,
        metavar="PIXELS",
        help="height and width that the networks see [224, or less for small images]",
    )
    parser.add_argument(
        "--val-share",
        type=float,
        default=0.2,
        metavar="SHARE",
        help="share of the images that is held out where there is no val folder [0.2]",
    )
    parser.add_argument(
        "--epochs", type=int, help="[by the number of images, 20 to 200]"
    )
    parser.add_argument(
        "--from-scratch",
        action="store_true",
        help="begin with random weights, not with those on ImageNet",
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help="the config to write [FOLDER_TEACHER_STUDENT.py, here]",
    ).complete = FILE
    parser.add_argument(
        "--force", action="store_true", help="overwrite the config if it is there"
    )


def run(args: argparse.Namespace) -> int:
    """Look at the photos, and write the config.

    Args:
        args (Namespace): What :func:`add_arguments` reads.

    Returns:
        int: Exit status.
    """
    require_share(args.parser, args)
    require_at_least(args.parser, args, dict(size=1, epochs=1))
    try:
        return _write(args)
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1


def _write(args: argparse.Namespace) -> int:
    from pckd_mm.starting.folders import classes_with_few, look_at
    from pckd_mm.starting.networks import find_network
    from pckd_mm.starting.writing import config_text, default_name, plan_for
    from pckd_mm.utils.printable import printable

    out = args.out or Path(default_name(args.data, args.teacher, args.student))
    if out.exists() and not args.force:
        raise ValueError(
            f"{out} is there already; expected another name: give --out, or --force to "
            "overwrite it."
        )
    found = look_at(args.data)
    print(found.in_words())
    if found.broken:
        print(f"{len(found.broken)} files cannot be read, and are not counted:")
        for path in found.broken[:_NAMED]:
            print(f"  {printable(path)}")
        print("Remove or replace them before you train.")
    few = classes_with_few(found, _FEW)
    if few:
        names = ", ".join(few[:_NAMED])
        print(f"Fewer than {_FEW} images to train on: {names}. More would help most.")
    classes, pretrained = len(found.classes), not args.from_scratch
    teacher = find_network(args.teacher, classes, pretrained)
    student = find_network(args.student, classes, pretrained)
    if pretrained:
        for network in (teacher, student):
            if network.weights is None:
                print(f"{network.name} begins with random weights: none can be had.")
    size = args.size or min(224, max(32, found.smallest // 32 * 32))
    begun = student.weights is not None
    images = sum(found.counts["train"].values())
    plan = plan_for(images, size, begun, args.val_share, args.epochs)
    out.write_text(config_text(found, student, teacher, plan, out), encoding="utf-8")
    print(f"\n{out} is written. Next:\n  pckd compare {out}")
    return 0
