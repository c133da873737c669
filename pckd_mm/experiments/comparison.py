"""A comparison from its plan to its report."""

import importlib.util
import shlex
from typing import Any, Callable, Dict, Optional, Sequence, Tuple

from pckd_mm.analysis import Picture, write_report
from pckd_mm.utils.files import WriteError
from pckd_mm.utils.precision import NO_BFLOAT16

from .buildable import check_buildable
from .executor import Executor, LocalExecutor
from .facts import made_with_together
from .job import ExperimentError, Job
from .lock import alone_in
from .plan import make_plan
from .planned import PlannedTable, all_jobs, all_runs, left_of
from .request import Request
from .run import Run
from .scheduler import Scheduler
from .sharing import Sharing
from .teacher_test import TeacherTest

Appendix = Callable[[Sequence[PlannedTable]], Sequence[Picture]]


def compare(
    request: Request,
    title: str,
    notes: Sequence[str] = (),
    command: str = "",
    executor: Optional[Executor] = None,
    fresh: bool = False,
    appendix: Optional[Appendix] = None,
) -> Tuple[str, Dict[str, str]]:
    """Train all runs and write the report, anew after each run.

    Args:
        request (Request): What is to be compared.
        title (str): Headline of the report.
        notes (Sequence[str]): Paragraphs of the report that explain it.
        command (str): What was called, for the report.
        executor (Executor, optional): What trains the runs. Defaults to None: nothing
            is trained, and the report is of what is finished.
        fresh (bool): Whether to repeat finished runs.
        appendix (callable, optional): Called with the tables when no run is left to
            train, if any is finished; gives further pictures of the report.

    Returns:
        tuple[str, dict[str, str]]: The tables, empty where no run is finished; the
        runs that failed, with the end of their logs.

    Raises:
        ExperimentError: Where something is missing, or a run that is left cannot be
            built, or says what nothing takes.
        WriteError: Where the report cannot be written in the end.
    """
    if importlib.util.find_spec("matplotlib") is None:
        raise ExperimentError(
            "The report's pictures need matplotlib, which is not installed: pip "
            "install matplotlib"
        )
    plan = make_plan(request)
    runs, work = all_runs(plan), all_jobs(plan)

    def report(job: Optional[Job] = None, ended: bool = False) -> str:
        done = [other.note() for other in runs if not other.is_left]
        if not done:
            return ""
        settings = request.settings
        facts: Dict[str, Any] = {"command": command, **made_with_together(done)}
        if settings.gpus_per_run > 1:
            facts["gpus_per_run"] = settings.gpus_per_run
        if settings.share_teacher:
            facts["share_teacher"] = settings.share_teacher
        if words := settings.speed.beside_precision():
            facts["speed"] = ", ".join(words)
        if settings.options:
            facts["options"] = shlex.join(settings.option_list())
        renewed = None
        if job is not None:
            renewed = [table.name for table in plan if job in all_jobs([table])]
        tables = [table.table() for table in plan]
        more = appendix(plan) if ended and appendix is not None else ()
        folder = request.work_dir
        return write_report(folder, title, tables, notes, facts, renewed, more)

    def renew(job: Job) -> None:
        try:
            report(job)
        except WriteError as error:  # no reason to stop those that train
            print(f"{error}; the report is written after the next run.", flush=True)

    if executor is None:
        done = sum(not run.is_left for run in runs)
        print(f"{done} of {len(runs)} runs are finished, in {request.work_dir}")
        return report(ended=True), {}
    with alone_in(request.work_dir):
        left = left_of(runs, fresh)
        handed = [run for run in left if run.handed_over and not run.is_finished]
        if handed:
            from .slurm import require_ended  # its library is not needed otherwise

            require_ended(handed)
        check_buildable(left)
        failures = _train(request, runs, work, executor, fresh, renew)
        return report(ended=True), failures


def _train(
    request: Request,
    runs: Sequence[Run],
    work: Sequence[Job],
    executor: Executor,
    fresh: bool,
    report: Callable[[Job], object],
) -> Dict[str, str]:
    """Train what is left, and say where; returns the runs that failed."""
    places = executor.places
    devices = ", ".join(dict.fromkeys(map(str, places)))
    at_a_time = f"{len(places)} at a time on {devices}"
    share = request.settings.share_teacher
    if share:
        at_a_time += f", up to {share} students at one pass of their teacher"
    print(f"{len(work)} runs, {at_a_time}, in {request.work_dir}", flush=True)
    # Of other machines nobody knows it here.
    if request.settings.speed.amp is not None and isinstance(executor, LocalExecutor):
        _say_where_it_stays_float32(runs)
    sharing = Sharing(share) if share else None
    return Scheduler(work, executor, fresh, report, sharing).train()


def _say_where_it_stays_float32(runs: Sequence[Run]) -> None:
    """Say that mixed precision is not to be had, before anything is trained."""
    training = [run for run in runs if not isinstance(run, TeacherTest)]
    found = {run.precision() for run in training if not run.is_finished}
    if found == {"float32"}:
        print(f"The runs stay in float32: {NO_BFLOAT16}.", flush=True)
