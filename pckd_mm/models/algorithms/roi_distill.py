"""Distillation of a two-stage detector, region of interest by region of interest."""

from typing import Any, Dict, List, Optional, Sequence, Tuple, Union

import torch
from mmdet.models.detectors import TwoStageDetector
from mmdet.models.roi_heads import CascadeRoIHead
from mmdet.structures import DetDataSample
from mmengine.model import BaseModel
from torch import Tensor

from pckd_mm.models.distillers.classifier_sources import CLASSIFIER
from pckd_mm.models.task_modules.classifier import Classifier
from pckd_mm.registry import MODELS

from .detector_distill import DetectorDistill
from .distillation_step import with_gradients_for
from .roi_networks import (
    background_logits,
    box_heads,
    check_detector,
    classifier_layer,
    classify_regions,
    context_of,
    mines,
    regions_of_images,
    stage_names,
)

# Student records of the algorithm's own: what mmdet pools, and what it classifies as
# what. Those of a cascade's further stages have their number behind.
ROIS = "rois"
ROI_TARGETS = "roi_targets"
# Where they are; the braces stand for the stage of a cascade.
_CLASSIFIER = "roi_head.bbox_head{}.fc_cls"
_EXTRACTOR = "roi_head.bbox_roi_extractor{}"
_LOSS = "roi_head.bbox_head{}.loss_cls"
# In front of the names of what runs on regions, the last time for the boxes' loss.
_BOXES = ("roi_head.bbox_head", "roi_head.bbox_roi_extractor")
_SHARED = "roi_head.shared_head"


@MODELS.register_module()
class RoIDistill(DetectorDistill):
    """Distil a two-stage detector from a frozen one on the same regions of interest.

    The student's forward pass and its own losses come first, as mmdet computes them.
    Then the teacher's backbone, neck and box head see the regions (RoIs) that the
    student sampled, pooled from the teacher's own feature pyramid, without gradient;
    its RPN does not run. An instance of the distiller is a RoI: its feature is what
    enters ``fc_cls``, the category centers are the rows of ``fc_cls`` (background the
    last), its difficulty is its cross-entropy over the mean of the batch.

    Mappings with ``foreground=True`` take the RoIs that mmdet assigned to an object.

    The stages of a cascade are batches of instances of their own, each with the RoIs
    that the stage before refined: its preview compares them with each other, and its
    losses are weighted as the stage's own. The connectors are the stages' in common.

    The teacher gets the images normalised as its own data preprocessor says, with its
    value beside images that are smaller than their batch.

    Args:
        architecture (dict | TwoStageDetector): The student, with its ``train_cfg``.
        distiller (dict): Config of a :class:`PCKDDistiller`.
        teacher (dict | TwoStageDetector, optional): The teacher. Defaults to None, the
            model of ``teacher_config``.
        with_background (bool): Whether mappings with ``foreground=True`` take the
            background as well. Defaults to False.
        stages (str): Which stages of a cascade: ``'all'`` or ``'last'``. Defaults to
            ``'all'``.
        **kwargs: Further arguments of :class:`FrozenTeacherDistill`, such as
            ``teacher_ckpt``.

    Raises:
        TypeError: Where teacher or student is no ``TwoStageDetector`` with a
            ``StandardRoIHead`` or ``CascadeRoIHead`` and box heads that end in one
            linear classifier; for a sampler of the student that mines RoIs by the box
            head's losses, but for OHEM in one stage and PISA's own, with a softmax; and
            for a TridentNet as teacher that predicts by all its branches.
        ValueError: For different numbers of categories, for cascades of different
            lengths, for scores by a softmax and by sigmoids in one pair, for losses of
            the other kind of scores, for ``with_background`` where it has no score, for
            a recorder of a shared head beside a sampler that mines, for an algorithm
            that normalises images otherwise than its student, for a student without
            ``train_cfg``, for deliveries, for a ``teacher_input_size``, and for
            recorders with the names of the algorithm's own, ``rois`` and
            ``roi_targets``.
    """

    shares = "pool the same regions of one batch"

    def __init__(
        self,
        architecture: Union[dict, BaseModel],
        distiller: dict,
        teacher: Union[dict, BaseModel, None] = None,
        with_background: bool = False,
        stages: str = "all",
        **kwargs: Any,
    ) -> None:
        if stages not in ("all", "last"):
            raise ValueError(
                f"RoIDistill found stages={stages!r}; expected 'all' or 'last'."
            )
        super().__init__(architecture, distiller, teacher, **kwargs)
        self._check_mining()
        if with_background and not self._classifiers[0].background:
            raise ValueError(
                "RoIDistill found with_background=True, and detectors that score each "
                "category by a sigmoid, so that the background has no center; expected "
                "False: leave it out."
            )
        self.with_background = with_background
        self.stages = stages

    def _check_network(self, who: str, model: BaseModel) -> None:
        check_detector(who, model, is_student=who == "student")

    def _check_pair(self, student: TwoStageDetector, teacher: TwoStageDetector) -> None:
        stages = [len(box_heads(model)) for model in (student, teacher)]
        if stages[0] != stages[1]:
            raise ValueError(
                f"The student classifies in {stages[0]} stages and the teacher in "
                f"{stages[1]}; expected as many, since each stage learns from the same "
                "one: take a teacher of the student's kind."
            )
        scores = {
            f"{who}{f' in stage {stage + 1}' if stages[0] > 1 else ''}": (
                "a softmax" if background_logits(head) else "a sigmoid each"
            )
            for who, model in (("student", student), ("teacher", teacher))
            for stage, head in enumerate(box_heads(model))
        }
        (first, of_first), *others = scores.items()
        for who, found in others:
            if found != of_first:
                raise ValueError(
                    f"The {first} scores categories by {of_first} and the {who} by "
                    f"{found}; expected the same, since their scores are compared: "
                    "give all box heads one loss_cls."
                )

    def _find_classifier(
        self,
        who: str,
        model: TwoStageDetector,
        input_shape: Optional[Sequence[int]] = None,
    ) -> Classifier:
        return self._find_classifiers(who, model, input_shape)[0]

    def _find_classifiers(
        self,
        who: str,
        model: TwoStageDetector,
        input_shape: Optional[Sequence[int]] = None,
    ) -> List[Classifier]:
        heads = box_heads(model)
        return [
            Classifier(
                num_classes=heads[k].fc_cls.out_features,
                background=background_logits(heads[k]),
                layers=(classifier_layer(heads[k], place),),
                modules=(place,),
            )
            for k, place in enumerate(stage_names(model, _CLASSIFIER))
        ]

    def _run_features(self, model: TwoStageDetector, inputs: Tensor) -> Any:
        # The heads need proposals: only backbone and neck have shapes of their own.
        return model.extract_feat(inputs)

    def _own_recorders(
        self, distiller: dict, student: TwoStageDetector, teacher: TwoStageDetector
    ) -> Tuple[Dict[str, dict], Dict[str, dict]]:
        own = {
            _of_stage(name, stage): dict(type="ModuleInputs", source=source)
            for name, place in ((ROIS, _EXTRACTOR), (ROI_TARGETS, _LOSS))
            for stage, source in enumerate(stage_names(student, place))
        }
        return own, {}

    def _record(
        self, batch_inputs: Tensor, data_samples: List[DetDataSample]
    ) -> Dict[str, Tensor]:
        with self.distiller.student_recorders:
            losses = self.student.loss(batch_inputs, data_samples)
            left_out = self._run_what_was_left_out()
        if left_out:
            # Their boxes and masks enter no loss, and DDP waits for a gradient.
            losses = with_gradients_for(self.student, losses)
        self._forget_mining()
        stages = range(len(box_heads(self.student)))
        regions = {
            stage: self.distiller.get_record(name, from_student=True, data_idx=1)
            for stage in (stages[-1:] if self.stages == "last" else stages)
            for name in (_of_stage(ROIS, stage),)
        }
        with self.distiller.teacher_recorders, self._teacher_mode():
            sizes = [sample.img_shape[:2] for sample in data_samples]
            inputs = self.teacher_inputs(batch_inputs, sizes)
            features = self.teacher.extract_feat(inputs)
            context = context_of(self.teacher.roi_head, features)
            for stage, rois in regions.items():
                rois = regions_of_images(self.student.roi_head, rois, len(batch_inputs))
                classify_regions(self.teacher.roi_head, stage, features, rois, context)
        for stage, rois in regions.items():
            self._hand_over(stage, rois)
        return losses

    def _check_mining(self) -> None:
        """Refuse recorders whose call of the loss is not known.

        A shared head runs in mining, in the loss and for masks.
        """
        if not mines(self.student.roi_head):
            return
        for name, recorder in self.distiller.student_recorders.recorders.items():
            if recorder.source.startswith(_SHARED):
                raise ValueError(
                    f"The student recorder {name} records {recorder.source!r}, which a "
                    "sampler that mines runs on other regions first; expected a layer "
                    "of the box head: take one of roi_head.bbox_head as its source, or "
                    "a RandomSampler."
                )

    def _forget_mining(self) -> None:
        """Leave the last call of the box head: a sampler that mines ran it before."""
        if not mines(self.student.roi_head):
            return
        for recorder in self.distiller.student_recorders.recorders.values():
            if recorder.source.startswith(_BOXES) or recorder.source == CLASSIFIER:
                del recorder.data_buffer[:-1]

    def _run_what_was_left_out(self) -> bool:
        """Run stages that mmdet left without a region, on none; whether there are any.

        Every process has as many batches of instances then.
        """
        roi_head = self.student.roi_head
        if not isinstance(roi_head, CascadeRoIHead):
            return False
        records = self.distiller.student_recorders
        calls = [
            records.get_recorder(_of_stage(ROIS, stage)).data_buffer
            for stage in range(roi_head.num_stages)
        ]
        features = calls[0][0][0]
        left_out = [stage for stage, found in enumerate(calls) if not found]
        for stage in left_out:
            none = features[0].new_zeros(0, 5)
            context = context_of(roi_head, features)
            classify_regions(roi_head, stage, features, none, context)
        return bool(left_out)

    def _hand_over(self, stage: int, rois: Tensor) -> None:
        """Give the distiller the regions of a stage."""
        logits, labels = self._targets(stage, rois)
        foreground: Union[Tensor, slice] = slice(None)
        # To find them waits for the device.
        if self.distiller.asks_for_foreground and not self.with_background:
            foreground = (labels != self.num_classes).nonzero().squeeze(1)
        weights = getattr(self.student.roi_head, "stage_loss_weights", (1.0,))
        self.distiller.record_batch(
            labels,
            num_views=1,
            foreground=foreground,
            loss_weight=float(weights[stage]),
            stage=stage,
            **self._asked_for(lambda: self._difficulty(logits, labels)),
        )

    def _targets(self, stage: int, rois: Tensor) -> Tuple[Tensor, Tensor]:
        """Class scores of the RoIs, shape (N, C + 1), and their labels, shape (N,)."""
        recorder = self.distiller.student_recorders.get_recorder(
            _of_stage(ROI_TARGETS, stage)
        )
        calls = recorder.data_buffer
        if len(calls) > 1:
            raise RuntimeError(
                f"The student's box head computed its loss of classes {len(calls)} "
                "times in this step; expected once, of the sampled regions: take a "
                "box head of mmdet's."
            )
        if calls:
            logits, labels = calls[0][:2]
            return logits, labels
        # Without a single RoI mmdet computes no loss of classes.
        logits = rois.new_zeros(0, self._classifiers[0].num_classes)
        return logits, rois.new_zeros(0, dtype=torch.long)


def _of_stage(name: str, stage: int) -> str:
    """Name of a record of a stage."""
    return f"{name}_{stage}" if stage else name
