"""Runs as jobs of Slurm, which nobody has to wait for."""

import getpass
import json
import subprocess
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence, Set

from pckd_mm.utils.files import write_whole
from pckd_mm.utils.printable import printable

from .executor import train_here
from .job import HANDED_OVER, ExperimentError
from .run import Run

try:
    import submitit
except ImportError:  # the extra "scale"
    submitit = None  # type: ignore[assignment]

__all__ = ["job_parameters", "require_ended", "submit"]

# Minutes that a job may take, and CPUs for each GPU, unless told otherwise.
MINUTES, CPUS = 24 * 60, 5
# How often a job is queued again that ran out of its time, and goes on.
AGAIN = 20


class Errand:
    """What a job does; Slurm queues it again when its time is up or it is preempted.

    Args:
        threads (int, optional): Threads of a run. Defaults to None.
    """

    def __init__(self, threads: Optional[int] = None) -> None:
        self.threads = threads

    def __call__(self, run: Run) -> None:
        """Train a run.

        Raises:
            ExperimentError: Where it did not come to its end, so that the job fails,
                and those with it that wait for it.
        """
        # It was written before the teacher was there, whose hash is in it.
        write_whole(str(run.config_file), run.text().encode())
        status = train_here(run, self.threads)
        if not run.is_finished:
            raise ExperimentError(
                f"{run} failed (exit status {status}); its log is {run.log}."
            )

    def checkpoint(self, run: Run) -> Any:
        """The same again, which goes on from the run's last checkpoint."""
        return submitit.helpers.DelayedSubmission(self, run)


def minutes(text: str) -> int:
    """A time as Slurm writes it in minutes: 90, 1:30:00, 1-12 or 2-00:00:00."""
    days, dash, rest = text.rpartition("-")
    parts = [int(part) for part in rest.split(":")]
    # Minutes stand first, unless there are hours before them, or days.
    if dash or len(parts) == 3:
        parts = [*parts, 0][:2]
    else:
        parts = [0, parts[0]]
    return 24 * 60 * int(days or 0) + 60 * parts[0] + parts[1]


def job_parameters(
    given: Mapping[str, str],
    root: Path,
    gpus: int = 1,
    jobs: Optional[int] = None,
    threads: Optional[int] = None,
) -> Dict[str, Any]:
    """What a job asks Slurm for, in submitit's names.

    Args:
        given (Mapping[str, str]): What the user asks for, by the names of sbatch's
            options.
        root (Path): The repository.
        gpus (int): GPUs of a run, on one machine. Defaults to 1.
        jobs (int, optional): Runs at a time. Defaults to None, as many as Slurm lets
            run.
        threads (int, optional): Threads of each process. Defaults to None.

    Returns:
        dict: The parameters.

    Raises:
        ExperimentError: For a time that is none.
    """
    known = submitit.SlurmExecutor._valid_parameters()
    # A list of the command line is one of sbatch's, such as partition=gpu,long.
    named = {
        name.replace("-", "_"): ",".join(map(str, value))
        if isinstance(value, (list, tuple))
        else value
        for name, value in given.items()
    }
    parameters: Dict[str, Any] = dict(
        job_name="pckd",
        time=MINUTES,
        nodes=1,
        ntasks_per_node=1,
        gpus_per_node=gpus,
        cpus_per_task=gpus * (threads or CPUS),
        setup=[f'export PYTHONPATH="{root}${{PYTHONPATH:+:$PYTHONPATH}}"'],
    )
    if jobs is not None:
        parameters["array_parallelism"] = jobs
    if "gres" in named:  # which says how many GPUs
        del parameters["gpus_per_node"]
    others = {name: value for name, value in named.items() if name not in known}
    parameters.update({name: value for name, value in named.items() if name in known})
    # A job that waits for one that failed would wait forever.
    dashed = {name.replace("_", "-"): value for name, value in others.items()}
    parameters["additional_parameters"] = {"kill-on-invalid-dep": "yes", **dashed}
    try:
        parameters["time"] = minutes(str(parameters["time"]))
    except ValueError:
        raise ExperimentError(
            f"--slurm time={parameters['time']} is no time; expected minutes, or such "
            "as 12:00:00 or 2-00:00:00."
        ) from None
    return parameters


def submit(
    runs: Sequence[Run],
    folder: Path,
    parameters: Mapping[str, Any],
    threads: Optional[int] = None,
    fresh: bool = False,
) -> List[str]:
    """Hand all runs that are left to Slurm; students wait for their teachers' jobs.

    Args:
        runs (Sequence[Run]): The runs.
        folder (Path): Where the jobs' scripts and logs are kept.
        parameters (Mapping): What a job asks for, as :func:`job_parameters` gives it.
        threads (int, optional): Threads of each process. Defaults to None.
        fresh (bool): Whether to repeat finished runs. Defaults to False.

    Returns:
        list[str]: A line for each run that is not finished.

    Raises:
        ExperimentError: Where there is no Slurm, or it refuses a job.
    """
    check_slurm()
    queued = _queued()
    ids: Dict[Optional[Run], str] = {}
    lines: List[str] = []
    rest: Dict[Optional[Run], List[Run]] = {None: []}
    jobs = {run: run.handed_over for run in runs}
    if fresh:
        for run in [run for run in runs if jobs[run] not in queued]:
            run.forget()
    for run, job in jobs.items():
        if job is not None and job in queued:
            ids[run] = job
            lines.append(f"{run}: is queued or running as job {job}")
        elif run.is_left:
            rest.setdefault(run.after if run.waits else None, []).append(run)
    # Those that wait for nothing come first, teachers among them.
    for after, group in rest.items():
        if not group:
            continue
        for run in group:
            run.prepare()
        wanted = dict(parameters)
        if after is not None:
            wanted["dependency"] = f"afterok:{ids[after]}"
        for run, job in zip(
            group, _hand_over(group, folder, wanted, threads), strict=True
        ):
            ids[run] = job
            _note(run, job)
            behind = f", after job {ids[after]}" if after is not None else ""
            lines.append(f"{run}: job {job}{behind}")
    return lines


def require_ended(runs: Sequence[Run]) -> None:
    """Refuse to train what a job of Slurm trains, or will, in the same folder.

    Args:
        runs (Sequence[Run]): Runs that were handed over and are not finished.

    Raises:
        ExperimentError: For one whose job is queued or running, and where the queue
            cannot be asked for.
    """
    try:
        queued = _queued()
    except ExperimentError:
        raise ExperimentError(
            f"{runs[0]}, for one, was handed to Slurm as job {runs[0].handed_over}, "
            "and whether that has ended cannot be asked here; expected squeue: call it "
            f"where that is. Of runs that have ended remove {HANDED_OVER} in their "
            f"folders, such as {runs[0].folder / HANDED_OVER}; there are {len(runs)}."
        ) from None
    for run in runs:
        if run.handed_over in queued:
            raise ExperimentError(
                f"{run} is queued or running as job {run.handed_over} of Slurm; "
                "expected to be trained in one place: --collect reports what is "
                "finished, and scancel ends the job."
            )


def check_slurm() -> None:
    """Refuse a machine that hands nothing to Slurm.

    Raises:
        ExperimentError: Where something is missing.
    """
    if submitit is None:
        raise ExperimentError(
            "--submit slurm needs submitit, which is not installed: pip install "
            "'pckd_mm[scale]'"
        )


def _hand_over(
    runs: Sequence[Run],
    folder: Path,
    parameters: Mapping[str, Any],
    threads: Optional[int],
) -> List[str]:
    """Make an array of jobs of runs; gives the name of each job."""
    try:
        executor = submitit.SlurmExecutor(folder.absolute(), max_num_timeout=AGAIN)
        executor.update_parameters(**parameters)
        jobs = executor.map_array(Errand(threads), runs)
    except (RuntimeError, OSError, subprocess.CalledProcessError) as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise ExperimentError(
            f"Slurm did not take the jobs ({printable(lines[-1])}); "
            "expected to be called where sbatch and srun are, and --slurm KEY=VALUE "
            "with what your cluster asks for, such as partition=gpu."
        ) from None
    return [job.job_id for job in jobs]


def _queued() -> Set[str]:
    """The user's jobs that are queued or running."""
    command = ["squeue", "--noheader", "--array", "--format=%i"]
    command += ["--user", getpass.getuser()]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise ExperimentError(
            f"--submit slurm cannot ask for the queue ({error}); expected to be called "
            "where squeue, sbatch and srun are."
        ) from None
    return set(done.stdout.split())


def _note(run: Run, job: str) -> None:
    text = json.dumps({"job": job}) + "\n"
    write_whole(str(run.folder / HANDED_OVER), text.encode())
