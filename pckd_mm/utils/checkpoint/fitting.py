"""Fitting the tensors of a checkpoint to a network."""

from typing import Any, Collection, Dict, Iterable, List, Mapping

from torch import Tensor, nn

from ..printable import printable
from .names import COUNTER, STUDENT, Fitted, fit_names, form_of, part_of, plain_names

# Where files keep their tensors: MMEngine's name first, averages of weights last, for
# files that hold nothing else.
STATE_DICTS = (
    "state_dict",
    "model_state_dict",
    "model",
    "net",
    "params",
    "student",
    "model_ema",
    "state_dict_ema",
)
# What to do about a checkpoint that does not fit.
REMEDY = "change the checkpoint or the network's config"


def tensors_of(checkpoint: Dict[str, Any], source: str = "The checkpoint") -> Fitted:
    """The state dict in a checkpoint, under whatever known name it stands there.

    Args:
        checkpoint (dict[str, Any]): A state dict, or what holds one.
        source (str): Name of its origin, for the message.

    Returns:
        Fitted: The state dict as it is; a note where it is not plainly the one.

    Raises:
        ValueError: Where tensors stand under other names only.
    """
    found = [key for key in STATE_DICTS if isinstance(checkpoint.get(key), Mapping)]
    # Else one of them may be a network's config; an empty one, where there is no other.
    found = [key for key in found if _has_tensors(checkpoint[key].values())] or found
    if found:
        notes = []
        if found != ["state_dict"]:
            beside = f" (beside {', '.join(found[1:])})" if found[1:] else ""
            notes = [f"taken from {found[0]} in the file{beside}"]
        return Fitted(checkpoint[found[0]], notes)
    others = [
        key
        for key, value in checkpoint.items()
        if isinstance(value, Mapping) and _has_tensors(value.values())
    ]
    if others and not _has_tensors(checkpoint.values()):
        raise ValueError(
            f"{source} holds its tensors as {printable(others[0], 300)}; expected a "
            f"state dict, or one as {', '.join(STATE_DICTS)}: save it so."
        )
    return Fitted(checkpoint, [])


def _has_tensors(values: Iterable[object]) -> bool:
    return any(isinstance(value, Tensor) for value in values)


def fitting_tensors(
    checkpoint: Dict[str, Any], network: Mapping[str, Tensor], source: str
) -> Fitted:
    """The tensors of one plain network in a checkpoint, under the network's names.

    Args:
        checkpoint (dict[str, Any]): A state dict, or what holds one.
        network (Mapping[str, Tensor]): State dict of the network.
        source (str): Name of the checkpoint, for the message.

    Returns:
        Fitted: What :func:`tensors_of` and :func:`fit_names` make of it.

    Raises:
        ValueError: Where the tensors stand under a name that is not known, or are
            those of several networks that fit equally well.
    """
    state, found = tensors_of(checkpoint, source)
    fitted, notes = fit_names(state, network, source)
    return Fitted(fitted, [*found, *notes])


def model_state_dict(checkpoint: dict) -> Dict[str, Tensor]:
    """The tensors of one plain network in a checkpoint.

    Args:
        checkpoint (dict): A state dict, or a checkpoint with one; of a network, or of
            a distillation, of which the student is taken.

    Returns:
        dict[str, Tensor]: State dict of the network.
    """
    state = plain_names(tensors_of(checkpoint).tensors).tensors
    return part_of(state, STUDENT) or state


def require_same_tensors(
    state: Dict[str, Tensor],
    expected: Dict[str, Tensor],
    source: str,
    network: str,
    remedy: str = REMEDY,
) -> None:
    """Refuse a state dict that differs in a name or shape from the expected one.

    Args:
        state (dict[str, Tensor]): The tensors.
        expected (dict[str, Tensor]): Tensors of the same names and shapes.
        source (str): Name of the tensors' origin, for the message.
        network (str): Name of the network, for the message.
        remedy (str): What to do, for the message.

    Raises:
        ValueError: Lists the tensors that are missing, of another shape, or unknown.
    """
    problems = [f"{name} is missing" for name in expected if name not in state]
    problems += [f"{name} is unknown" for name in state if name not in expected]
    for name in expected.keys() & state.keys():
        found, wanted = form_of(state[name]), form_of(expected[name])
        if found != wanted:
            problems.append(f"{name} is {found} instead of {wanted}")
    if problems:
        raise misfit(problems, source, network, remedy)


def misfit(
    problems: Collection[str], source: str, network: str, remedy: str = REMEDY
) -> ValueError:
    """The refusal of tensors that had to fit.

    Args:
        problems (Collection[str]): What is wrong with each that does not, in words.
        source (str): Name of the tensors' origin.
        network (str): Name of the network.
        remedy (str): What to do.
    """
    return ValueError(
        f"{source} does not fit the {network} in {len(problems)} tensors: "
        f"{listed(problems)}; expected the checkpoint of this very network: {remedy}."
    )


def listed(problems: Iterable[str]) -> str:
    """The first of several problems, in words."""
    problems = sorted(problems)
    shown = "; ".join(printable(each, 300) for each in problems[:20])
    return shown + (f"; and {len(problems) - 20} more" if len(problems) > 20 else "")


def load_exactly(
    module: nn.Module,
    state: Dict[str, Tensor],
    source: str,
    remedy: str = REMEDY,
) -> None:
    """Load a state dict that fits in every tensor, or none of it.

    Counters of norm layers (``num_batches_tracked``), which old versions of torch and
    other libraries do not write, may be absent, as torch has it too, and stay.

    Args:
        module (nn.Module): The network.
        state (dict[str, Tensor]): Its tensors.
        source (str): Name of their origin, for the message.
        remedy (str): What to do, for the message.

    Raises:
        ValueError: Lists the tensors that are missing, of another shape, or unknown.
    """
    own = module.state_dict()
    counters = {k: v for k, v in own.items() if k.split(".")[-1] == COUNTER}
    state = {**counters, **state}
    require_same_tensors(state, own, source, type(module).__name__, remedy)
    module.load_state_dict(state)


def load_fitting(
    network: nn.Module,
    checkpoint: Dict[str, Any],
    source: str,
    remedy: str = REMEDY,
) -> List[str]:
    """Load the tensors of one plain network in a checkpoint, all or none of them.

    Args:
        network (nn.Module): The network.
        checkpoint (dict[str, Any]): A state dict, or what holds one.
        source (str): Name of the checkpoint, for the message.
        remedy (str): What to do, for the message.

    Returns:
        list[str]: What :func:`fitting_tensors` notes.

    Raises:
        ValueError: As of :func:`fitting_tensors` and :func:`load_exactly`.
    """
    fitted = fitting_tensors(checkpoint, network.state_dict(), source)
    load_exactly(network, fitted.tensors, source, remedy)
    return fitted.notes
