"""Distillation of a two-stage detector, region of interest by region of interest."""

from typing import Any, Dict, List, Optional, Sequence, Tuple, Union

import torch
import torch.nn.functional as F
from mmdet.models.detectors import TwoStageDetector
from mmdet.structures import DetDataSample
from mmengine.model import BaseModel
from torch import Tensor, nn

from pckd_mm.models.data_preprocessors.normalisation import normalisation_of
from pckd_mm.models.data_preprocessors.trained_inputs import SAME
from pckd_mm.models.task_modules.classifier import Classifier, ClassifierLayer
from pckd_mm.registry import MODELS

from .frozen_teacher_distill import FrozenTeacherDistill
from .roi_networks import check_detector

# Student records of the algorithm's own: what mmdet pools, and what it classifies as
# what.
ROIS = "rois"
ROI_TARGETS = "roi_targets"
_CLASSIFIER = "roi_head.bbox_head.fc_cls"


@MODELS.register_module()
class RoIDistill(FrozenTeacherDistill):
    """Distil a two-stage detector from a frozen one on the same regions of interest.

    The student's forward pass and its own losses come first, as mmdet computes them.
    Then the teacher's backbone, neck and box head see the regions (RoIs) that the
    student sampled, pooled from the teacher's own feature pyramid, without gradient;
    its RPN does not run. An instance of the distiller is a RoI: its feature is what
    enters ``fc_cls``, the category centers are the rows of ``fc_cls`` (background the
    last), its difficulty is its cross-entropy over the mean of the batch.

    Mappings with ``foreground=True`` take the RoIs that mmdet assigned to an object.

    The teacher gets the images normalised as its own data preprocessor says, with its
    value beside images that are smaller than their batch.

    Args:
        architecture (dict | TwoStageDetector): The student, with its ``train_cfg``.
        distiller (dict): Config of a :class:`PCKDDistiller`.
        teacher (dict | TwoStageDetector, optional): The teacher. Defaults to None, the
            model of ``teacher_config``.
        with_background (bool): Whether mappings with ``foreground=True`` take the
            background as well. Defaults to False.
        **kwargs: Further arguments of :class:`FrozenTeacherDistill`, such as
            ``teacher_ckpt``.

    Raises:
        TypeError: Where teacher or student is no ``TwoStageDetector`` with a
            ``StandardRoIHead`` and a box head that ends in one linear classifier, and
            for a student whose sampler mines RoIs by the box head's losses, or that
            has a ``PISARoIHead``.
        ValueError: For different numbers of categories, for an algorithm that
            normalises images otherwise than its student, for a student without
            ``train_cfg``, for deliveries, for a ``teacher_input_size``, and for
            recorders with the names of the algorithm's own, ``rois`` and
            ``roi_targets``.
    """

    preprocessor_type = "mmdet.DetDataPreprocessor"
    instances_are_images = False

    def __init__(
        self,
        architecture: Union[dict, BaseModel],
        distiller: dict,
        teacher: Union[dict, BaseModel, None] = None,
        with_background: bool = False,
        **kwargs,
    ) -> None:
        if distiller.get("distill_deliveries"):
            raise ValueError(
                "RoIDistill found distill_deliveries in its distiller; expected none, "
                "since the student runs before the teacher: remove them."
            )
        size = kwargs.pop("teacher_input_size", None)
        if size not in (None, SAME):
            raise ValueError(
                f"RoIDistill found teacher_input_size={size!r}; expected none, since "
                "both networks pool the same regions of one batch: remove it."
            )
        kwargs["teacher_input_size"] = SAME
        super().__init__(architecture, distiller, teacher, **kwargs)
        self._check_normalisation(self.data_preprocessor, self.student)
        # What mmdet's data sets read, unless the run's tells otherwise.
        self.teacher_inputs.tell_channel_order("bgr")
        self.with_background = with_background

    def _check_network(self, who: str, model: BaseModel) -> None:
        check_detector(who, model, is_student=who == "student")

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

    def _find_classifier(
        self,
        who: str,
        model: TwoStageDetector,
        input_shape: Optional[Sequence[int]] = None,
    ) -> Classifier:
        layer = model.roi_head.bbox_head.fc_cls
        return Classifier(
            num_classes=layer.out_features,
            background=1,
            layers=(ClassifierLayer(_CLASSIFIER, layer.in_features),),
            modules=(_CLASSIFIER,),
        )

    def _run_features(self, model: TwoStageDetector, inputs: Tensor) -> Any:
        # The heads need proposals: only backbone and neck have shapes of their own.
        return model.extract_feat(inputs)

    def _complete_distiller(self, distiller: dict, *args) -> dict:
        distiller = super()._complete_distiller(distiller, *args)
        own = {
            ROIS: dict(type="ModuleInputs", source="roi_head.bbox_roi_extractor"),
            ROI_TARGETS: dict(
                type="ModuleInputs", source="roi_head.bbox_head.loss_cls"
            ),
        }
        recorders = distiller.get("student_recorders") or {}
        taken = sorted(own.keys() & recorders.keys())
        if taken:
            raise ValueError(
                f"RoIDistill found a student recorder {taken[0]}, a name that it gives "
                "itself; expected another name: rename it, or leave it out to use "
                "the one that is there."
            )
        distiller["student_recorders"] = {**recorders, **own}
        return distiller

    def _record(
        self, batch_inputs: Tensor, data_samples: List[DetDataSample]
    ) -> Dict[str, Tensor]:
        with self.distiller.student_recorders:
            losses = self.student.loss(batch_inputs, data_samples)
        rois = self.distiller.get_record(ROIS, from_student=True, data_idx=1)
        with self.distiller.teacher_recorders, self._teacher_mode():
            sizes = [sample.img_shape[:2] for sample in data_samples]
            inputs = self.teacher_inputs(batch_inputs, sizes)
            features = self.teacher.extract_feat(inputs)
            self.teacher.roi_head._bbox_forward(features, rois)

        logits, labels = self._targets(rois)
        foreground = slice(None)
        # To find them waits for the device.
        if self.distiller.asks_for_foreground and not self.with_background:
            foreground = (labels != self.num_classes).nonzero().squeeze(1)
        self.distiller.record_batch(
            labels,
            num_views=1,
            foreground=foreground,
            **self._asked_for(lambda: _cross_entropy(logits, labels)),
        )
        return losses

    def _targets(self, rois: Tensor) -> Tuple[Tensor, Tensor]:
        """Class scores of the RoIs, shape (N, C + 1), and their labels, shape (N,)."""
        calls = self.distiller.student_recorders.get_recorder(ROI_TARGETS).data_buffer
        if len(calls) > 1:
            raise RuntimeError(
                f"The student's box head computed its loss of classes {len(calls)} "
                "times in this step; expected once, of the sampled regions: take a "
                "StandardRoIHead and a sampler that does not run the box head."
            )
        if calls:
            logits, labels = calls[0][:2]
            return logits, labels
        # Without a single RoI mmdet computes no loss of classes.
        logits = rois.new_zeros(0, self.num_classes + 1)
        return logits, rois.new_zeros(0, dtype=torch.long)


def _cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    return F.cross_entropy(logits.detach().float(), labels, reduction="none")
