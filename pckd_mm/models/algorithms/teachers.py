"""Teachers that are read: from the config that trains them, and from a checkpoint."""

import os
import os.path as osp
from typing import List, Optional

from mmengine.logging import print_log
from torch import nn

from pckd_mm.utils.checkpoint import (
    classes_of,
    load_fitting,
    read_checkpoint,
)
from pckd_mm.utils.config import load_config
from pckd_mm.utils.shipped import find_config

__all__ = ["load_teacher", "read_teacher"]


def read_teacher(
    teacher_config: Optional[str], teacher_ckpt: Optional[str], algorithm: str
) -> dict:
    """The model of the config that trains a teacher.

    Args:
        teacher_config (str, optional): The config's path, or its name in a library.
        teacher_ckpt (str, optional): The teacher's weights.
        algorithm (str): What asks, for messages.

    Returns:
        dict: Config of the model.

    Raises:
        FileNotFoundError: Where there is no such config.
        ValueError: Where either is missing.
    """
    if teacher_config is None:
        raise ValueError(
            f"{algorithm} found no teacher; expected its config as teacher, or the "
            "path of the config that trains it as teacher_config."
        )
    try:
        find_config(teacher_config)
    except FileNotFoundError:
        raise FileNotFoundError(
            f"There is no teacher_config {teacher_config}; expected the config that "
            "trains the teacher: a file, as seen from the working directory, or a "
            "config of the package."
        ) from None
    if teacher_ckpt is None:
        raise ValueError(
            f"{algorithm} found the teacher_config {teacher_config} and no "
            "teacher_ckpt; expected the checkpoint of the teacher: name it, or train "
            f"it: pckd train {teacher_config}."
        )
    return load_config(teacher_config).model


def load_teacher(
    teacher: nn.Module, teacher_ckpt: str, teacher_config: Optional[str]
) -> Optional[List[str]]:
    """Load weights that fit a teacher in every tensor.

    Args:
        teacher (nn.Module): The teacher.
        teacher_ckpt (str): A file, a URL, or a name of MMPretrain's zoo.
        teacher_config (str, optional): The config that trains it, for messages.

    Returns:
        list[str], optional: Names of its categories, where the checkpoint says them.

    Raises:
        FileNotFoundError: Names the config that trains the teacher.
        ValueError: For a file that is damaged, needs code or does not fit.
    """
    try:
        checkpoint = read_checkpoint(teacher_ckpt)
    except FileNotFoundError:
        how = "set teacher_ckpt to the teacher's checkpoint"
        if osp.isdir(teacher_ckpt):
            how = "this is a folder, name the file in it"
        elif teacher_config is not None:
            how = f"train it: pckd train {teacher_config}"
        elif not osp.isabs(teacher_ckpt) and "://" not in teacher_ckpt:
            how += f", seen from {os.getcwd()}; pckd compare CONFIG trains it, too"
        raise FileNotFoundError(
            f"There is no teacher_ckpt {teacher_ckpt}; expected the teacher's "
            f"weights: {how}."
        ) from None
    remedy = "change teacher_ckpt or the teacher's config"
    if teacher_config is not None:
        # Of other data, such as COCO, it has other categories, for one.
        remedy += f", or train it: pckd train {teacher_config}"
    source = f"teacher_ckpt {teacher_ckpt}"
    notes = load_fitting(teacher, checkpoint, source, remedy)
    how = "; ".join(["", *notes])
    print_log(f"Loaded the teacher from {teacher_ckpt}{how}", logger="current")
    return classes_of(checkpoint)
