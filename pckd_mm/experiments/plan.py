"""From methods, pairs of networks and seeds to runs, teachers and tables."""

import shlex
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Tuple

from pckd_mm.analysis import published
from pckd_mm.utils.files import file_name

from .catalogue import (
    DATASET,
    VANILLA,
    config_path,
    method_options,
    split_method,
    student_config,
)
from .inspection import INSPECTION
from .job import ExperimentError
from .planned import Line, PlannedTable, all_jobs, all_runs
from .request import WORK_DIR, Request, added_runs, methods_by_pair
from .run import TEACHER, Run
from .teachers import Teachers


def make_plan(request: Request) -> List[PlannedTable]:
    """Make the tables that are asked for; nothing is written.

    Args:
        request (Request): What is to be compared.

    Returns:
        list[PlannedTable]: The tables; what they share is one :class:`Run`.

    Raises:
        ExperimentError: Where a config or a checkpoint is missing, a folder is not of
            this tool, or the configs are measured by different metrics.
    """
    tables = _Planner(request).tables()
    if request.inspect:
        folders = [request.work_dir / table.name / INSPECTION for table in tables]
        tables = [
            table.inspected_by(request.settings, folder)
            for table, folder in zip(tables, folders, strict=True)
        ]
    runs = all_runs(tables)
    for job in all_jobs(tables):
        job.check_folder()
    for run in runs:
        if run.metric != runs[0].metric:
            raise ExperimentError(
                f"{runs[0].config} is measured by {runs[0].metric.name}, {run.config} "
                f"by {run.metric.name}; expected one metric: compare them apart."
            )
    return tables


# What a line of a table is, its name among folders, config, seeds, the command that
# trains it, and what is changed in the config.
Entry = Tuple[str, str, str, Sequence[int], str, Dict[str, Any]]


class _Planner:
    """Make tables; runs of the same folder are one."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self.runs: Dict[Path, Run] = {}
        self.teachers = Teachers(request)

    def tables(self) -> List[PlannedTable]:
        if not self.request.methods:
            return [self._table_of_runs()]
        methods = methods_by_pair(self.request)
        added = added_runs(self.request, list(methods))
        return [
            self._table_of_pair(pair, of_pair, added[pair])
            for pair, of_pair in methods.items()
        ]

    def _table_of_runs(self) -> PlannedTable:
        """The only table, of the runs that are named one by one."""
        request, teacher = self.request, None
        if self.teachers.config is not None:
            folder = request.work_dir / TEACHER
            run = self._run(TEACHER, self.teachers.config, 0, folder)
            teacher = Line(TEACHER, [run])
        elif request.teacher_test is not None:
            teacher = self.teachers.test_with(request.teacher_test)
        lines = []
        for name, config in request.runs.items():
            folder = Path(file_name(name))
            runs = self._seeds(name, config, request.seeds, folder, teacher=teacher)
            lines.append(Line(name, runs))
        return PlannedTable("", lines, [teacher] if teacher else [])

    def _table_of_pair(
        self, pair: str, methods: Dict[str, Sequence[int]], added: Dict[str, str]
    ) -> PlannedTable:
        """The student alone, the methods and the added runs of a pair."""
        request = self.request
        group = f"{request.dataset}_{pair}"
        entries: List[Entry] = []
        for method, seeds in methods.items():
            of_method, options = split_method(method)
            label = ", ".join([published.METHODS.get(of_method, of_method), *options])
            command = self._command(method, pair, seeds)
            config = str(config_path(of_method, group))
            changes = method_options(method, config)
            entries.append((label, method, config, seeds, command, changes))
        labels = [self._label_alone(pair), *(entry[0] for entry in entries)]
        for label, config in added.items():
            name = file_name(label)
            if label in labels:
                raise ExperimentError(
                    f"--run {label} would be a second line of that name; expected "
                    "another name."
                )
            if name in map(file_name, methods):
                raise ExperimentError(
                    f"--run {label} would share a folder with the method {name}; "
                    "expected another name."
                )
            entries.append((label, name, config, request.seeds, "", {}))
        lines: List[Line] = []
        teachers: Dict[Run, Line] = {}
        for label, name, config, seeds, command, changes in entries:
            teacher = self.teachers.of(name, config, changes)
            if teacher is not None:
                teachers.setdefault(teacher.runs[0], teacher)
            folder = Path(group, file_name(name))
            runs = self._seeds(name, config, seeds, folder, group, teacher, changes)
            lines.append(Line(label, runs, command))
        used = dict.fromkeys(run.seed for line in lines for run in line.runs)
        seeds = request.methods.get(VANILLA) or list(used) or request.seeds
        alone = self._alone(pair, seeds)
        lines = [alone, *lines]
        _tell_apart(list(teachers.values()), lines)
        return PlannedTable(group, lines, list(teachers.values()))

    def _alone(self, pair: str, seeds: Sequence[int]) -> Line:
        """The student alone, trained once for all pairs that share it."""
        config = self._student(pair)
        stem = config.stem
        runs = self._seeds(VANILLA, str(config), seeds, Path(VANILLA, stem), stem)
        return Line(self._label_alone(pair), runs, self._command(VANILLA, pair, seeds))

    def _label_alone(self, pair: str) -> str:
        """What the line of the student alone is called."""
        return f"student alone, {self.request.network(self._student(pair).stem)}"

    def _student(self, pair: str) -> Path:
        """The config of the student alone."""
        config = student_config(self.request.dataset, pair)
        assert config is not None  # methods_by_pair() asks for it
        return config

    def _seeds(
        self,
        name: str,
        config: str,
        seeds: Sequence[int],
        folder: Path,
        group: str = "",
        teacher: Optional[Line] = None,
        options: Optional[Dict[str, Any]] = None,
    ) -> List[Run]:
        """A run for each seed, with the teacher of a line."""
        after, options = teacher.runs[0] if teacher else None, options or {}
        checkpoint = after.checkpoint if after else self.teachers.checkpoint
        if checkpoint is None:
            self.teachers.require(name, config, options)
        shared: Dict[str, Any] = dict(
            teacher=checkpoint, after=after, group=group, options=options
        )
        folder = self.request.work_dir / folder
        return [
            self._run(name, config, seed, folder / f"seed_{seed}", **shared)
            for seed in seeds
        ]

    def _run(
        self,
        name: str,
        config: str,
        seed: int,
        folder: Path,
        **more: Any,
    ) -> Run:
        if folder not in self.runs:
            settings = self.request.settings
            self.runs[folder] = Run(name, config, seed, folder, settings, **more)
        return self.runs[folder]

    def _command(self, method: str, pair: str, seeds: Sequence[int]) -> str:
        """What trains one line of a table, and what it needs."""
        request = self.request
        command = ["pckd", "compare", "--methods", method, "--pairs", pair]
        command += ["--seeds", *map(str, seeds)]
        if request.dataset != DATASET:
            command += ["--dataset", request.dataset]
        if request.teacher is not None:
            command += ["--teacher", request.teacher]
        if request.work_dir != WORK_DIR:
            command += ["--work-dir", str(request.work_dir)]
        settings = request.settings
        command += settings.speed_option() + settings.val_option()
        command += settings.gpus_option() + settings.share_option()
        command += settings.broken_option()
        if request.settings.options:
            command += ["--cfg-options", *request.settings.option_list()]
        return shlex.join(command)


def _tell_apart(teachers: Sequence[Line], lines: Sequence[Line]) -> None:
    """Add the checkpoint to a teacher's name that another line has too."""
    names = {line.name for line in lines}
    for line in teachers:
        if line.name in names:
            line.name += f" ({line.runs[0].checkpoint})"
        names.add(line.name)
