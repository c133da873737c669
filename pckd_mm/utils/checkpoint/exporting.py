"""Students alone, out of the checkpoints of distillations."""

import os.path as osp
from typing import Optional

import torch

from ..files import save_whole
from .fitting import model_state_dict
from .names import STUDENT, part_of, plain_names
from .reading import read_checkpoint

# In the meta of a checkpoint: a sentence, for students of other libraries.
HOW_IT_LOADS = "how_the_student_loads"


def student_beside(checkpoint: str) -> str:
    """Where the student of a distillation checkpoint lies, once it is exported.

    Args:
        checkpoint (str): Path of the checkpoint, such as ``epoch_4.pth``.

    Returns:
        str: Path of the student alone, such as ``epoch_4_student.pth``.
    """
    return osp.splitext(checkpoint)[0] + "_student.pth"


def export_student(
    checkpoint: str, out: str, or_network: bool = False
) -> Optional[str]:
    """Write the student of a distillation checkpoint alone.

    The file holds the student's tensors under the names of the plain network,
    the names of the categories, and epoch and seed of the run.

    Args:
        checkpoint (str): Path of a checkpoint of a distillation run.
        out (str): Path of the file to write.
        or_network (bool): Whether a plain network's checkpoint is written as well, such
            as that of a student alone. Defaults to False.

    Returns:
        str, optional: How the file is loaded, where the student is of another library.

    Raises:
        ValueError: Where the checkpoint holds no student.
        WriteError: Where the file cannot be written.
    """
    content = read_checkpoint(checkpoint)
    if or_network:
        student = model_state_dict(content)
    else:
        student = part_of(plain_names(content.get("state_dict", {})).tensors, STUDENT)
    if not any(isinstance(value, torch.Tensor) for value in student.values()):
        other = ": a plain network's checkpoint needs no export."
        if or_network:
            other = ", or of a network: name that of a run."
        raise ValueError(
            f"The checkpoint {checkpoint} holds no student; expected one of a "
            f"distillation run, with tensors named {STUDENT}*{other}"
        )
    meta = _plain_meta(content.get("meta") or {})
    save_whole(out, {"meta": meta, "state_dict": student})
    return meta.get(HOW_IT_LOADS)


def _plain_meta(meta: dict) -> dict:
    kept = ("dataset_meta", "epoch", "iter", "seed", "mmengine_version", HOW_IT_LOADS)
    return {name: meta[name] for name in kept if name in meta}
