"""Reading checkpoints, fitting them exactly, exporting students.

No code of a checkpoint runs: ``pckd_mm.compat`` sees to that for MMEngine's loader.
"""

import os.path as osp
import re
from typing import Dict, Optional

import torch
from mmengine.runner import CheckpointLoader
from torch import Tensor, nn

__all__ = [
    "read_checkpoint",
    "model_state_dict",
    "require_same_tensors",
    "load_exactly",
    "export_student",
    "student_beside",
]

# Where an algorithm of MMRazor keeps the student.
_STUDENT = "architecture."
# What to do about a checkpoint that does not fit.
_REMEDY = "change the checkpoint or the network's config"


def _zoo_address(name: str) -> str:
    """The address of the weights, for the name of a model in MMPretrain's zoo."""
    if osp.isfile(name) or "/" in name:
        return name
    from mmpretrain.apis.model import ModelHub

    try:
        return ModelHub.get(name).weights or name
    except ValueError:  # no model of the zoo has this name
        return name


def read_checkpoint(path: str) -> dict:
    """Read a checkpoint on the CPU; no code from it runs.

    Args:
        path (str): A file, a URL, an address that MMEngine knows (``torchvision://``,
            ``open-mmlab://``) or the name of a model in MMPretrain's zoo.

    Returns:
        dict: What the file holds.

    Raises:
        FileNotFoundError: Where there is no such file.
        ValueError: For a file that is damaged, or needs code to be run.
    """
    try:
        checkpoint = CheckpointLoader.load_checkpoint(
            _zoo_address(path), map_location="cpu", logger="silent"
        )
    except FileNotFoundError:
        raise FileNotFoundError(
            f"There is no checkpoint {path}; expected a file, a URL or the name of a "
            "model in MMPretrain's zoo."
        ) from None
    except Exception as error:  # a damaged pickle raises whatever its bytes lead to
        wanted = re.findall(r"GLOBAL ([\w.]+)", str(error))
        if wanted:
            raise ValueError(
                f"The checkpoint {path} is refused, since reading it would run "
                f"{wanted[0]}; expected tensors and plain values only: save its state "
                "dict alone in a script of your own that allows that name by torch."
                "serialization.add_safe_globals, if you trust the file."
            ) from error
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise ValueError(
            f"The checkpoint {path} cannot be read ({reason}); "
            "expected a whole file written by torch.save: fetch or save it again."
        ) from error
    if not isinstance(checkpoint, dict):
        raise ValueError(
            f"The checkpoint {path} holds a {type(checkpoint).__name__}; expected a "
            "dict of tensors or one with a state_dict."
        )
    return checkpoint


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
        name.removeprefix(_STUDENT): value
        for name, value in state.items()
        if name.startswith(_STUDENT)
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
        value, wanted = state[name], tuple(expected[name].shape)
        is_tensor = isinstance(value, Tensor)
        found = tuple(value.shape) if is_tensor else type(value).__name__
        if found != wanted:
            problems.append(f"{name} is {found} instead of {wanted}")
    if problems:
        shown = "; ".join(sorted(problems)[:20])
        more = f"; and {len(problems) - 20} more" if len(problems) > 20 else ""
        raise ValueError(
            f"{source} does not fit the {network} in {len(problems)} "
            f"tensors: {shown}{more}. Expected the checkpoint of this very network: "
            f"{remedy}."
        )


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


def student_beside(checkpoint: str) -> str:
    """Where the student of a distillation checkpoint lies, once it is exported.

    Args:
        checkpoint (str): Path of the checkpoint, such as ``epoch_4.pth``.

    Returns:
        str: Path of the student alone, such as ``epoch_4_student.pth``.
    """
    return osp.splitext(checkpoint)[0] + "_student.pth"


def export_student(checkpoint: str, out: str) -> None:
    """Write the student of a distillation checkpoint alone.

    The file holds the student's tensors under the names of the plain network,
    the names of the categories, and epoch and seed of the run.

    Args:
        checkpoint (str): Path of a checkpoint of a distillation run.
        out (str): Path of the file to write.

    Raises:
        ValueError: Where the checkpoint holds no student.
    """
    content = read_checkpoint(checkpoint)
    state = content.get("state_dict", {})
    if not any(name.startswith(_STUDENT) for name in state):
        raise ValueError(
            f"The checkpoint {checkpoint} holds no student; expected one of a "
            f"distillation run, with tensors named {_STUDENT}*: a plain network's "
            "checkpoint needs no export."
        )
    meta = _plain_meta(content.get("meta"))
    torch.save({"meta": meta, "state_dict": model_state_dict(content)}, out)


def _plain_meta(meta: Optional[dict]) -> dict:
    kept = ("dataset_meta", "epoch", "iter", "seed", "mmengine_version")
    return {name: meta[name] for name in kept if name in (meta or {})}
