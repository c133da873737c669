"""What is done for classifiers and for detectors."""

from dataclasses import dataclass
from typing import Callable

from .found import Found
from .networks import Named, find_classifier
from .schedules import CLASSIFIERS, DETECTORS, Recipe

__all__ = ["Kind", "kind_of"]


@dataclass(frozen=True)
class Kind:
    """What differs between networks that find one thing in an image, and many.

    Args:
        teacher (str): The teacher, where the user does not say.
        student (str): The student likewise.
        find (Callable): Finds a network by its name, see
            :func:`~pckd_mm.starting.networks.find_classifier`.
        recipe (Recipe): How it is trained.
    """

    teacher: str
    student: str
    find: Callable[[str, int, bool], Named]
    recipe: Recipe


def _find_detector(name: str, classes: int, pretrained: bool) -> Named:
    from .detectors import find_detector  # mmdet may not be there

    return find_detector(name, classes, pretrained)


_KINDS = {
    "classifiers": Kind("resnet34", "mobilenet_v2", find_classifier, CLASSIFIERS),
    "detectors": Kind(
        "faster-rcnn_r101_fpn",
        "faster-rcnn_r50_fpn",
        _find_detector,
        DETECTORS,
    ),
}


def kind_of(found: Found) -> Kind:
    """What is done for what was found.

    Args:
        found (Found): What there is to train on.
    """
    return _KINDS[found.kind]
