"""What is done for classifiers and for detectors."""

from dataclasses import dataclass
from typing import Callable

from pckd_mm.utils.methods import NetworkKind, network_kind

from .found import Found
from .networks import Named, find_classifier
from .schedules import (
    CLASSIFIERS,
    DETECTORS,
    ONE_STAGE_DETECTORS,
    Recipe,
    recipe_of,
)

__all__ = ["Kind", "kind_of"]


@dataclass(frozen=True)
class Kind:
    """What differs between networks that find one thing in an image, and many.

    Args:
        teacher (str): The teacher, where the user does not say.
        student (str): The student likewise.
        find (Callable): Finds a network by its name, see
            :func:`~pckd_mm.starting.networks.find_classifier`.
        check (Callable): Refuses a student and a teacher that do not go together.
        recipe (Callable): How a student is trained.
    """

    teacher: str
    student: str
    find: Callable[[str, int, bool], Named]
    check: Callable[[Named, Named], None]
    recipe: Callable[[Named], Recipe]


def _find_detector(name: str, classes: int, pretrained: bool) -> Named:
    from .detectors import find_detector  # mmdet may not be there

    return find_detector(name, classes, pretrained)


def _check_detectors(student: Named, teacher: Named) -> None:
    from .detectors import check_detectors

    check_detectors(student, teacher)


def _recipe_of_detector(student: Named) -> Recipe:
    of_one_stage = network_kind(student.model) is NetworkKind.ONE_STAGE
    of_kind = ONE_STAGE_DETECTORS if of_one_stage else DETECTORS
    return recipe_of(student.config, of_kind)


_KINDS = {
    "classifiers": Kind(
        "resnet34",
        "mobilenet_v2",
        find_classifier,
        lambda student, teacher: None,
        lambda student: CLASSIFIERS,
    ),
    "detectors": Kind(
        "faster-rcnn_r101_fpn",
        "faster-rcnn_r50_fpn",
        _find_detector,
        _check_detectors,
        _recipe_of_detector,
    ),
}


def kind_of(found: Found) -> Kind:
    """What is done for what was found.

    Args:
        found (Found): What there is to train on.
    """
    return _KINDS[found.kind]
