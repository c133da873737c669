"""Distillation of a one-stage detector, place by place."""

from inspect import signature
from typing import Any, Dict, List, Optional, Sequence, Tuple, Union

import torch
from mmdet.structures import DetDataSample
from mmengine.model import BaseModel
from torch import Tensor, nn

from pckd_mm.models.task_modules.classifier import Classifier, ClassifierLayer
from pckd_mm.registry import MODELS
from pckd_mm.utils.processes import in_group

from .dense_boxes import fill_sides, has_sides, localise, side_recorders
from .dense_instances import DenseMaps, check_places, choose_instances
from .dense_networks import (
    check_detector,
    check_pair,
    classifying,
    head_and_family,
    logits_of_places,
    name_of_head,
)
from .dense_records import (
    CENTERS,
    fill_classifier,
    map_recorders,
    recorded_maps,
    release_maps,
)
from .detector_distill import DetectorDistill
from .distillation_step import Losses, with_gradients_for

# The algorithm's own records: what tells the labels, and which set of category centers
# each instance has.
TARGETS = "dense_targets"
GROUP = "group"


@MODELS.register_module()
class DenseDistill(DetectorDistill):
    """Distil a one-stage detector from a frozen one at the same places.

    The head classifies each place of each level by a convolution of kernel k x k. An
    instance of the distiller is a place, or one of its anchors. Its feature is the
    patch that the convolution sees there, D = D' k k numbers; the category centers are
    the rows of the convolution's weight for this anchor, so that the logits are
    ``centers @ feature + bias``.

    The student's forward pass and its own losses come first, as mmdet computes them.
    Foreground instances are the places that its assigner gives an object, with the
    object's category. As many of the background, those that the teacher scores
    highest, come behind them; places that the student's loss ignores are neither. The
    teacher runs backbone, neck and the part of its head that classifies, and is
    recorded at the same places.

    Mappings with ``foreground=True`` take the foreground. Difficulty and preview are of
    the foreground too: the binary cross-entropy of an instance, summed over the
    categories, over the mean of the batch. Of a softmax it is the cross-entropy. The
    background has weight 1.

    Recorders with ``source="classifier"`` have, beside each other, the patch
    (``data_idx=0``) and its middle column (``data_idx=1``), the feature of the place
    alone. For a head of G > 1 anchors or of a convolution for each level the centers
    have shape (G, C, D), and the record ``group`` says which ones each instance has:
    contrast and alignment are of all instances at once, each with its own centers, so
    that the losses stay as they are defined.

    Recorders with ``type="pckd_mm.Batch", source="box_sides"`` have the distributions
    of GFL's boxes, four rows for each foreground instance; ``box_side_weights`` has the
    student's highest score for each.

    Args:
        architecture (dict | BaseDetector): The student, with its ``train_cfg``.
        distiller (dict): Config of a :class:`PCKDDistiller`.
        teacher (dict | BaseDetector, optional): The teacher. Defaults to None, the
            model of ``teacher_config``.
        **kwargs: Further arguments of :class:`DetectorDistill`, such as
            ``teacher_ckpt``.

    Raises:
        TypeError: For a detector that does not classify places by a convolution.
        ValueError: For other strides, anchors or categories of the teacher, for a
            student without ``train_cfg``, for losses that are not of the head's scores
            or not of several sets of centers, and as :class:`DetectorDistill` does.
    """

    shares = "are compared place by place"

    def __init__(
        self,
        architecture: Union[dict, BaseModel],
        distiller: dict,
        teacher: Union[dict, BaseModel, None] = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(architecture, distiller, teacher, **kwargs)
        self._check_losses()

    @property
    def bbox_head(self) -> nn.Module:
        """nn.Module: The student's head, which hooks of mmdet set things of."""
        return getattr(self.student, name_of_head(self.student))

    def _check_network(self, who: str, model: BaseModel) -> None:
        check_detector(who, model, is_student=who == "student")

    def _check_pair(self, student: BaseModel, teacher: BaseModel) -> None:
        check_pair(student, teacher)

    def _find_classifier(
        self,
        who: str,
        model: BaseModel,
        input_shape: Optional[Sequence[int]] = None,
    ) -> Classifier:
        convs = classifying(model)
        name, conv = next(iter(convs.items()))
        height, width = conv.kernel_size
        logits = logits_of_places(model)
        return Classifier(
            num_classes=logits,
            background=logits - head_and_family(model)[0].num_classes,
            layers=(ClassifierLayer(name, conv.in_channels * height * width),),
            parts=tuple(convs),
            handed_over=True,
            place_width=conv.in_channels,
        )

    def _run_features(self, model: BaseModel, inputs: Tensor) -> Any:
        return model.extract_feat(inputs)

    def _own_recorders(
        self, distiller: dict, student: BaseModel, teacher: BaseModel
    ) -> Tuple[Dict[str, dict], Dict[str, dict]]:
        owns = side_recorders(distiller, student, teacher)
        for own, model in zip(owns, (student, teacher), strict=True):
            own.update(map_recorders(model))
        head, family = head_and_family(student)
        owns[0].update(
            (f"{TARGETS}_{number}", dict(type="MethodOutputs", source=source))
            for number, source in enumerate(family.sources(head))
        )
        owns[0][GROUP] = dict(type="pckd_mm.Batch", source=GROUP)
        return owns

    def _check_losses(self) -> None:
        """Refuse losses of one set of centers where there are more.

        What is recorded of categories has its shape from the head.
        """
        convs = classifying(self.student)
        logits = logits_of_places(self.student)
        sets = sum(conv.out_channels for conv in convs.values()) // logits
        recorders = self.distiller.student_recorders.recorders
        for name, loss in self.distiller.distill_losses.items():
            mapping = self.distiller.loss_forward_mappings[name].values()
            takes_centers = any(
                recorders[taken["recorder"]].source == CENTERS
                for taken in mapping
                if taken["from_student"]
            )
            if (
                sets > 1
                and takes_centers
                and GROUP not in signature(loss.forward).parameters
            ):
                raise ValueError(
                    f"The loss {name} ({type(loss).__name__}) takes category centers, "
                    f"of which the detectors have {sets} sets, of anchors or levels; "
                    "expected a loss that knows of them, such as "
                    "CategoryContrastiveLoss or CategoryAlignmentLoss: set "
                    f"distill_losses.{name}=None."
                )

    # ------------------------------------------------------------------- step

    def _record(
        self, batch_inputs: Tensor, data_samples: List[DetDataSample]
    ) -> Dict[str, Tensor]:
        with self.distiller.student_recorders:
            losses = self.student.loss(batch_inputs, data_samples)
        with self.distiller.teacher_recorders, self._teacher_mode():
            sizes = [sample.img_shape[:2] for sample in data_samples]
            features = self.teacher.extract_feat(
                self.teacher_inputs(batch_inputs, sizes)
            )
            head, family = head_and_family(self.teacher)
            family.classify(head, features)
            if has_sides(self.distiller):
                localise(head, features)
        if not self._hand_over(data_samples):
            # Some heads leave their boxes out then, and DDP waits for a gradient.
            losses = with_gradients_for(self.student, losses)
        return losses

    def _plain_loss(
        self, batch_inputs: Tensor, data_samples: List[DetDataSample]
    ) -> Losses:
        losses = super()._plain_loss(batch_inputs, data_samples)
        return with_gradients_for(self.student, losses) if in_group() else losses

    def _labels(self, maps: DenseMaps, data_samples: List[DetDataSample]) -> Tensor:
        """Labels of every image, place and anchor, shape (N, P)."""
        family = head_and_family(self.student)[1]
        recorders = self.distiller.student_recorders
        calls = [
            call
            for number in range(len(family.methods))
            for call in recorders.get_recorder(f"{TARGETS}_{number}").data_buffer
        ]
        objects = [sample.gt_instances.labels for sample in data_samples]
        return family.read(calls, objects, maps.geometry(self.num_classes))

    def _hand_over(self, data_samples: List[DetDataSample]) -> int:
        """Give the distiller the instances of the batch; how many have an object."""
        distiller = self.distiller
        recorders = distiller.student_recorders
        student = recorded_maps("student", self.student, recorders)
        teacher = recorded_maps("teacher", self.teacher, distiller.teacher_recorders)
        check_places(student, teacher)
        labels = self._labels(student, data_samples)
        parts = choose_instances(labels, self.num_classes, teacher.highest())
        foreground, background = (student.cells(indices) for indices in parts)
        cells = [*foreground, *background]
        logits = fill_classifier(distiller, True, student, cells, foreground)
        fill_classifier(distiller, False, teacher, cells, foreground)
        recorders.get_recorder(GROUP).record(student.groups(cells))
        labels = labels.flatten()[torch.cat(parts)]
        found = len(parts[0])
        logits = logits[:found]
        if has_sides(distiller):
            fill_sides(distiller, parts[0], logits)
        distiller.record_batch(
            labels,
            num_views=1,
            foreground=slice(0, found),
            **self._asked_for(lambda: self._difficulty(logits, labels[:found])),
        )
        for manager in (recorders, distiller.teacher_recorders):
            release_maps(manager)
        return found
