"""Fitting the tensors of a checkpoint to a network."""

from typing import Dict

from torch import Tensor, nn

from ..printable import printable

# Where an algorithm of MMRazor keeps the student.
STUDENT = "architecture."
# What to do about a checkpoint that does not fit.
_REMEDY = "change the checkpoint or the network's config"


def model_state_dict(checkpoint: dict) -> Dict[str, Tensor]:
    """The tensors of one plain network in a checkpoint.

    Args:
        checkpoint (dict): A state dict, or a checkpoint with one; of a network, or of
            a distillation, of which the student is taken.

    Returns:
        dict[str, Tensor]: State dict of the network.
    """
    state = checkpoint.get("state_dict", checkpoint)
    state = {name.removeprefix("module."): value for name, value in state.items()}
    student = {
        name.removeprefix(STUDENT): value
        for name, value in state.items()
        if name.startswith(STUDENT)
    }
    return student or state


def require_same_tensors(
    state: Dict[str, Tensor],
    expected: Dict[str, Tensor],
    source: str,
    network: str,
    remedy: str = _REMEDY,
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
        found, wanted = _form(state[name]), _form(expected[name])
        if found != wanted:
            problems.append(f"{name} is {found} instead of {wanted}")
    if problems:
        shown = "; ".join(printable(each, 300) for each in sorted(problems)[:20])
        more = f"; and {len(problems) - 20} more" if len(problems) > 20 else ""
        raise ValueError(
            f"{source} does not fit the {network} in {len(problems)} "
            f"tensors: {shown}{more}. Expected the checkpoint of this very network: "
            f"{remedy}."
        )


def _form(value: object) -> object:
    """The shape of a tensor; of a module's extra state its type."""
    is_tensor = isinstance(value, Tensor)
    return tuple(value.shape) if is_tensor else type(value).__name__


def load_exactly(
    module: nn.Module,
    state: Dict[str, Tensor],
    source: str,
    remedy: str = _REMEDY,
) -> None:
    """Load a state dict that fits in every tensor, or none of it.

    Args:
        module (nn.Module): The network.
        state (dict[str, Tensor]): Its tensors.
        source (str): Name of their origin, for the message.
        remedy (str): What to do, for the message.

    Raises:
        ValueError: Lists the tensors that are missing, of another shape, or unknown.
    """
    network = type(module).__name__
    require_same_tensors(state, module.state_dict(), source, network, remedy)
    module.load_state_dict(state)
