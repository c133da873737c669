"""Recorders of the classifier, wherever a network has it.

``source="classifier"`` stands for the layers that give a network's logits, and
``"classifier.weight"`` and ``"classifier.bias"`` for its parameters.
"""

from typing import Any, Dict, List, Optional

from mmengine.logging import print_log

from pckd_mm.models.task_modules.classifier import Classifier
from pckd_mm.utils.class_name import class_name

__all__ = [
    "compared_by",
    "require_predictions",
    "resolve_sources",
    "settle_alignment",
]

CLASSIFIER = "classifier"
# Sources of what an algorithm hands over, in front of its name.
HANDED_OVER = "handed over: "
# What is recorded of a classifier by MMRazor's recorders, of one layer and of several.
_KINDS = {
    ("ModuleInputs", CLASSIFIER): ("", "ClassifierFeature"),
    ("ModuleOutputs", CLASSIFIER): ("", "ClassifierLogits"),
    ("Parameter", f"{CLASSIFIER}.weight"): (".weight", "ClassifierCenters"),
    ("Parameter", f"{CLASSIFIER}.bias"): (".bias", "ClassifierBias"),
}
# Of these, what is of the categories.
_HANDED_OVER_CATEGORIES = tuple(
    HANDED_OVER + own for _, own in _KINDS.values() if own != "ClassifierFeature"
)


def _kind(recorder: Optional[dict]) -> Optional[tuple]:
    if recorder is None:
        return None
    return _KINDS.get((_type_name(recorder), recorder.get("source", "")))


def _users(distiller: dict, recorder: str, from_student: bool) -> List[str]:
    """Losses that take what a recorder records."""
    losses = distiller.get("distill_losses") or {}
    return [
        loss
        for loss, mapping in (distiller.get("loss_forward_mappings") or {}).items()
        if losses.get(loss) is not None
        and any(
            taken.get("recorder") == recorder
            and taken.get("from_student") is from_student
            for taken in mapping.values()
        )
    ]


def resolve_sources(
    distiller: dict, from_student: bool, classifier: Classifier, network: str
) -> Dict[str, dict]:
    """Name the layers of the classifier in a network's recorders.

    Args:
        distiller (dict): Config of a distiller.
        from_student (bool): Whether for the student's recorders.
        classifier (Classifier): That of the network.
        network (str): What the network is, for messages.

    Returns:
        dict[str, dict]: The recorders' configs. One that no loss uses is left out where
        the classifier has no such thing.

    Raises:
        ValueError: Where a loss asks for the feature in front of a classifier, or its
            centers, and it is not linear.
    """
    who = "student" if from_student else "teacher"
    resolved: Dict[str, Any] = {}
    for name, recorder in (distiller.get(f"{who}_recorders") or {}).items():
        kind = _kind(recorder)
        if kind is None:
            resolved[name] = recorder
            continue
        suffix, own = kind
        if classifier.handed_over:
            resolved[name] = dict(type="pckd_mm.Batch", source=HANDED_OVER + own)
            continue
        if classifier.path and (suffix != ".bias" or classifier.layers[0].has_bias):
            resolved[name] = dict(recorder, source=classifier.path + suffix)
        elif classifier.layers:
            resolved[name] = dict(
                recorder, type=f"pckd_mm.{own}", layers=classifier.layers
            )
        elif own == "ClassifierLogits" and classifier.modules:
            resolved[name] = dict(recorder, source=classifier.modules[0])
        elif users := _users(distiller, name, from_student):
            ask = "asks" if len(users) == 1 else "ask"
            out = " and ".join(f"distill_losses.{user}=None" for user in users)
            raise ValueError(
                f"The {who} ({network}) has no linear classifier that gives its "
                f"logits, and {' and '.join(users)} {ask} for {recorder['source']!r} "
                f"by the recorder {name}; expected a network that ends in linear "
                f"layers: set {out}, or name a layer as the recorder's source."
            )
    return resolved


def settle_alignment(
    distiller: dict, student: Classifier, teacher: Classifier
) -> Dict[str, Optional[dict]]:
    """Leave category alignment out where the classifiers' widths differ.

    The cosines between centers, ``form="gram"``, are defined for any two widths.
    A loss with ``optional=True``, as the methods here have it, goes with a line in the
    log; any other one was asked for.

    Args:
        distiller (dict): Config of a distiller.
        student (Classifier): The student's.
        teacher (Classifier): The teacher's.

    Returns:
        dict[str, dict]: Configs of its losses, without ``optional``; None for one that
        is left out.

    Raises:
        ValueError: For a loss that was asked for and is not defined.
    """
    settled: Dict[str, Optional[dict]] = {}
    for name, loss in (distiller.get("distill_losses") or {}).items():
        if loss is None:
            settled[name] = None
            continue
        loss = dict(loss)
        optional = loss.pop("optional", False)
        settled[name] = loss
        # Centers that a config takes from elsewhere are its own affair.
        is_alignment = _is_type(loss, "CategoryAlignmentLoss")
        if optional and not is_alignment:
            raise ValueError(
                f"The loss {name} ({loss.get('type')}) has optional=True, which only a "
                "CategoryAlignmentLoss takes, that is not defined for every pair; "
                f"expected a loss to keep or to leave out: set distill_losses.{name}"
                "=None to leave it out."
            )
        if not is_alignment or not _takes_centers(distiller, name, student, teacher):
            continue
        of_any_width = loss.get("form") == "gram"
        linear = None not in (student.width, teacher.width)
        if linear and (of_any_width or student.width == teacher.width):
            continue
        if not linear and not optional:
            continue  # resolve_sources says whose classifier is not linear
        widths = f"{student.width} and {teacher.width}"
        if not optional:
            raise ValueError(
                f"The loss {name} aligns the category centers, and the classifiers of "
                f"student and teacher have features of the widths {widths}; expected "
                f"one width, without which it is not defined: set distill_losses.{name}"
                f"=None, or distill_losses.{name}.form='gram'."
            )
        settled[name] = None
        where = "between linear classifiers" if of_any_width else "at one width"
        print_log(
            f"{name} is left out: the classifiers of student and teacher have features "
            f"of the widths {widths}, and categories can be aligned {where} only.",
            logger="current",
        )
    return settled


def _takes_centers(
    distiller: dict, loss: str, student: Classifier, teacher: Classifier
) -> bool:
    """Whether a loss takes the classifiers' own weights, by whatever name."""
    mapping = (distiller.get("loss_forward_mappings") or {}).get(loss) or {}
    for taken in mapping.values():
        who, own = (
            ("student", student)
            if taken.get("from_student")
            else (
                "teacher",
                teacher,
            )
        )
        recorders = distiller.get(f"{who}_recorders") or {}
        recorder = recorders.get(taken.get("recorder"))
        named = own.path and (recorder or {}).get("source") == f"{own.path}.weight"
        if _kind(recorder) or named:
            return True
    return False


def require_predictions(
    recorders: Optional[Dict[str, dict]], who: str, classifier: Classifier
) -> None:
    """Refuse to take what a network does not predict by for its logits.

    That is the output of one of several classifiers, or of one before it is scaled, and
    under the name ``logits`` any other output.

    Args:
        recorders (dict[str, dict], optional): The network's, with resolved sources.
        who (str): ``"student"`` or ``"teacher"``.
        classifier (Classifier): That of the network.

    Raises:
        ValueError: For such a source.
    """
    for name, recorder in (recorders or {}).items():
        source = (recorder or {}).get("source")
        if not _is_type(recorder, "ModuleOutputs") or source in classifier.modules:
            continue
        if name != "logits" and source not in classifier.parts:
            continue
        made = " and ".join(repr(layer.name) for layer in classifier.layers)
        other = "give the recorder another name if this output is meant"
        if source in classifier.parts:
            other = "record another layer"
        raise ValueError(
            f"The {who} recorder {name} has source {source!r}, whose output is not "
            f"what the {who} predicts by"
            + (f" (which is made of {made})" if made else "")
            + f"; expected its logits: set source={CLASSIFIER!r}, or {other}."
        )


def compared_by(distiller: dict, classifier: Classifier) -> List[str]:
    """Losses that set the categories of the teacher against the student's.

    Args:
        distiller (dict): Config of a distiller, with resolved sources.
        classifier (Classifier): The teacher's.

    Returns:
        list[str]: Those that take logits, centers or biases of the teacher.
    """
    path = classifier.path
    parameters = (f"{path}.weight", f"{path}.bias") if path else ()
    of_categories = [
        name
        for name, recorder in (distiller.get("teacher_recorders") or {}).items()
        if _is_type(recorder, "ClassifierLogits", "ClassifierCenters", "ClassifierBias")
        or (recorder or {}).get("source") in _HANDED_OVER_CATEGORIES
        or (
            _is_type(recorder, "ModuleOutputs")
            and recorder.get("source") in classifier.modules
        )
        or (_is_type(recorder, "Parameter") and recorder.get("source") in parameters)
    ]
    return list(
        dict.fromkeys(
            loss for name in of_categories for loss in _users(distiller, name, False)
        )
    )


def _type_name(cfg: Optional[dict]) -> str:
    return class_name((cfg or {}).get("type"))


def _is_type(cfg: Optional[dict], *names: str) -> bool:
    return _type_name(cfg) in names
