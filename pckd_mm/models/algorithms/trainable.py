"""Students that their library can train."""

import copy
from typing import Sequence

import torch
from mmengine.model import BaseModel
from mmpretrain.structures import DataSample

from pckd_mm.utils.randomness import isolated_randomness

__all__ = ["require_trainable"]


def require_trainable(student: BaseModel, input_shape: Sequence[int]) -> None:
    """Refuse a student that its library runs and cannot train.

    Args:
        student (BaseModel): The student; it stays as it is.
        input_shape (Sequence[int]): Channels, height and width of an image that it
            takes.

    Raises:
        TypeError: Says what its library says.
    """
    head = getattr(student, "head", None)
    samples = [DataSample().set_gt_label(0) for _ in range(2)]
    modes = {module: module.training for module in student.modules()}
    with isolated_randomness(), torch.no_grad():
        inputs = torch.randn(2, *input_shape)
        inputs = inputs.to(next(student.parameters()))
        try:
            if head is None:
                copy.deepcopy(student).train().loss(inputs, samples)
            else:  # backbones are run in training as in tests
                feats = student.eval().extract_feat(inputs)
                copy.deepcopy(head).train().loss(feats, samples)
        except NotImplementedError as error:
            raise TypeError(
                f"The student ({type(student).__name__}) cannot be trained ("
                f"{str(error).rstrip('.')}); expected one that can: where its head has "
                "distillation, set distillation=False, or take it as a teacher."
            ) from error
        except Exception:  # of these two images: a training says more of its own
            return
        finally:
            for module, mode in modes.items():
                module.training = mode
