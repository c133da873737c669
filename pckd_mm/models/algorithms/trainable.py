"""Students that can be trained: by their library, and beside their teacher."""

import copy
from typing import Any, Sequence, Tuple

import torch
from mmengine.model import BaseModel
from mmpretrain.structures import DataSample
from torch import nn

from pckd_mm.utils.randomness import isolated_randomness

__all__ = ["layer_depth", "require_learning", "require_trainable"]


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


def require_learning(student: nn.Module, teacher: nn.Module) -> None:
    """Refuse a student that would stay as it is, since it is frozen or the teacher.

    Args:
        student (nn.Module): The student.
        teacher (nn.Module): The teacher, which is not frozen yet.

    Raises:
        ValueError: Says which of both.
    """
    of_teacher = {id(weight) for weight in teacher.parameters()}
    learning = {n: w for n, w in student.named_parameters() if w.requires_grad}
    if not learning:
        raise ValueError(
            f"The student ({type(student).__name__}) found no parameter that requires "
            "a gradient; expected a student that learns: call requires_grad_(True) of "
            "it, since a network that was a teacher is frozen, and so are its copies."
        )
    shared = [name for name, weight in learning.items() if id(weight) in of_teacher]
    if shared:
        raise ValueError(
            f"The student ({type(student).__name__}) found that {len(shared)} of its "
            f"{len(learning)} parameters that learn, such as {shared[0]}, are the "
            "teacher's, which are frozen; expected two networks: give a copy as the "
            "teacher, copy.deepcopy(network)."
        )


def layer_depth(student: BaseModel, parameter: str) -> Tuple[int, int]:
    """How deep a parameter lies, as layer-wise decay of the learning rate asks.

    That is ``mmpretrain.LearningRateDecayOptimWrapperConstructor``, for classifiers and
    detectors whose backbone is one of MMPretrain's.

    Args:
        student (BaseModel): The student.
        parameter (str): Name of a parameter of an algorithm: of the student, or of a
            connector, which learns at the rate of the last layer.

    Returns:
        tuple[int, int]: Number of the layer, and of all layers.

    Raises:
        NotImplementedError: For a student whose layers are not numbered.
    """
    backbone: Any = getattr(student, "backbone", None)
    if not hasattr(backbone, "get_layer_depth"):
        raise NotImplementedError(
            "Layer-wise decay of the learning rate found a student whose backbone, a "
            f"{type(backbone or student).__name__}, does not number its layers; "
            "expected one of MMPretrain's that does, such as a VisionTransformer: "
            "leave out optim_wrapper.constructor."
        )
    name = parameter.removeprefix("architecture.")
    return backbone.get_layer_depth(name, "backbone.")
