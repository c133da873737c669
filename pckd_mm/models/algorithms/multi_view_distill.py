"""Distillation of an image classifier over several views of each image."""

import copy
import logging
from typing import Any, Dict, List, Optional, Sequence, Union

import torch
import torch.nn.functional as F
from mmengine.logging import MessageHub, print_log
from mmengine.model import BaseModel
from mmpretrain.models import ClsHead, ImageClassifier
from mmpretrain.structures import DataSample
from mmrazor.models.algorithms import SingleTeacherDistill
from mmrazor.models.utils import add_prefix
from torch import Tensor, nn

from pckd_mm.models.distillers import PCKDDistiller
from pckd_mm.models.distillers.pckd_distiller import (
    PROGRESS,
    SAMPLE_IDX,
    in_scope,
    resolve_widths,
)
from pckd_mm.models.distillers.record_shapes import resolve_shapes
from pckd_mm.registry import MODELS
from pckd_mm.utils.checkpoint import load_exactly, model_state_dict, read_checkpoint


class _Unregistered:
    """Hold a module outside of its owner's module tree; copies of the owner share it.

    So it is in no state dict, optimizer, EMA, checkpoint or DDP bucket.
    """

    def __init__(self, module: nn.Module) -> None:
        self.module = module

    def __deepcopy__(self, memo: dict) -> "_Unregistered":
        return self


def upright_view(rows: Any, num_views: int) -> Any:
    """The rows of the upright views, of a tensor or of a sequence of tensors."""
    if isinstance(rows, (list, tuple)):
        return type(rows)(upright_view(part, num_views) for part in rows)
    return rows[::num_views]


def training_progress() -> Optional[float]:
    """Share of the training done, as MMEngine's runner keeps it.

    Returns:
        float, optional: (epoch + 1) / max_epochs; in loops of a single epoch, as
        iteration-based ones are, (iter + 1) / max_iters; None outside of a runner.
    """
    info = MessageHub.get_current_instance().runtime_info
    if info.get("loop_stage") is None:  # the runner is not there, or is done
        return None
    if info["max_epochs"] > 1:
        return (info["epoch"] + 1) / info["max_epochs"]
    return (info["iter"] + 1) / info["max_iters"]


@MODELS.register_module()
class MultiViewDistill(SingleTeacherDistill):
    """Distil a classifier from a frozen teacher over views of each image.

    Teacher and student see every view (rows in sample-major order, see
    :class:`RotatedViewsDataPreprocessor`); the student's own loss is taken of the
    upright view only, and the distiller's losses of the views that their mappings
    name. With one view it is plain distillation.

    The teacher is always wholly in eval mode, has no gradient and is no part of the
    module tree: state dict, checkpoints, optimizer and EMA hold the student and the
    connectors alone. Its checkpoint is read when training begins, so that testing a
    student needs none.

    Args:
        architecture (dict | ImageClassifier): The student.
        teacher (dict | ImageClassifier): The teacher.
        distiller (dict): Config of a :class:`PCKDDistiller`.
        teacher_ckpt (str, optional): The teacher's weights: a file, a URL or the name
            of a model in MMPretrain's zoo. They must fit in every tensor. Defaults to
            None, for a teacher that is built already or whose ``init_cfg`` loads its
            weights.
        teacher_config (str, optional): Config that trains the teacher, for the message
            where ``teacher_ckpt`` is missing. Defaults to None.
        num_views (int, optional): Views of each training image, set on a
            ``data_preprocessor`` that is given as a config. Defaults to None, which
            leaves it as it is.
        data_preprocessor (dict | nn.Module, optional): What makes the views, such as
            :class:`RotatedViewsDataPreprocessor`. Defaults to None, the student's.
        input_shape (Sequence[int], optional): Channels, height and width of the
            networks' inputs, for connectors that ask for the shape of a feature.
            Defaults to None.
        **kwargs: Further arguments of :class:`mmrazor.models.SingleTeacherDistill`.

    Raises:
        TypeError: Where teacher or student is no ``ImageClassifier`` with a head, or
            the distiller no ``PCKDDistiller``.
        ValueError: For different numbers of categories, for a recorder without
            source, and for ``teacher_trainable=True``.
    """

    def __init__(
        self,
        architecture: Union[dict, BaseModel],
        teacher: Union[dict, BaseModel],
        distiller: dict,
        teacher_ckpt: Optional[str] = None,
        teacher_config: Optional[str] = None,
        num_views: Optional[int] = None,
        data_preprocessor: Union[dict, nn.Module, None] = None,
        input_shape: Optional[Sequence[int]] = None,
        **kwargs,
    ) -> None:
        if kwargs.get("teacher_trainable"):
            raise ValueError(
                "MultiViewDistill found teacher_trainable=True; expected a frozen "
                "teacher: remove the setting, or use mmrazor.SingleTeacherDistill."
            )
        if num_views is not None:
            if not isinstance(data_preprocessor, dict):
                raise ValueError(
                    f"MultiViewDistill found num_views={num_views} and the "
                    f"data_preprocessor {type(data_preprocessor).__name__}; expected "
                    "the config of one: give it, or set num_views there."
                )
            data_preprocessor = dict(data_preprocessor, num_views=num_views)
        is_built = isinstance(teacher, BaseModel)
        student = self._build_classifier("student", architecture)
        teacher = self._build_classifier("teacher", teacher)
        self._check_categories(student, teacher)
        super().__init__(
            architecture=student,
            teacher=teacher,
            distiller=self._complete_distiller(
                distiller, student, teacher, input_shape
            ),
            data_preprocessor=data_preprocessor,
            **kwargs,
        )
        if not isinstance(self.distiller, PCKDDistiller):
            raise TypeError(
                f"MultiViewDistill found a {type(self.distiller).__name__} as "
                "distiller; expected a PCKDDistiller, which takes MMRazor's losses too."
            )
        self._frozen = _Unregistered(self._modules.pop("teacher"))
        self.teacher.eval()
        self.teacher_ckpt = teacher_ckpt
        self.teacher_config = teacher_config
        self._teacher_loaded = teacher_ckpt is None and is_built
        self._progress: Optional[float] = None

    @staticmethod
    def _build_classifier(who: str, model: Union[dict, BaseModel]) -> ImageClassifier:
        if isinstance(model, dict):
            model = MODELS.build(copy.deepcopy(model))
        if not isinstance(model, ImageClassifier) or not model.with_head:
            raise TypeError(
                f"The {who} is a {type(model).__name__}; expected mmpretrain's "
                "ImageClassifier with a head."
            )
        return model

    @staticmethod
    def _check_categories(student: ImageClassifier, teacher: ImageClassifier) -> None:
        s_classes, t_classes = (
            getattr(model.head, "num_classes", None) for model in (student, teacher)
        )
        if s_classes != t_classes:
            raise ValueError(
                f"The student has {s_classes} categories and the teacher {t_classes}; "
                "expected the same: set head.num_classes of both to the data set's."
            )

    @staticmethod
    def _complete_distiller(
        distiller: dict,
        student: ImageClassifier,
        teacher: ImageClassifier,
        input_shape: Optional[Sequence[int]],
    ) -> dict:
        distiller = in_scope(distiller, MODELS)
        connectors = resolve_widths(
            {k: v for k, v in (distiller.get("connectors") or {}).items() if v},
            student=getattr(student.head, "in_channels", None),
            teacher=getattr(teacher.head, "in_channels", None),
        )
        distiller["connectors"] = resolve_shapes(
            connectors, student, teacher, distiller, input_shape
        )
        return distiller

    @property
    def teacher(self) -> ImageClassifier:
        """ImageClassifier: The frozen teacher."""
        # MMRazor's constructor registers it, ours takes it out again.
        registered = self._modules.get("teacher")
        return self._frozen.module if registered is None else registered

    @property
    def progress(self) -> float:
        """float: Share of the training done, in (0, 1]; the runner's unless set."""
        progress = self._progress
        if progress is None:
            progress = training_progress()
        if progress is None:
            print_log(
                "MultiViewDistill runs outside of a runner: preview and losses take "
                "the training as done. Set algorithm.progress in a loop of your own.",
                logger="current",
                level=logging.WARNING,
            )
            return 1.0
        return progress

    @progress.setter
    def progress(self, value: Optional[float]) -> None:
        self._progress = value

    def _apply(self, fn, *args, **kwargs) -> "MultiViewDistill":
        """Move the teacher along to devices and dtypes."""
        self.teacher._apply(fn, *args, **kwargs)
        return super()._apply(fn, *args, **kwargs)

    def init_weights(self) -> None:
        """Initialise the student and load the teacher: training begins."""
        super().init_weights()
        self.load_teacher()

    def load_teacher(self) -> None:
        """Read the teacher's checkpoint, once.

        Raises:
            FileNotFoundError: Names the config that trains the teacher.
            ValueError: For a file that is damaged, needs code or does not fit.
        """
        if self._teacher_loaded:
            return
        if self.teacher_ckpt is None:
            # Its config may say where its weights are (init_cfg).
            self.teacher.init_weights()
            print_log(
                "MultiViewDistill has no teacher_ckpt: the teacher is what its own "
                "init_cfg makes it.",
                logger="current",
                level=logging.WARNING,
            )
            self._teacher_loaded = True
            return
        try:
            checkpoint = read_checkpoint(self.teacher_ckpt)
        except FileNotFoundError:
            how = "set teacher_ckpt to the teacher's checkpoint"
            if self.teacher_config is not None:
                how = f"train it: python tools/train.py {self.teacher_config}"
            raise FileNotFoundError(
                f"There is no teacher_ckpt {self.teacher_ckpt}; expected the teacher's "
                f"weights: {how}."
            ) from None
        state = model_state_dict(checkpoint)
        load_exactly(self.teacher, state, f"teacher_ckpt {self.teacher_ckpt}")
        self._teacher_loaded = True
        print_log(f"Loaded the teacher from {self.teacher_ckpt}", logger="current")

    def train(self, mode: bool = True) -> "MultiViewDistill":
        """Set the mode of student and distiller; the teacher stays in eval mode."""
        nn.Module.train(self, mode)
        self.teacher.eval()
        # Conversions (SyncBN) between construction and training lose hooks.
        self.distiller.prepare_from_student(self.student)
        return self

    def loss(
        self, batch_inputs: Tensor, data_samples: List[DataSample]
    ) -> Dict[str, Tensor]:
        """Compute the student's loss and the distiller's.

        Args:
            batch_inputs (Tensor): Views in sample-major order, shape (V * B, C, H, W).
            data_samples (list[DataSample]): The B images' labels.

        Returns:
            dict[str, Tensor]: ``student.*`` and ``distill.*`` losses, scalars.

        Raises:
            ValueError: For views that are no multiple of the images, and for a single
                image where the preview must compare images.
        """
        num_views, rest = divmod(len(batch_inputs), len(data_samples))
        if rest or num_views == 0:
            raise ValueError(
                f"MultiViewDistill found {len(batch_inputs)} inputs for "
                f"{len(data_samples)} images; expected the same number of views of "
                "every image."
            )
        if self.distillation_stopped:
            self.distiller.forget_preview()
            upright = upright_view(batch_inputs, num_views)
            return add_prefix(self.student.loss(upright, data_samples), "student")
        if len(data_samples) < 2 and self.distiller.preview is not None:
            raise ValueError(
                "The preview found a batch of one image; expected two or more to "
                "compare: change batch_size, set drop_last=True in train_dataloader, "
                "or set the distiller's preview to None."
            )
        self.load_teacher()
        try:
            self._run_teacher(batch_inputs)
            losses, logits = self._run_student(batch_inputs, data_samples, num_views)
            labels = torch.cat([sample.gt_label for sample in data_samples])
            self.distiller.record_batch(
                labels, num_views, **self._asked_for(logits, labels, data_samples)
            )
            distill_losses = self.distiller.compute_distill_losses()
        finally:
            self.distiller.release_records()
        return {
            **add_prefix(losses, "student"),
            **add_prefix(distill_losses, "distill"),
        }

    def _asked_for(
        self, logits: Tensor, labels: Tensor, data_samples: List[DataSample]
    ) -> dict:
        """What preview and losses need to know of the batch beside its labels."""
        asked = {}
        has_preview = self.distiller.preview is not None
        if has_preview:
            asked["sample_loss"] = _cross_entropy(logits, labels)
        if has_preview or self.distiller.asks_for(PROGRESS):
            asked["progress"] = self.progress
        if self.distiller.asks_for(SAMPLE_IDX):
            asked["sample_idx"] = _sample_idx(data_samples).to(labels.device)
        return asked

    def _run_teacher(self, inputs: Tensor) -> None:
        self.distiller.set_deliveries_override(False)
        with self.distiller.teacher_recorders, self.distiller.deliveries:
            with torch.no_grad():
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


def _sample_idx(data_samples: List[DataSample]) -> Tensor:
    places = [sample.get("sample_idx") for sample in data_samples]
    if None in places:
        raise ValueError(
            "A loss asks for sample_idx, which the data samples do not have; expected "
            "the place of each image in the training set: leave sample_idx among the "
            "meta_keys of PackInputs."
        )
    return torch.tensor(places)


def _cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    if not isinstance(logits, Tensor) or len(logits) != len(labels):
        raise TypeError(
            f"The preview found a head that gives {type(logits).__name__} for "
            f"{len(labels)} labels; expected one row of logits and one label for each "
            "image: use such a head, or set the distiller's preview to None."
        )
    return F.cross_entropy(logits.detach().float(), labels, reduction="none")
