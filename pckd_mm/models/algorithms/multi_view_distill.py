"""Distillation of an image classifier over several views of each image."""

from typing import Any, Dict, List, Optional, Union

import torch
from mmengine.model import BaseModel
from mmpretrain.models import ClsHead, ImageClassifier
from mmpretrain.structures import DataSample
from torch import Tensor, nn

from pckd_mm.models.data_preprocessors.defaults import with_views
from pckd_mm.models.distillers.pckd_distiller import SAMPLE_IDX
from pckd_mm.registry import MODELS
from pckd_mm.utils.processes import process_count, process_scope, share_of_rows

from .frozen_teacher_distill import FrozenTeacherDistill


def upright_view(rows: Any, num_views: int) -> Any:
    """The rows of the upright views, of a tensor or of a sequence of tensors."""
    if isinstance(rows, (list, tuple)):
        return type(rows)(upright_view(part, num_views) for part in rows)
    return rows[::num_views]


@MODELS.register_module()
class MultiViewDistill(FrozenTeacherDistill):
    """Distil a classifier from a frozen teacher over views of each image.

    Teacher and student see every view (rows in sample-major order, see
    :class:`RotatedViewsDataPreprocessor`); the student's own loss is taken of the
    upright view only, and the distiller's losses of the views that their mappings
    name. With one view it is plain distillation.

    Args:
        architecture (dict | ImageClassifier): The student.
        distiller (dict): Config of a :class:`PCKDDistiller`.
        teacher (dict | ImageClassifier, optional): The teacher. Defaults to None, the
            model of ``teacher_config``.
        num_views (int, optional): Views of each training image, set on a
            ``data_preprocessor`` that is given as a config. Defaults to None, which
            leaves it as it is.
        data_preprocessor (dict | nn.Module, optional): What makes the views, such as
            :class:`RotatedViewsDataPreprocessor`, which a config without type is one
            of for several views (:func:`with_views`). Defaults to None, the student's.
        **kwargs: Further arguments of :class:`FrozenTeacherDistill`, such as
            ``teacher_ckpt``.

    Raises:
        TypeError: Where teacher or student is no ``ImageClassifier`` with a head.
        ValueError: For a ``data_preprocessor`` that does not make ``num_views``.
    """

    def __init__(
        self,
        architecture: Union[dict, BaseModel],
        distiller: dict,
        teacher: Union[dict, BaseModel, None] = None,
        num_views: Optional[int] = None,
        data_preprocessor: Union[dict, nn.Module, None] = None,
        **kwargs,
    ) -> None:
        super().__init__(
            architecture,
            distiller,
            teacher,
            data_preprocessor=with_views(data_preprocessor, num_views, architecture),
            **kwargs,
        )

    def _check_network(self, who: str, model: BaseModel) -> None:
        if not isinstance(model, ImageClassifier) or not model.with_head:
            raise TypeError(
                f"The {who} is a {type(model).__name__}; expected mmpretrain's "
                "ImageClassifier with a head."
            )

    def head_of(self, model: ImageClassifier) -> nn.Module:
        return model.head

    def _feature_width(self, model: ImageClassifier) -> Optional[int]:
        return getattr(model.head, "in_channels", None)

    @property
    def min_images(self) -> int:
        """int: Images that a batch must have, two to compare their difficulty."""
        with process_scope(self.distiller.across_processes):
            compares = self.distiller.preview is not None and process_count() == 1
        return 2 if compares else 1

    def loss(
        self, batch_inputs: Tensor, data_samples: List[DataSample]
    ) -> Dict[str, Tensor]:
        """Compute the student's loss and the distiller's.

        Args:
            batch_inputs (Tensor): Views in sample-major order, shape (V * B, C, H, W).
            data_samples (list[DataSample]): The B images' labels: a sample for each,
                or one for all (:class:`pckd_mm.datasets.InMemoryDataset`).

        Returns:
            dict[str, Tensor]: ``student.*`` and ``distill.*`` losses, scalars.

        Raises:
            ValueError: For views that are no multiple of the images, and for a single
                image where the preview must compare images.
        """
        images = len(_labels(data_samples))
        num_views, rest = divmod(len(batch_inputs), images)
        if rest or num_views == 0:
            raise ValueError(
                f"MultiViewDistill found {len(batch_inputs)} inputs for {images} "
                "images; expected the same number of views of every image."
            )
        if images < self.min_images and not self.distillation_stopped:
            raise ValueError(
                "The preview found a batch of one image; expected two or more to "
                "compare: change batch_size, set drop_last=True in train_dataloader, "
                "or set the distiller's preview to None."
            )
        return super().loss(batch_inputs, data_samples)

    def _plain_loss(
        self, batch_inputs: Tensor, data_samples: List[DataSample]
    ) -> Dict[str, Tensor]:
        num_views = len(batch_inputs) // len(_labels(data_samples))
        upright = upright_view(batch_inputs, num_views)
        return super()._plain_loss(upright, data_samples)

    def _record(
        self, batch_inputs: Tensor, data_samples: List[DataSample]
    ) -> Dict[str, Tensor]:
        labels = _labels(data_samples)
        num_views = len(batch_inputs) // len(labels)
        self._run_teacher(batch_inputs)
        losses, logits = self._run_student(batch_inputs, data_samples, num_views)
        with process_scope(self.distiller.across_processes):
            losses = _weigh(losses, share_of_rows(len(labels)))
        asked = self._asked_for(logits, labels)
        if self.distiller.asks_for(SAMPLE_IDX):
            places = _sample_idx(data_samples)
            asked["sample_idx"] = places.to(labels.device, non_blocking=True)
        self.distiller.record_batch(labels, num_views, **asked)
        return losses

    def _run_teacher(self, inputs: Tensor) -> None:
        self.distiller.set_deliveries_override(False)
        with self.distiller.teacher_recorders, self.distiller.deliveries:
            with self._teacher_mode():
                self.teacher(inputs, mode="tensor")

    def _run_student(
        self, inputs: Tensor, data_samples: List[DataSample], num_views: int
    ) -> tuple:
        """The student's losses and logits on the upright views."""
        head = self.student.head
        self.distiller.set_deliveries_override(True)
        with self.distiller.student_recorders, self.distiller.deliveries:
            feats = self.student.extract_feat(inputs)
            logits = upright_view(head(feats), num_views)
            if type(head).loss is ClsHead.loss:
                return head._get_loss(logits, data_samples), logits
        # A head with a loss of its own computes it from features.
        return head.loss(upright_view(feats, num_views), data_samples), logits


def _weigh(losses: Dict[str, Tensor], share: float) -> Dict[str, Tensor]:
    """Losses times a share, and what else a head reports as it is."""
    if share == 1:
        return losses
    return {k: v * share if "loss" in k else v for k, v in losses.items()}


def _labels(data_samples: List[DataSample]) -> Tensor:
    """Labels of the images, of which a sample holds one, or those of a whole batch."""
    return torch.cat([sample.gt_label for sample in data_samples])


def _sample_idx(data_samples: List[DataSample]) -> Tensor:
    places = [sample.get("sample_idx") for sample in data_samples]
    if any(place is None for place in places):
        raise ValueError(
            "A loss asks for sample_idx, which the data samples do not have; expected "
            "the place of each image in the training set: leave sample_idx among the "
            "meta_keys of PackInputs."
        )
    return torch.cat([torch.as_tensor(place).reshape(-1) for place in places])
