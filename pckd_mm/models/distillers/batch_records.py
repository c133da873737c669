"""Records that are of a batch itself, and neither of the student nor of the teacher."""

from typing import Any, Dict, List, NamedTuple, Optional, Union

import torch
from mmrazor.models.task_modules import RecorderManager
from torch import Tensor

from pckd_mm.models.task_modules.staged_recorder import StagedRecorder

# Records of the batch itself, which the algorithm hands over; the last two only where
# a loss asks for them.
LABELS = "labels"
PREVIEW = "preview"
PROGRESS = "progress"
SAMPLE_IDX = "sample_idx"
RECORDS = (LABELS, PREVIEW, PROGRESS, SAMPLE_IDX)
# Those of them that are of instances.
OF_INSTANCES = (LABELS, PREVIEW, SAMPLE_IDX)


class InstanceBatch(NamedTuple):
    """Instances that are compared with each other, such as those of a stage."""

    records: Dict[str, Any]  # by the names above
    foreground: Union[Tensor, slice, None]  # rows of the foreground's instances
    compared: int  # those of them, the first, that the preview weighted
    loss_weight: float  # what their losses are multiplied by
    stage: int  # of a cascade


class InstanceBatches:
    """The batches of instances of a step, and records that are of one of them.

    Args:
        student (RecorderManager): The student's recorders, those of the batch too.
        teacher (RecorderManager): The teacher's.
    """

    def __init__(self, student: RecorderManager, teacher: RecorderManager) -> None:
        self.student = student
        self.teacher = teacher
        self.batches: List[InstanceBatch] = []
        self.foreground: Union[Tensor, slice, None] = None

    def add(self, batch: InstanceBatch) -> None:
        """Take one more, and let records be its own."""
        self.batches.append(batch)
        self.turn_to(batch)

    def turn_to(self, batch: InstanceBatch) -> None:
        """Let records be those of one batch of instances."""
        self.foreground = batch.foreground
        for name, value in batch.records.items():
            self.student.get_recorder(name).record(value)
        for manager in (self.student, self.teacher):
            for recorder in manager.recorders.values():
                if isinstance(recorder, StagedRecorder):
                    recorder.stage = batch.stage

    def clear(self) -> None:
        """Forget them."""
        self.batches = []
        self.foreground = None

    @property
    def is_plain(self) -> bool:
        """bool: Whether there is one at most, whose losses count as they are."""
        return [batch.loss_weight for batch in self.batches] in ([], [1.0])

    def has_own(self, mapping: Dict[str, dict]) -> bool:
        """Whether a loss takes what each batch of instances has of its own.

        Args:
            mapping (dict[str, dict]): Which record each argument of the loss is.
        """
        for taken in mapping.values():
            of_student = taken["from_student"]
            manager = self.student if of_student else self.teacher
            if isinstance(manager.get_recorder(taken["recorder"]), StagedRecorder):
                return True
            if of_student and taken["recorder"] in OF_INSTANCES:
                return True
        return False

    @property
    def images(self) -> Optional[int]:
        """int: How many instances the last batch has; None where nothing says it."""
        records = self.batches[-1].records if self.batches else {}
        known = (records.get(name) for name in (LABELS, PREVIEW))
        return next((len(rows) for rows in known if rows is not None), None)

    @property
    def preview_weights(self) -> Optional[Tensor]:
        """Tensor: What a preview gave, of all batches; None without a batch."""
        weights = [b.records[PREVIEW][: b.compared] for b in self.batches]
        return torch.cat(weights) if weights else None
