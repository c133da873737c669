"""What a distiller's config leaves to the two networks it is for."""

from typing import Sequence

from torch import nn

from pckd_mm.models.task_modules.classifier import Classifier
from pckd_mm.registry import TASK_UTILS

from .classifier_sources import (
    compared_by,
    require_predictions,
    resolve_sources,
    settle_alignment,
)
from .distiller_config import in_scope, resolve_widths, used_connectors

__all__ = ["name_layers", "name_stages"]


def name_layers(
    distiller: dict,
    networks: Sequence[nn.Module],
    classifiers: Sequence[Classifier],
) -> dict:
    """Put the networks' layers and widths where a config says ``classifier``.

    Args:
        distiller (dict): Config of a distiller.
        networks (Sequence[nn.Module]): Student and teacher.
        classifiers (Sequence[Classifier]): Theirs.

    Returns:
        dict: A copy, without losses that are optional and not defined for the two, and
        without connectors that no loss uses.

    Raises:
        ValueError: For losses that are not defined for the two.
    """
    distiller = dict(distiller)
    distiller["distill_losses"] = settle_alignment(distiller, *classifiers)
    for who, network, found in zip(
        ("student", "teacher"), networks, classifiers, strict=True
    ):
        recorders = resolve_sources(
            distiller, who == "student", found, type(network).__name__
        )
        require_predictions(recorders, who, found)
        distiller[f"{who}_recorders"] = recorders
    _check_categories(distiller, *classifiers)
    student, teacher = classifiers
    distiller["connectors"] = resolve_widths(
        used_connectors(distiller),
        student=student.width,
        teacher=teacher.width,
        student_place=student.place_width,
        teacher_place=teacher.place_width,
    )
    return distiller


def name_stages(
    distiller: dict,
    networks: Sequence[nn.Module],
    stages: Sequence[Sequence[Classifier]],
) -> dict:
    """Put the layers of a network of several stages where a config says ``classifier``.

    Args:
        distiller (dict): Config of a distiller.
        networks (Sequence[nn.Module]): Student and teacher.
        stages (Sequence[Sequence[Classifier]]): Their classifiers of each stage.

    Returns:
        dict: As :func:`name_layers` gives it; a recorder of a classifier holds one for
        each stage.

    Raises:
        ValueError: For losses that are not defined for the two.
    """
    named = [name_layers(distiller, networks, classifiers) for classifiers in stages]
    first = named[0]
    for key in ("student_recorders", "teacher_recorders"):
        for name, recorder in first[key].items():
            of_stages = [other[key].get(name) for other in named]
            if any(other != recorder for other in of_stages):
                asked = distiller[key][name]["source"]
                scoped = [in_scope(r, TASK_UTILS, "Recorder") for r in of_stages]
                first[key][name] = dict(
                    type="pckd_mm.Staged", recorders=scoped, source=asked
                )
    return first


def _check_categories(
    distiller: dict, student: Classifier, teacher: Classifier
) -> None:
    """Refuse other categories of the teacher where a loss compares them."""
    losses = compared_by(distiller, teacher)
    if student.num_classes != teacher.num_classes and losses:
        raise ValueError(
            f"The student has {student.categories} categories and the teacher "
            f"{teacher.categories}, which {' and '.join(losses)} would compare; "
            "expected the same: set num_classes of both heads to the data set's, "
            "take a teacher of the student's categories, or leave such losses out, "
            f"as by distill_losses.{losses[0]}=None."
        )
