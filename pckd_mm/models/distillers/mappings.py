"""Mappings of losses: which are used, and whether what they name is there."""

import math
from inspect import Parameter, signature
from typing import Any, Dict, Iterable, Mapping, Optional

from mmrazor.models.task_modules.recorder import ParameterRecorder
from torch import nn

from pckd_mm.models.task_modules.classifier_recorders import (
    ClassifierParameterRecorder,
)
from pckd_mm.utils.nearest import nearest

from .batch_records import RECORDS

__all__ = ["check_mappings", "images_needed", "used_mappings"]


def used_mappings(
    losses: Optional[Mapping[str, Any]],
    mappings: Optional[Mapping[str, Optional[dict]]],
) -> Dict[str, Dict[str, dict]]:
    """The mappings of losses, and their arguments, that are not left out by None.

    Args:
        losses (dict[str, dict], optional): Configs of losses.
        mappings (dict[str, dict], optional): Which record each argument of each is.

    Returns:
        dict[str, dict]: Those that are used.

    Raises:
        ValueError: For something else than a record where one is expected.
    """
    used: Dict[str, Dict[str, dict]] = {}
    for name, mapping in (mappings or {}).items():
        if (losses or {}).get(name, mapping) is None:
            continue
        entries = mapping.items() if isinstance(mapping, Mapping) else [("", mapping)]
        used[name] = {key: taken for key, taken in entries if taken is not None}
        for argument, taken in used[name].items():
            if not isinstance(taken, Mapping):
                place = f"loss_forward_mappings.{name}.{argument}".rstrip(".")
                raise ValueError(
                    f"{place} found {taken!r}; expected a record for each argument: "
                    f"write loss_forward_mappings.{name}.{argument or 'ARGUMENT'}="
                    "dict(recorder='NAME', from_student=True)."
                )
    return used


def images_needed(
    losses: Mapping[str, nn.Module],
    mappings: Mapping[str, Mapping[str, dict]],
    connectors: Mapping[str, nn.Module],
    num_views: int,
) -> int:
    """Images that a batch must have for what compares rows of records.

    Args:
        losses (Mapping[str, nn.Module]): Losses, of which those that compare rows say
            how many they need, as ``min_rows``.
        mappings (Mapping[str, Mapping[str, dict]]): Their mappings.
        connectors (Mapping[str, nn.Module]): Connectors, likewise.
        num_views (int): Views, and so rows, of each image.

    Returns:
        int: Number of images, 1 or more.
    """
    needed = 1
    for name, mapping in mappings.items():
        for taken in mapping.values():
            if taken["recorder"] in RECORDS:
                continue
            rows = num_views if taken.get("view") is None else 1
            readers = [losses[name]]
            if taken.get("connector") is not None:
                readers.append(connectors[taken["connector"]])
            for reader in readers:
                needed = max(needed, math.ceil(getattr(reader, "min_rows", 1) / rows))
    return needed


def check_mappings(
    losses: Mapping[str, nn.Module],
    mappings: Dict[str, Dict[str, dict]],
    student_recorders: Mapping[str, Any],
    teacher_recorders: Mapping[str, Any],
    connectors: Mapping[str, Any],
    settings: Iterable[str],
) -> None:
    """Refuse mappings of what is not there, for each argument of a loss.

    Args:
        losses (Mapping[str, nn.Module]): Losses by name.
        mappings (dict[str, dict]): Which record each argument of each loss is.
        student_recorders (Mapping[str, BaseRecorder]): The student's.
        teacher_recorders (Mapping[str, BaseRecorder]): The teacher's.
        connectors (Mapping[str, nn.Module]): Connectors by name.
        settings (Iterable[str]): What a mapping may say of a record.

    Raises:
        ValueError: Names the place of the first one.
    """
    for name, mapping in mappings.items():
        place = "loss_forward_mappings"
        _require(place, "the loss", name, losses)
        arguments = signature(losses[name].forward).parameters
        takes_any = any(p.kind is Parameter.VAR_KEYWORD for p in arguments.values())
        for argument, taken in mapping.items():
            if not takes_any:
                _require(f"{place}.{name}", "the argument", argument, arguments)
            where = f"{place}.{name}.{argument}"
            for setting in taken:
                _require(where, "the setting", setting, settings)
            if not isinstance(taken.get("from_student"), bool):
                raise ValueError(
                    f"{where} found from_student={taken.get('from_student')!r}; "
                    "expected whose record it is: set from_student=True for one of the "
                    "student's recorders or of the batch, False for the teacher's."
                )
            of_student = taken["from_student"]
            recorders = student_recorders if of_student else teacher_recorders
            who = "student" if of_student else "teacher"
            recorder = taken.get("recorder")
            _require(where, f"the {who}'s recorder", recorder, recorders)
            if taken.get("connector") is not None:
                _require(where, "the connector", taken["connector"], connectors)
            if taken.get("view") is not None:
                _check_view(where, taken["view"], recorders[str(recorder)])


def _require(place: str, what: str, name: Any, known: Iterable[str]) -> None:
    """Refuse a name that is none of those that are known."""
    if name in (names := list(known)):
        return
    near = nearest(str(name), names)
    instead = "remove it"
    if names:
        instead = f"write {near or 'one of them'}, or {instead}"
    raise ValueError(
        f"{place} found {what} {name}, which is not there; expected "
        f"{'one of ' if names else 'none'}{', '.join(names)}: {instead}."
    )


def _check_view(place: str, view: Any, recorder: Any) -> None:
    """Refuse views of what has none, whatever the number of views is."""
    if not isinstance(view, int) or view < 0:
        raise ValueError(
            f"{place} found view={view!r}; expected a number from 0, the upright view: "
            "write one, or remove view for all views."
        )
    if isinstance(recorder, (ParameterRecorder, ClassifierParameterRecorder)):
        raise ValueError(
            f"{place} found view={view} of {recorder.source!r}, a parameter, which no "
            "image has a view of; expected a record of images: remove view."
        )
