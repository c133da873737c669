"""One pass of a teacher for the students of several processes."""

import contextlib
from typing import Any, Callable, Dict, Iterator, NamedTuple, Sequence

from mmengine.utils import apply_to
from mmrazor.models.task_modules import RecorderManager
from torch import Tensor
from torch.utils.data import DataLoader

from pckd_mm.models import MultiViewDistill
from pckd_mm.models.data_preprocessors.ready_batch import ReadyBatch, first_views
from pckd_mm.models.data_preprocessors.teacher_inputs import ragged_sizes
from pckd_mm.models.distillers.given_records import records_of_calls
from pckd_mm.utils.handout import Taker

__all__ = ["VIEWS", "SharedLoader", "Student", "TeacherPass"]

# Views that are made of each image, whoever takes how many of them: what is drawn for
# a view does not depend on the students that are there.
VIEWS = 4


class Student(NamedTuple):
    """What a student takes of a teacher's pass.

    Attributes:
        num_views (int): Views of each image.
        recorders (RecorderManager): Hooked to the teacher that is run.
    """

    num_views: int
    recorders: RecorderManager

    @classmethod
    def of(cls, student: MultiViewDistill, teacher_of: MultiViewDistill) -> "Student":
        """What an algorithm takes of the pass of another one's teacher.

        Args:
            student (MultiViewDistill): The algorithm, which is not needed any more.
            teacher_of (MultiViewDistill): That whose teacher is run.

        Returns:
            Student: The student.
        """
        student.distiller.prepare_from_teacher(teacher_of.teacher)
        num_views = getattr(student.data_preprocessor, "num_views", 1)
        return cls(num_views, student.distiller.teacher_recorders)


class TeacherPass:
    """Views of a batch and what a teacher makes of them, for several students.

    Args:
        model (MultiViewDistill): Whose preprocessor and teacher are run.
        students (Sequence[Student]): Who takes what of it.
    """

    def __init__(self, model: MultiViewDistill, students: Sequence[Student]) -> None:
        self.model = model
        self.students = list(students)

    def run(self, batch: dict, wanting: Sequence[int]) -> Dict[int, ReadyBatch]:
        """Make the views of a batch and run the teacher.

        Args:
            batch (dict): What the data loader gives.
            wanting (Sequence[int]): Which students want it.

        Returns:
            dict[int, ReadyBatch]: The batch for each of them.
        """
        self.model.data_preprocessor.num_views = VIEWS
        data = self.model.data_preprocessor(batch, True)
        inputs, samples = data["inputs"], data["data_samples"]
        # Of all students, since the numbers may depend on the size of a batch.
        seen = max(student.num_views for student in self.students)
        views = first_views(inputs, VIEWS, seen)
        with contextlib.ExitStack() as stack:
            for student in self.students:
                stack.enter_context(student.recorders)
            self.model.run_teacher(views, ragged_sizes(samples, views))
        self.model.distiller.release_records()
        rows, kept, given = len(views), {}, {}

        def part(taken: int, record: Tensor) -> Tensor:
            """Rows for a student, once for all that have the record in common."""
            key = (id(record), taken)
            if key not in kept:
                whole = taken == seen or record.ndim == 0 or len(record) != rows
                # What a compiled teacher gave is overwritten by its next pass.
                own = record.clone() if whole else first_views(record, seen, taken)
                kept[key] = own.contiguous()
            return kept[key]

        # Channels last may be what the teacher takes; a student lays its own.
        batches = {}
        for number in wanting:
            taken, recorders = self.students[number]
            if taken not in given:
                given[taken] = first_views(inputs, VIEWS, taken).contiguous()
            records = apply_to(
                records_of_calls(recorders),
                lambda value: isinstance(value, Tensor),
                lambda record, taken=taken: part(taken, record),
            )
            batches[number] = ReadyBatch(given[taken], samples, records)
        for student in self.students:
            for recorder in student.recorders.recorders.values():
                recorder.reset_data_buffer()
        return batches


class SharedLoader:
    """A data loader whose batches come from another process.

    Args:
        loader (DataLoader): That which they would come from; what is asked of it but
            its batches is the same.
        taker (Taker): The connection to the other process.
        epoch (Callable): Gives the epoch, counted from 0.
    """

    def __init__(
        self, loader: DataLoader, taker: Taker, epoch: Callable[[], int]
    ) -> None:
        self._loader, self._taker, self._epoch = loader, taker, epoch

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def __len__(self) -> int:
        return len(self._loader)

    def __iter__(self) -> Iterator[ReadyBatch]:
        for iteration in range(len(self)):
            batch = self._taker.take((self._epoch(), iteration))
            # What is in shared memory is everyone's, and a step may write into it.
            yield batch.clone()
