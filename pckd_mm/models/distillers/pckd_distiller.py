"""From records of student and teacher to the losses of PCKD.

Above 300 lines, since a third of them say what can be written in a config.
"""

from inspect import signature
from typing import Any, Dict, List, Mapping, Optional, Union

import torch
from mmengine.utils import apply_to
from mmrazor.models.distillers import ConfigurableDistiller
from mmrazor.models.task_modules import RecorderManager
from torch import Tensor, nn

from pckd_mm.registry import MODELS, TASK_UTILS
from pckd_mm.utils.processes import process_scope

from .batch_records import (
    LABELS,
    PREVIEW,
    PROGRESS,
    RECORDS,
    SAMPLE_IDX,
    InstanceBatch,
    InstanceBatches,
)
from .distiller_config import (
    Config,
    check_losses,
    scoped,
    used_connectors,
)
from .hooked_recorders import HookedRecorders
from .mappings import check_mappings, used_mappings
from .record_rows import check_view, rows_of_view, take_rows


def _is_of_inference_mode(value: Any) -> bool:
    return isinstance(value, Tensor) and value.is_inference()


@MODELS.register_module()
class PCKDDistiller(ConfigurableDistiller):
    """MMRazor's configurable distiller with PCKD's preview of hard images.

    Recorders, connectors, losses and their mappings are written as for
    :class:`mmrazor.models.ConfigurableDistiller`, and MMRazor's mix freely with
    PCKD's. In addition

    - a mapping may take one view of each image: ``view=0`` is the upright one, and what
      is of the image itself, such as its label, is that of each view; or only the
      foreground instances of a detector: ``foreground=True``;
    - four more student records are there for every loss: ``labels``, the labels of the
      images, shape (B,), ``preview``, their preview weights, shape (B,), ``progress``,
      the share of the training done, in (0, 1], and ``sample_idx``, the places of the
      images in the training set, shape (B,);
    - a connector's ``*_channels`` may be ``'student'`` or ``'teacher'``, the width of
      that one's feature (``'student_place'`` that of a place of a map, where the
      feature is a patch), and its ``*_shape`` the shape of a record, such as
      ``'teacher.stages.1'``;
    - a loss, recorder, connector or argument of a mapping set to None is left out (a
      loss with its mapping), so that a config can drop one of its base's, and so is a
      connector that no mapping uses.

    Records are released as soon as the losses are computed.

    Args:
        preview (dict, optional): Config of the preview strategy; None gives every
            image weight 1. Defaults to ``dict(type='PreviewStrategy')``.
        student_recorders (dict[str, dict], optional): Recorders of the student.
        teacher_recorders (dict[str, dict], optional): Recorders of the teacher.
        connectors (dict[str, dict], optional): Connectors.
        distill_losses (dict[str, dict], optional): Losses.
        loss_forward_mappings (dict[str, dict], optional): Which records, through
            which connectors, each argument of each loss is.
        across_processes (bool): Whether preview and PCKD's losses take the batch of all
            processes as one, so that it does not matter how many there are; else each
            takes its own. Defaults to True.
        **kwargs: Further arguments of ``ConfigurableDistiller``.

    Raises:
        ValueError: For a loss without mapping, a mapping without loss, or a mapping
            that leaves out an argument that the loss needs, or asks for what is not
            there.
    """

    def __init__(
        self,
        preview: Optional[dict] = dict(type="PreviewStrategy"),  # noqa: B006
        student_recorders: Optional[Dict[str, dict]] = None,
        teacher_recorders: Optional[Dict[str, dict]] = None,
        connectors: Optional[Dict[str, Config]] = None,
        distill_losses: Optional[Dict[str, dict]] = None,
        loss_forward_mappings: Optional[Dict[str, dict]] = None,
        across_processes: bool = True,
        **kwargs: Any,
    ) -> None:
        recorder = (TASK_UTILS, "Recorder")
        batch = {name: dict(type="pckd_mm.Batch", source=name) for name in RECORDS}
        mappings = used_mappings(distill_losses, loss_forward_mappings)
        connectors = used_connectors(
            dict(
                connectors=connectors,
                distill_losses=distill_losses,
                loss_forward_mappings=loss_forward_mappings,
            )
        )
        super().__init__(
            student_recorders={
                **scoped(student_recorders, *recorder),
                **batch,
            },
            teacher_recorders=scoped(teacher_recorders, *recorder),
            connectors=scoped(connectors, MODELS),
            distill_losses=scoped(distill_losses, MODELS),
            loss_forward_mappings=mappings,
            **kwargs,
        )
        check_losses(self.distill_losses, self.loss_forward_mappings)
        self.preview = None
        if preview is not None:
            self.preview = TASK_UTILS.build(preview)
        self.across_processes = across_processes
        self.num_views = 1
        # Batches of instances that are handed over, each compared within itself.
        self._batches = InstanceBatches(self.student_recorders, self.teacher_recorders)
        self._of_student = HookedRecorders("student", self.student_recorders)
        self._of_teacher = HookedRecorders("teacher", self.teacher_recorders)

    def _check_loss_forward_mappings(
        self,
        losses: Mapping[str, nn.Module],
        mappings: Dict[str, Dict[str, dict]],
        student: RecorderManager,
        teacher: RecorderManager,
    ) -> None:
        """Refuse mappings of what is not there, in place of MMRazor's assertions."""
        recorders = (student.recorders, teacher.recorders)
        settings = signature(self.get_record).parameters
        check_mappings(losses, mappings, *recorders, self.connectors, settings)

    def check_views(self, num_views: int) -> None:
        """Refuse mappings of views that images do not have.

        Args:
            num_views (int): Views of each image.

        Raises:
            ValueError: Names the recorder.
        """
        for taken in self._taken:
            if taken.get("view") is not None:
                check_view(taken["recorder"], taken["view"], num_views)

    def prepare_from_student(self, model: nn.Module) -> None:
        """Hook the recorders to the student; again where its modules were replaced."""
        self._of_student.hook(model)

    def prepare_from_teacher(self, model: nn.Module) -> None:
        """Hook the recorders to the teacher."""
        self._of_teacher.hook(model)

    @property
    def is_hooked(self) -> bool:
        """bool: Whether the recorders listen to networks; a copy's do not yet."""
        return self._of_student.is_hooked and self._of_teacher.is_hooked

    def release(self, student: nn.Module, teacher: nn.Module) -> None:
        """Take the recorders' hooks off the networks.

        Args:
            student (nn.Module): The student.
            teacher (nn.Module): The teacher.
        """
        self._of_student.release(student)
        self._of_teacher.release(teacher)

    def asks_for(self, record: str) -> bool:
        """Whether a loss takes a record of the batch, such as ``progress``."""
        return any(
            taken["recorder"] == record and taken["from_student"]
            for taken in self._taken
        )

    @property
    def asks_for_foreground(self) -> bool:
        """bool: Whether a loss takes the foreground instances only."""
        return any(taken.get("foreground", False) for taken in self._taken)

    @property
    def _taken(self) -> List[dict]:
        """What losses take, as it is in their mappings."""
        mappings = self.loss_forward_mappings.values()
        return [taken for mapping in mappings for taken in mapping.values()]

    def taken(self, source: str, from_student: bool) -> List[dict]:
        """What losses take of the recorders of a source.

        Args:
            source (str): It.
            from_student (bool): Whether of the student's recorders.

        Returns:
            list[dict]: Entries of the losses' mappings.
        """
        manager = self.student_recorders if from_student else self.teacher_recorders
        return [
            taken
            for taken in self._taken
            if taken["from_student"] is from_student
            and manager.get_recorder(taken["recorder"]).source == source
        ]

    def record_batch(
        self,
        labels: Tensor,
        num_views: int,
        sample_loss: Optional[Tensor] = None,
        progress: Optional[float] = None,
        sample_idx: Optional[Tensor] = None,
        foreground: Union[Tensor, slice, None] = None,
        loss_weight: float = 1.0,
        stage: int = 0,
    ) -> None:
        """Take what the losses need to know of the batch.

        Called several times in a step, as for the stages of a cascade, it takes several
        batches of instances. Losses of instances are computed of each, and added up.

        Args:
            labels (Tensor): Labels of the images, shape (B,).
            num_views (int): Rows that records hold for each image.
            sample_loss (Tensor, optional): Cross-entropy of the student on each
                upright view, shape (B,), or of the first of the images only: those
                behind them have no part in the preview, and weight 1. Needed for a
                preview.
            progress (float, optional): Share of the training done, in (0, 1]; needed
                for a preview and for losses that ask for it.
            sample_idx (Tensor, optional): Places of the images in the training set,
                shape (B,); needed for losses that ask for it.
            foreground (Tensor | slice, optional): Indices of the rows that mappings
                with ``foreground=True`` take; needed for these.
            loss_weight (float): What the losses of these instances are multiplied by.
                Defaults to 1.
            stage (int): Which stage of a cascade they are of. Defaults to 0.
        """
        self.num_views = num_views
        weight, compared = None, 0
        if self.preview is not None:
            with process_scope(self.across_processes):
                weight = self.preview.weight(sample_loss, progress)
            compared = len(weight)
            behind = 0 if labels is None else len(labels) - compared
            if behind:
                weight = torch.cat([weight, weight.new_ones(behind)])
        records = {
            LABELS: labels,
            PREVIEW: weight,
            PROGRESS: progress,
            SAMPLE_IDX: sample_idx,
        }
        self._batches.add(
            InstanceBatch(records, foreground, compared, loss_weight, stage)
        )

    def compute_distill_losses(self) -> Dict[str, Tensor]:
        """Compute all losses of the recorded batches.

        Returns:
            dict[str, Tensor]: Scalars by name.
        """
        try:
            with process_scope(self.across_processes):
                if self._batches.is_plain:
                    return super().compute_distill_losses()
                return self._losses_of_batches()
        finally:
            # Of the preview weights, those that a preview gave.
            if self.preview is not None and self._batches.batches:
                self._record_preview(self._batches.preview_weights)
            self._batches.clear()

    def _losses_of_batches(self) -> Dict[str, Tensor]:
        """Losses of several batches of instances, and once those of anything else."""
        losses: Dict[str, Tensor] = {}
        for index, batch in enumerate(self._batches.batches):
            self._batches.turn_to(batch)
            for name, mapping in self.loss_forward_mappings.items():
                is_weighted = self._batches.has_own(mapping)
                if index and not is_weighted:
                    continue
                taken = {k: self.get_record(**record) for k, record in mapping.items()}
                loss = self.distill_losses[name](**taken)
                if is_weighted:
                    loss = batch.loss_weight * loss
                losses[name] = losses[name] + loss if name in losses else loss
        return losses

    @property
    def preview_weight(self) -> Optional[Tensor]:
        """Tensor: Preview weights of the last batch, shape (B,); None without."""
        records = self.student_recorders.get_recorder(PREVIEW).data_buffer
        return records[0] if records else None

    def get_record(
        self,
        recorder: str,
        from_student: bool,
        record_idx: int = 0,
        data_idx: Optional[int] = None,
        connector: Optional[str] = None,
        connector_idx: Optional[int] = None,
        view: Optional[int] = None,
        foreground: bool = False,
    ) -> Any:
        """Look up a record.

        Args:
            recorder (str): Name of the recorder.
            from_student (bool): Whether it is one of the student's.
            record_idx (int): Which call of its source. Defaults to 0.
            data_idx (int, optional): Which entry of a record that is a tuple.
            connector (str, optional): Connector to pass it through.
            connector_idx (int, optional): Which entry of what the connector gives.
            view (int, optional): Which view of each image; None for all of them.
            foreground (bool): Whether to take the foreground instances only. Defaults
                to False.

        Returns:
            Any: The record.

        Raises:
            RuntimeError: Names the source that was not called, or the record of which
                the foreground is not known.
            ValueError: For a view that is not there, and of rows that are no views.
        """
        of_network = self._of_student if from_student else self._of_teacher
        of_network.require_call(recorder, record_idx)
        record = super().get_record(recorder, from_student, record_idx, data_idx)
        if view is not None and not (from_student and recorder in RECORDS):
            views = (view, self.num_views, self._batches.images)
            record = rows_of_view(recorder, record, *views)
        if foreground:
            record = self._foreground_of(recorder, record)
        # What the teacher made in inference mode can have no part in a gradient.
        record = apply_to(record, _is_of_inference_mode, Tensor.clone)
        if connector is not None:
            record = self.connectors[connector](record)
        if connector_idx is not None:
            record = record[connector_idx]
        return record

    def _foreground_of(self, recorder: str, record: Any) -> Any:
        foreground = self._batches.foreground
        if foreground is None:
            raise RuntimeError(
                f"A mapping asks for the foreground of {recorder}, which an algorithm "
                "without instances does not know; expected one for detectors, such as "
                "RoIDistill: remove foreground=True from loss_forward_mappings."
            )
        return take_rows(record, foreground)

    def forget_preview(self) -> None:
        """Let go of the preview weights too: no batch is weighted any more."""
        self._record_preview(None)

    def release_records(self) -> None:
        """Let go of all records but the preview weights, and of the graph with them."""
        self._batches.clear()
        weight = self.preview_weight
        for manager in (self.student_recorders, self.teacher_recorders):
            for recorder in manager.recorders.values():
                recorder.reset_data_buffer()
        self._record_preview(weight)

    def _record_preview(self, weights: Optional[Tensor]) -> None:
        self.student_recorders.get_recorder(PREVIEW).record(weights)
