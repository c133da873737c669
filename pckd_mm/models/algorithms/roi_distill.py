"""Distillation of a two-stage detector, region of interest by region of interest."""

from typing import Any, Dict, List, Optional, Tuple, Union

import torch
from mmdet.models.detectors import TwoStageDetector
from mmdet.models.layers import NormedLinear
from mmdet.models.roi_heads import StandardRoIHead, TridentRoIHead
from mmdet.models.roi_heads.bbox_heads import BBoxHead
from mmdet.models.task_modules.samplers import OHEMSampler, ScoreHLRSampler
from mmdet.structures import DetDataSample
from mmengine.model import BaseModel
from torch import Tensor, nn

from pckd_mm.registry import MODELS

from .frozen_teacher_distill import FrozenTeacherDistill

# Student records of the algorithm's own: what mmdet pools, and what it classifies as
# what.
ROIS = "rois"
ROI_TARGETS = "roi_targets"
# Samplers that run the box head themselves, on RoIs that are not those of the loss.
_MINING = (OHEMSampler, ScoreHLRSampler)


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
            for a student whose sampler mines RoIs by the box head's losses.
        ValueError: For different numbers of categories or different normalisation of
            the images, for a student without ``train_cfg``, for deliveries, and for
            recorders with the names of the algorithm's own, ``rois`` and
            ``roi_targets``.
    """

    preprocessor_type = "mmdet.DetDataPreprocessor"

    def __init__(
        self,
        architecture: Union[dict, BaseModel],
        distiller: dict,
        teacher: Union[dict, BaseModel, None] = None,
        with_background: bool = False,
        **kwargs,
    ) -> None:
        if distiller.get("teacher_deliveries") or distiller.get("student_deliveries"):
            raise ValueError(
                "RoIDistill found deliveries in its distiller; expected none, since "
                "the student runs before the teacher: remove them."
            )
        super().__init__(architecture, distiller, teacher, **kwargs)
        self._check_normalisation(
            "algorithm", self.data_preprocessor, "student", self.student
        )
        self.with_background = with_background

    def _check_network(self, who: str, model: BaseModel) -> None:
        expected = (
            "expected a TwoStageDetector of mmdet with a StandardRoIHead, such as "
            "FasterRCNN or MaskRCNN"
        )
        if not isinstance(model, TwoStageDetector):
            raise TypeError(f"The {who} is a {type(model).__name__}; {expected}.")
        roi_head = getattr(model, "roi_head", None)
        if not isinstance(roi_head, StandardRoIHead) or not roi_head.with_bbox:
            raise TypeError(
                f"The {who} is a {type(model).__name__} with a "
                f"{type(roi_head).__name__}; {expected}: a cascade, for one, has "
                "several classifiers, and which of them to distil has no rule."
            )
        if isinstance(roi_head, TridentRoIHead):
            raise TypeError(
                f"The {who} has a TridentRoIHead, whose branches see an image several "
                f"times in training and once in a test; {expected}."
            )
        head = roi_head.bbox_head
        classifier = getattr(head, "fc_cls", None)
        if (
            not isinstance(head, BBoxHead)
            or not isinstance(classifier, nn.Linear)
            or isinstance(classifier, NormedLinear)  # scales its rows and features
            or classifier.out_features != head.num_classes + 1
        ):
            loss = type(getattr(head, "loss_cls", None)).__name__
            raise TypeError(
                f"The {who}'s box head is a {type(head).__name__} with {loss} and "
                f"{_describe(classifier)} as fc_cls; expected a BBoxHead, such as "
                "Shared2FCBBoxHead, with a linear fc_cls of num_classes + 1 = "
                f"{getattr(head, 'num_classes', 0) + 1} outputs: take such a head, "
                "with CrossEntropyLoss."
            )
        if who == "student":
            self._check_sampling(roi_head)

    @staticmethod
    def _check_sampling(roi_head: StandardRoIHead) -> None:
        if roi_head.train_cfg is None:
            raise ValueError(
                "The student has no train_cfg.rcnn, by which regions are sampled; "
                "expected one: keep the train_cfg of the detector's config."
            )
        sampler = roi_head.bbox_sampler
        for part in (
            sampler,
            getattr(sampler, "pos_sampler", None),
            getattr(sampler, "neg_sampler", None),
        ):
            if isinstance(part, _MINING):
                raise TypeError(
                    f"The student samples its regions by {type(part).__name__}, which "
                    "runs the box head on other regions first; expected a sampler that "
                    "does not, such as RandomSampler: set train_cfg.rcnn.sampler."
                )

    def _check_pair(self, student: BaseModel, teacher: BaseModel) -> None:
        super()._check_pair(student, teacher)
        self._check_normalisation(
            "student", student.data_preprocessor, "teacher", teacher
        )

    @staticmethod
    def _check_normalisation(
        who: str, preprocessor: nn.Module, other: str, model: BaseModel
    ) -> None:
        found, wanted = (
            _normalisation(module) for module in (preprocessor, model.data_preprocessor)
        )
        if found != wanted:
            raise ValueError(
                f"The {who}'s data_preprocessor normalises images by {found}, the "
                f"{other}'s by {wanted}; expected the same, since both networks see "
                "one batch: give them one mean, std and order of channels."
            )

    def head_of(self, model: TwoStageDetector) -> nn.Module:
        return model.roi_head.bbox_head

    def _feature_width(self, model: TwoStageDetector) -> Optional[int]:
        return self.head_of(model).fc_cls.in_features

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
            features = self.teacher.extract_feat(batch_inputs)
            self.teacher.roi_head._bbox_forward(features, rois)

        logits, labels = self._targets(rois)
        background = self.head_of(self.student).num_classes
        foreground = slice(None)
        if not self.with_background:
            foreground = (labels != background).nonzero().squeeze(1)
        self.distiller.record_batch(
            labels,
            num_views=1,
            foreground=foreground,
            **self._asked_for(logits, labels),
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
        classes = self.head_of(self.student).fc_cls.out_features
        return rois.new_zeros(0, classes), rois.new_zeros(0, dtype=torch.long)


def _describe(module: Optional[nn.Module]) -> str:
    of = f" of {module.out_features} outputs" if isinstance(module, nn.Linear) else ""
    return f"a {type(module).__name__}{of}"


def _normalisation(preprocessor: nn.Module) -> str:
    """Mean, standard deviation and order of channels, in words."""
    if not getattr(preprocessor, "_enable_normalize", False):
        return "nothing"
    mean, std = (
        [round(value, 3) for value in getattr(preprocessor, name).flatten().tolist()]
        for name in ("mean", "std")
    )
    swapped = getattr(preprocessor, "_channel_conversion", False)
    return f"mean {mean}, std {std}, channels {'swapped' if swapped else 'as read'}"
