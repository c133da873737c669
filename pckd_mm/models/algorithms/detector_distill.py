"""What the distillations of detectors share."""

from abc import abstractmethod
from typing import Any, Callable, Dict, Tuple, Union

import torch.nn.functional as F
from mmdet.models.backbones.trident_resnet import TridentConv
from mmengine.model import BaseModel
from torch import Tensor, nn

from pckd_mm.models.data_preprocessors.normalisation import normalisation_of
from pckd_mm.models.data_preprocessors.trained_inputs import SAME
from pckd_mm.models.losses import PreviewKLDivergence

from .frozen_teacher_distill import FrozenTeacherDistill
from .targets import is_of_softmax

__all__ = ["DetectorDistill"]


class DetectorDistill(FrozenTeacherDistill):
    """Distil a detector of mmdet: the student runs first, as mmdet computes it.

    The teacher gets the same images, normalised as its own data preprocessor says,
    with its value beside images that are smaller than their batch.

    A subclass says in addition what it records for itself (:meth:`_own_recorders`).

    Args:
        architecture (dict | BaseModel): The student, with its ``train_cfg``.
        distiller (dict): Config of a :class:`PCKDDistiller`.
        teacher (dict | BaseModel, optional): The teacher. Defaults to None, the model
            of ``teacher_config``.
        **kwargs: Further arguments of :class:`FrozenTeacherDistill`.

    Raises:
        ValueError: For an algorithm that normalises images otherwise than its student,
            for deliveries, for a ``teacher_input_size``, and for recorders with the
            names of the algorithm's own.
    """

    preprocessor_type = "mmdet.DetDataPreprocessor"
    instances_are_images = False
    # What both networks do with a batch, for messages.
    shares = "see the same batch"

    def __init__(
        self,
        architecture: Union[dict, BaseModel],
        distiller: dict,
        teacher: Union[dict, BaseModel, None] = None,
        **kwargs: Any,
    ) -> None:
        name = type(self).__name__
        if distiller.get("distill_deliveries"):
            raise ValueError(
                f"{name} found distill_deliveries in its distiller; expected none, "
                "since the student runs before the teacher: remove them."
            )
        size = kwargs.pop("teacher_input_size", None)
        if size not in (None, SAME):
            raise ValueError(
                f"{name} found teacher_input_size={size!r}; expected none, since "
                f"both networks {self.shares}: remove it."
            )
        kwargs["teacher_input_size"] = SAME
        super().__init__(architecture, distiller, teacher, **kwargs)
        self._check_normalisation(self.data_preprocessor, self.student)
        self._check_scores()
        # What mmdet's data sets read, unless the run's tells otherwise.
        self.teacher_inputs.tell_channel_order("bgr")

    def _check_scores(self) -> None:
        """Refuse an L_KD of other scores than those of the detectors."""
        is_sigmoid = not self._classifiers[0].background
        for name, loss in self.distiller.distill_losses.items():
            if isinstance(loss, PreviewKLDivergence) and loss.use_sigmoid != is_sigmoid:
                scores = "a sigmoid for each category" if is_sigmoid else "a softmax"
                raise ValueError(
                    f"The loss {name} has use_sigmoid={loss.use_sigmoid}, and the "
                    f"detectors score by {scores}; expected the same of both: set "
                    f"distill_losses.{name}.use_sigmoid={is_sigmoid}."
                )
            if is_sigmoid and is_of_softmax(loss):
                raise ValueError(
                    f"The loss {name} ({type(loss).__name__}) compares a softmax, and "
                    "the detectors score by a sigmoid for each category; expected "
                    "PreviewKLDivergence with use_sigmoid=True: set "
                    f"distill_losses.{name}=None."
                )

    def _difficulty(self, logits: Tensor, labels: Tensor) -> Tensor:
        """How hard each instance is: its loss, by its hard label.

        Args:
            logits (Tensor): The student's, shape (n, C), or (n, C + 1) where the last
                is of the background.
            labels (Tensor): Labels of them, shape (n,); C is background.

        Returns:
            Tensor: The cross-entropy, or where categories have a sigmoid each the
            binary one summed over them, shape (n,).
        """
        logits, categories = logits.detach().float(), self.num_classes
        if logits.shape[1] > categories:
            return F.cross_entropy(logits, labels, reduction="none")
        wanted = F.one_hot(labels, categories + 1)[:, :categories].to(logits)
        losses = F.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
        return losses.sum(dim=1)

    def _apply(self, fn: Callable[[Tensor], Tensor], *args: Any, **kwargs: Any) -> Any:
        """Move what a student of mmdet's own distillation keeps beside it: LAD's."""
        inner = vars(self.student).get("teacher_model")
        if isinstance(inner, nn.Module):
            inner._apply(fn, *args, **kwargs)
        return super()._apply(fn, *args, **kwargs)

    def init_weights(self) -> None:
        """Initialise the student and load the teacher: training begins."""
        for module in self.student.modules():
            if isinstance(module, TridentConv):  # mmdet leaves it what memory was
                nn.init.kaiming_normal_(module.weight, mode="fan_out")
        super().init_weights()

    @abstractmethod
    def _own_recorders(
        self, distiller: dict, student: BaseModel, teacher: BaseModel
    ) -> Tuple[Dict[str, dict], Dict[str, dict]]:
        """Configs of what the algorithm itself records of student and teacher."""

    @staticmethod
    def _check_normalisation(preprocessor: nn.Module, student: BaseModel) -> None:
        """Refuse to train a student on other images than it is tested on."""
        found, wanted = (
            normalisation_of(module)
            for module in (preprocessor, student.data_preprocessor)
        )
        if found is None or wanted is None or found.is_like(wanted):
            return
        raise ValueError(
            f"The algorithm's data_preprocessor normalises images by {found}, the "
            f"student's by {wanted}; expected the same, since the student is tested "
            "by its own: give them one mean, std and order of channels."
        )

    def _complete_distiller(self, distiller: dict, *args: Any) -> dict:
        distiller = super()._complete_distiller(distiller, *args)
        owns = self._own_recorders(distiller, *args[:2])
        for who, own in zip(("student", "teacher"), owns, strict=True):
            recorders = distiller.get(f"{who}_recorders") or {}
            taken = sorted(own.keys() & recorders.keys())
            if taken:
                raise ValueError(
                    f"{type(self).__name__} found a {who} recorder {taken[0]}, a name "
                    "that it gives itself; expected another name: rename it, or leave "
                    "it out to use the one that is there."
                )
            distiller[f"{who}_recorders"] = {**recorders, **own}
        return distiller
