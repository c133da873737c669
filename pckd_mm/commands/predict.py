"""Say what a trained network finds in images, and draw it.

  pckd predict student.pth photos/
  pckd predict work_dirs/pckd/voc_frcnn_r101_r50/epoch_4_student.pth street.jpg \\
      --config pckd/voc_frcnn_r101_r50 --out drawn/

A line for each image: of a classifier the likeliest categories, of a detector the
objects, with their boxes (left, top, right, bottom, pixels). Files that cannot be read
are named, and the others predicted; then the exit status is 1.
"""

import argparse
import json
import sys
from pathlib import Path

from pckd_mm.utils.options import require_at_least

from .completion import CONFIG, DIRECTORY, FILE, add_path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options.

    Args:
        parser (ArgumentParser): Of the subcommand.
    """
    add_path(parser, FILE, "checkpoint", help="checkpoint of a run, or a student alone")
    add_path(parser, FILE, "images", nargs="+", help="image files, or folders of them")
    add_path(
        parser,
        CONFIG,
        "--config",
        help="what it was trained with [the config beside the checkpoint]",
    )
    add_path(
        parser,
        DIRECTORY,
        "--out",
        type=Path,
        metavar="FOLDER",
        help="draw the images there",
    )
    add_path(
        parser,
        FILE,
        "--json",
        type=Path,
        metavar="FILE",
        help="write all of it into a file, too",
    )
    parser.add_argument(
        "--top",
        type=int,
        default=3,
        metavar="N",
        help="how many categories of an image, of classifiers [3]",
    )
    parser.add_argument(
        "--score",
        type=float,
        metavar="S",
        help="least score of what is said [0.3 of detectors, 0 of classifiers]",
    )


def run(args: argparse.Namespace) -> int:
    """Predict.

    Args:
        args (Namespace): What :func:`add_arguments` reads.

    Returns:
        int: Exit status.
    """
    from mmpretrain.models import BaseClassifier

    from pckd_mm.deployment.images import image_files
    from pckd_mm.deployment.network import load_network
    from pckd_mm.deployment.plain_config import config_beside
    from pckd_mm.deployment.predict import predict

    require_at_least(args.parser, args, dict(top=1))
    try:
        if args.checkpoint.endswith(".onnx"):
            raise ValueError(
                f"{args.checkpoint} is ONNX; expected a checkpoint, *.pth, which this "
                "command runs by torch: ONNX Runtime runs the other."
            )
        files = image_files(args.images)
        if args.json is not None:
            args.json.parent.mkdir(parents=True, exist_ok=True)
        config = args.config or config_beside(args.checkpoint)
        network, plain, classes = load_network(config, args.checkpoint)
        least = args.score
        if least is None:
            least = 0.0 if isinstance(network, BaseClassifier) else 0.3
        results, status = [], 0
        for result in predict(
            network, plain, files, classes, args.top, least, args.out
        ):
            if "error" in result:
                print(result["error"], file=sys.stderr)
                status = 1
                continue
            found = "; ".join(map(_in_words, result["found"])) or "nothing"
            print(f"{result['file']}: {found}", flush=True)
            results.append(result)
    except (OSError, RuntimeError, TypeError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    if args.json is not None:
        args.json.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    return status


def _in_words(entry: dict) -> str:
    box = ", ".join(f"{side:g}" for side in entry.get("box", ()))
    return f"{entry['label']} {entry['score']:.2f}" + (f" at {box}" if box else "")
