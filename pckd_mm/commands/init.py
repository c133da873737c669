"""Write a config for images of your own, that teacher and student are trained by.

  pckd init --data photos/ --teacher resnet34 --student mobilenet_v2 --size 96
  pckd compare photos_resnet34_mobilenet_v2.py

  pckd init --data street/ --student faster-rcnn_r50_fpn --size 640
  pckd compare street_faster_rcnn_r101_fpn_faster_rcnn_r50_fpn.py

Photos lie in a folder for each class, or in train, val and test folders of such. Images
with boxes lie as those of Pascal VOC (JPEGImages and Annotations), or of COCO
(annotations/*.json, or a json beside the images).

Where there is no val part, a part of the images is held out to validate on: by what
their files hold, so that an image never moves to the other part. Files that cannot be
read are named.

Networks are those of MMPretrain's zoo, with their weights on ImageNet where these can
be had; for boxes detectors of MMDetection's zoo, with their weights on COCO; or the
models of configs, by their paths. Both detectors are of two stages (Faster R-CNN), or
both of one (RetinaNet, GFL, RTMDet, YOLOX):

  pckd init --data street/ --teacher rtmdet_m --student rtmdet_s
"""

import argparse
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from pckd_mm.utils.options import require_at_least, require_share

from .completion import DIRECTORY, FILE, add_path

if TYPE_CHECKING:
    from pckd_mm.starting.found import Found
    from pckd_mm.starting.networks import Named

# Fewer images or boxes of a class to train on are worth a word.
_FEW = 10
# Files that are named one by one.
_NAMED = 10


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options.

    Args:
        parser (ArgumentParser): Of the subcommand.
    """
    add_path(
        parser,
        DIRECTORY,
        "--data",
        type=Path,
        required=True,
        metavar="FOLDER",
        help="the images",
    )
    parser.add_argument(
        "--teacher",
        metavar="NETWORK",
        help="[resnet34; for boxes faster-rcnn_r101_fpn]",
    )
    parser.add_argument(
        "--student",
        metavar="NETWORK",
        help="[mobilenet_v2; for boxes faster-rcnn_r50_fpn]",
    )
    parser.add_argument(
        "--size",
        type=int,
        metavar="PIXELS",
        help="height and width that the networks see, of detectors the shorter side "
        "[224, or less for small images; for boxes that of most images, 320 to 800]",
    )
    parser.add_argument(
        "--val-share",
        type=float,
        default=0.2,
        metavar="SHARE",
        help="share of the images that is held out where there is no val part [0.2]",
    )
    parser.add_argument(
        "--epochs",
        type=int,
        help="[by the number of images, 20 to 200; for boxes 12 to 100]",
    )
    parser.add_argument(
        "--from-scratch",
        action="store_true",
        help="begin with random weights, not with those on ImageNet or COCO",
    )
    add_path(
        parser,
        FILE,
        "--out",
        type=Path,
        metavar="FILE",
        help="the config to write [FOLDER_TEACHER_STUDENT.py, here]",
    )
    parser.add_argument(
        "--force", action="store_true", help="overwrite the config if it is there"
    )


def run(args: argparse.Namespace) -> int:
    """Look at the images, and write the config.

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
    from pckd_mm.starting.kinds import kind_of
    from pckd_mm.starting.looking import look_at
    from pckd_mm.starting.schedules import plan_for
    from pckd_mm.starting.writing import config_text, default_name

    found = look_at(args.data)
    kind = kind_of(found)
    names = args.teacher or kind.teacher, args.student or kind.student
    out = args.out or Path(default_name(args.data, *names))
    if out.suffix != ".py":
        out = out.with_name(f"{out.name}.py")
    if out.exists() and not args.force:
        raise ValueError(
            f"{out} is there already; expected another name: give --out, or --force to "
            "overwrite it."
        )
    _tell(found)
    _refuse_too_few(found)
    if "val" not in found.splits:
        _tell_held_out(found, args.val_share)
    out.parent.mkdir(parents=True, exist_ok=True)
    classes, pretrained = len(found.classes), not args.from_scratch
    teacher, student = (kind.find(name, classes, pretrained) for name in names)
    kind.check(student, teacher)
    if pretrained:
        for name, network in zip(names, (teacher, student), strict=True):
            # One of a config begins as that says.
            if network.weights is None and not name.endswith(".py"):
                print(_why_random(network))
    _tell_widths(student, teacher)
    plan = plan_for(
        kind.recipe(student),
        found.images_of("train"),
        args.size or found.size(),
        student.weights is not None,
        args.val_share,
        args.epochs,
    )
    out.write_text(config_text(found, student, teacher, plan, out), encoding="utf-8")
    first = ""
    if found.broken:
        # Separate images to validate on have to be whole.
        those = " for those to train on" if "val" in found.splits else ""
        first = " Remove or replace the files named above, or add --skip-broken"
        first += f"{those}, then"
    command = shlex.join(["pckd", "compare", str(out)])
    print(f"\n{out} is written.{first or ' Next'}:\n  {command}")
    return 0


def _why_random(network: "Named") -> str:
    """Why a network begins without weights, and what can be done."""
    why = "its zoo has none"
    if network.address:
        why = f"{network.address} cannot be reached"
    return (
        f"{network.name} begins with random weights: {why}. For a file of yours set "
        "init_cfg=dict(type='Pretrained', checkpoint=FILE) in the config's network."
    )


def _tell_widths(student: "Named", teacher: "Named") -> None:
    """Say that a pair has no category alignment."""
    widths = [network.width for network in (teacher, student)]
    if None not in widths and widths[0] != widths[1]:
        print(
            f"Category alignment (loss_ca) is left out: the features of {teacher.name} "
            f"and {student.name} have the widths {widths[0]} and {widths[1]}, and it "
            "needs one. The other losses are as ever."
        )


def _refuse_too_few(found: "Found") -> None:
    """Refuse classes of which nothing is left to train on or to validate on.

    Raises:
        ValueError: For such classes.
    """
    from pckd_mm.starting.found import classes_with_few

    single = [] if "val" in found.splits else classes_with_few(found, 2)
    if single and found.counted == "images":
        raise ValueError(
            f"{len(single)} classes have one image each ({', '.join(single[:_NAMED])})"
            "; expected two or more, since some are held out to validate on: add "
            "images, remove these folders, or make a val folder."
        )


def _tell_held_out(found: "Found", share: float) -> None:
    """Say what is held out to validate on, where it is not of all classes.

    Raises:
        ValueError: Where it is nothing.
    """
    total, held = found.held_out(share)
    own = "a val folder" if found.counted == "images" else "annotations for val"
    if not total:
        raise ValueError(
            f"None of the {found.images_of('train')} images would be held out to "
            f"validate on, as a share of {share} that is met by chance; expected some: "
            f"make {own}, add images, or give another --val-share."
        )
    none = [name for name, count in held.items() if not count]
    if none:
        names = ", ".join(none[:_NAMED]) + (", ..." if len(none) > _NAMED else "")
        print(
            f"Held out to validate on: {total} images, and none of {len(none)} classes "
            f"({names}), of which the accuracy would say nothing. To choose them "
            f"yourself, make {own}."
        )


def _tell(found: "Found") -> None:
    """Say what there is, and what is wrong with it."""
    from pckd_mm.starting.found import classes_with_few
    from pckd_mm.utils.printable import printable

    print(found.in_words())
    for note in found.notes:
        print(printable(note))
    if found.broken:
        print(f"{len(found.broken)} files {found.trouble}, and are not counted:")
        for path in found.broken[:_NAMED]:
            print(f"  {printable(path)}")
    few = classes_with_few(found, _FEW)
    if few:
        names = ", ".join(few[:_NAMED])
        print(
            f"Fewer than {_FEW} {found.counted} to train on: {names}. More would help "
            "most."
        )
