"""Distillation of an image classifier over several views of each image."""

from typing import Any, Dict, List, Optional, Sequence, Tuple, Union

from mmengine.model import BaseModel
from mmpretrain.models import ClsHead, MultiLabelClsHead
from mmpretrain.structures import DataSample
from torch import Tensor, nn

from pckd_mm.datasets.whole_batch import one_each, require_places, samples_of
from pckd_mm.models.data_preprocessors.defaults import with_views
from pckd_mm.models.data_preprocessors.teacher_inputs import ragged_sizes
from pckd_mm.models.distillers.batch_records import SAMPLE_IDX
from pckd_mm.models.distillers.given_records import Records, give_records
from pckd_mm.models.distillers.mappings import images_needed
from pckd_mm.models.task_modules.classifier import Classifier
from pckd_mm.models.task_modules.find_classifier import find_classifier
from pckd_mm.registry import MODELS
from pckd_mm.utils.devices import send
from pckd_mm.utils.processes import process_count, process_scope, share_of_rows

from .classifier_networks import (
    as_classifier,
    built_classifier,
    check_classifier,
    head_of,
)
from .distillation_step import Losses, weighed
from .frozen_teacher_distill import FrozenTeacherDistill
from .labelling import Labelling
from .settings import check_augments
from .targets import difficulty, require_labels
from .trainable import require_trainable

# Losses that heads compute from their own logits.
_LOSSES_OF_LOGITS = (ClsHead.loss, MultiLabelClsHead.loss)


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
    name. With one view it is plain distillation. The teacher gets the views normalised,
    and sized, as it was trained (:class:`TeacherInputs`).

    Args:
        architecture (dict | nn.Module): The student: a classifier of MMPretrain, its
            ``TimmClassifier`` and ``HuggingFaceClassifier`` among them, or any other
            network that gives logits, by :class:`PlainClassifier`.
        distiller (dict): Config of a :class:`PCKDDistiller`.
        teacher (dict | nn.Module, optional): The teacher, likewise. Defaults to None,
            the model of ``teacher_config``.
        num_views (int, optional): Views of each training image, set on a
            ``data_preprocessor`` that is given as a config. Defaults to None, which
            leaves it as it is.
        data_preprocessor (dict | nn.Module, optional): What makes the views, such as
            :class:`RotatedViewsDataPreprocessor`, which a config without type is one
            of for several views (:func:`with_views`). Defaults to None, the student's.
        task (str, optional): Which task of a student or teacher with several
            (``MultiTaskHead``) is distilled. Defaults to None.
        **kwargs: Further arguments of :class:`FrozenTeacherDistill`, such as
            ``teacher_ckpt``.

    Raises:
        TypeError: Where teacher or student is no classifier, and for a student that its
            library cannot train.
        ValueError: For a ``data_preprocessor`` that does not make ``num_views``, or
            that pads normalised images where the teacher's are normalised otherwise,
            and for losses that are not defined for what the images are labelled with.
    """

    def __init__(
        self,
        architecture: Union[dict, BaseModel],
        distiller: dict,
        teacher: Union[dict, BaseModel, None] = None,
        num_views: Optional[int] = None,
        data_preprocessor: Union[dict, nn.Module, None] = None,
        task: Optional[str] = None,
        **kwargs: Any,
    ) -> None:
        self.task = task
        # Records of the next batch that another process's teacher has made.
        self.given_records: Optional[Records] = None
        self._labels = Labelling()
        self._runs_student_loss = kwargs.get("calculate_student_loss", True)
        super().__init__(
            architecture,
            distiller,
            teacher,
            data_preprocessor=with_views(data_preprocessor, num_views, architecture),
            **kwargs,
        )
        if task is not None and not any(found.task for found in self._classifiers):
            raise ValueError(
                f"MultiViewDistill found task={task!r}, and neither student nor "
                "teacher has several tasks; expected a MultiTaskHead: leave out task."
            )
        self._look_at_labels()
        if hasattr(self.data_preprocessor, "num_views"):  # else batches have theirs
            self.distiller.check_views(self.data_preprocessor.num_views)
        if getattr(self.data_preprocessor, "num_classes", 0) is None:
            self.data_preprocessor.num_classes = self.num_classes  # for one-hot labels
        divisor = getattr(self.data_preprocessor, "pad_size_divisor", 1)
        if divisor > 1 and self.teacher_inputs.converts:
            raise ValueError(
                f"The data_preprocessor pads normalised images (pad_size_divisor="
                f"{divisor}), and the teacher's are normalised otherwise; expected "
                "images that are padded before, so that both networks see one border: "
                "leave pad_size_divisor out, and add a Pad to the pipeline."
            )

    def _build_network(self, who: str, model: Union[dict, nn.Module]) -> BaseModel:
        model = as_classifier(model)
        if who == "student":
            check_augments(model)
        return built_classifier(super()._build_network(who, model))

    def _check_network(self, who: str, model: BaseModel) -> None:
        check_classifier(who, model)

    def _find_classifier(
        self, who: str, model: BaseModel, input_shape: Optional[Sequence[int]]
    ) -> Classifier:
        classifier = find_classifier(model, who, input_shape, self.task)
        if who == "student" and self._runs_student_loss:
            require_trainable(model, classifier.input_shape)
        return classifier

    def _student_head(self) -> Optional[nn.Module]:
        return head_of(self.student, self._classifiers[0].task)

    @property
    def head(self) -> Optional[nn.Module]:
        """nn.Module, optional: The student's, as hooks that change its loss ask."""
        return getattr(self.student, "head", None)

    @property
    def min_images(self) -> int:
        """int: Images that a batch must have, two where they are compared."""
        num_views = getattr(self.data_preprocessor, "num_views", 1)
        of_losses = images_needed(
            self.distiller.distill_losses,
            self.distiller.loss_forward_mappings,
            self.distiller.connectors,
            num_views,
        )
        return max(2 if self._compares_difficulty() else 1, of_losses)

    def _compares_difficulty(self) -> bool:
        """Whether the preview compares the images of a batch of this process alone."""
        with process_scope(self.distiller.across_processes):
            return self.distiller.preview is not None and process_count() == 1

    def _look_at_labels(self) -> None:
        head = self._student_head()
        self._labels.look(head, self.data_preprocessor, self.distiller)

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
        self._look_at_labels()
        if isinstance(self._student_head(), MultiLabelClsHead):
            data_samples = one_each(data_samples, self._labels.is_single)
        images = self._labels.count(data_samples)
        num_views, rest = divmod(len(batch_inputs), images)
        if rest or num_views == 0:
            raise ValueError(
                f"MultiViewDistill found {len(batch_inputs)} inputs for {images} "
                "images; expected the same number of views of every image."
            )
        single = images < 2 and self._compares_difficulty()
        if single and not self.distillation_stopped:
            raise ValueError(
                "The preview found a batch of one image; expected two or more to "
                "compare: change batch_size, set drop_last=True in train_dataloader, "
                "or set the distiller's preview to None."
            )
        for sample in data_samples:
            # One-hot labels are whole numbers, and shares of classes are not.
            if "gt_score" in sample and not sample.gt_score.is_floating_point():
                sample.set_gt_score(sample.gt_score.float())
        return super().loss(batch_inputs, data_samples)

    def losses_of(
        self,
        images: Tensor,
        labels: Optional[Tensor] = None,
        places: Optional[Tensor] = None,
    ) -> Tuple[Tensor, Dict[str, Tensor]]:
        """Compute the loss of a batch in a training loop of one's own.

        MMEngine's Runner needs none of it. Set ``progress`` in each epoch.

        Args:
            images (Tensor): Images as the data loader gives them, shape (B, C, H, W).
                The data preprocessor makes their views, on its device.
            labels (Tensor, optional): Label of each image, shape (B,), or scores of
                all categories, shape (B, num_classes). Defaults to None, for images
                without labels, which losses must be able to do without.
            places (Tensor, optional): Place of each image in the training set, shape
                (B,), which CRD asks for. Defaults to None.

        Returns:
            tuple[Tensor, dict[str, Tensor]]: The sum of all losses, and each of them.
        """
        samples = samples_of(len(images), labels, places)
        batch = dict(inputs=images, data_samples=samples)
        batch = self.data_preprocessor(batch, training=True)
        return self.parse_losses(self(**batch, mode="loss"))

    def _plain_loss(
        self, batch_inputs: Tensor, data_samples: List[DataSample]
    ) -> Losses:
        num_views = len(batch_inputs) // self._labels.count(data_samples)
        return super()._plain_loss(upright_view(batch_inputs, num_views), data_samples)

    def _record(
        self, batch_inputs: Tensor, data_samples: List[DataSample]
    ) -> Dict[str, Tensor]:
        kind, head = self._labels.kind, self._student_head()
        task = self._classifiers[0].task
        targets = self._labels.read(data_samples, task, self.num_classes)
        require_labels(targets, self.distiller, self.calculate_student_loss)
        num_views = len(batch_inputs) // targets.images
        if self.given_records is None:
            self.run_teacher(batch_inputs, ragged_sizes(data_samples, batch_inputs))
        else:
            give_records(self.distiller.teacher_recorders, self.given_records)
            self.given_records = None
        losses, logits = self._run_student(batch_inputs, data_samples, num_views)
        with process_scope(self.distiller.across_processes):
            losses = weighed(losses, share_of_rows(targets.images))
        asked = self._asked_for(lambda: difficulty(head, logits, targets, kind))
        if self.distiller.asks_for(SAMPLE_IDX):
            places = require_places(data_samples)
            asked["sample_idx"] = send(places, batch_inputs.device)
        self.distiller.record_batch(targets.labels, num_views, **asked)
        return losses

    def run_teacher(self, inputs: Tensor, sizes: Optional[list] = None) -> None:
        """Run the teacher on views, for its recorders.

        Args:
            inputs (Tensor): Normalised for the student, shape (N, C, H, W).
            sizes (list[tuple[int, int]], optional): See :func:`ragged_sizes`. Defaults
                to None.
        """
        self.distiller.set_deliveries_override(False)
        with self.distiller.teacher_recorders, self.distiller.deliveries:
            with self._teacher_mode():
                self.teacher(self.teacher_inputs(inputs, sizes), mode="tensor")

    def _run_student(
        self, inputs: Tensor, data_samples: List[DataSample], num_views: int
    ) -> tuple:
        """The student's losses and logits on the upright views."""
        student = self.student
        head: Any = self.head
        self.distiller.set_deliveries_override(True)
        with self.distiller.student_recorders, self.distiller.deliveries:
            feats = None
            if head is None:
                output = student(inputs, mode="tensor")
            else:
                feats = student.extract_feat(inputs)
                output = head(feats)
            logits = upright_view(self._classifiers[0].logits(output), num_views)
            if not self.calculate_student_loss:
                return {}, logits
            if head is None or type(head).loss in _LOSSES_OF_LOGITS:
                taken = upright_view(output, num_views)
                return (head or student)._get_loss(taken, data_samples), logits
        # A head with a loss of its own computes it from features.
        return head.loss(upright_view(feats, num_views), data_samples), logits
