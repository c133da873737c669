"""From methods, pairs of networks and seeds to runs, teachers and tables."""

import shlex
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Tuple, Type

from pckd_mm.analysis import published
from pckd_mm.utils.shipped import beside_configs

from .catalogue import (
    DATASET,
    VANILLA,
    config_path,
    folder_name,
    has_config,
    method_options,
    split_method,
    student_config,
)
from .inspection import INSPECTION
from .job import ExperimentError
from .planned import Line, PlannedTable, all_jobs, all_runs
from .request import WORK_DIR, Request, added_runs, methods_by_pair
from .run import TEACHER, Run, read_config
from .teacher_test import TeacherTest


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


def teacher_of(request: Request, name: str, config: str) -> Optional[Line]:
    """The teacher of a config, trained or tested once.

    It is, in this order, the checkpoint or the config that the user named, what was
    begun in the work dir, the config's teacher_ckpt where that file is, and what is
    trained with its teacher_config.

    Args:
        request (Request): What all runs share.
        name (str): What needs it, for messages.
        config (str): Path of the config.

    Returns:
        Line, optional: The teacher; None for a config without one, and where a
        checkpoint is there and images are held out, which it has seen.

    Raises:
        ExperimentError: Where there is nothing to make it from.
    """
    return _Planner(request).teacher(name, config)


# What a line of a table is, its name among folders, config, seeds, the command that
# trains it, and what is changed in the config.
Entry = Tuple[str, str, str, Sequence[int], str, Dict[str, Any]]


class _Planner:
    """Make tables; runs of the same folder are one."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self.runs: Dict[Path, Run] = {}
        teacher = request.teacher
        self.checkpoint: Optional[Path] = None
        if teacher is not None and teacher.endswith(".pth"):
            self.checkpoint = Path(teacher)
            if not self.checkpoint.is_file():
                raise ExperimentError(
                    f"There is no teacher {teacher}; expected a checkpoint, or a "
                    "config to train it with."
                )
        self.teacher_config = None if self.checkpoint else teacher

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
        if self.teacher_config is not None:
            folder = request.work_dir / TEACHER
            run = self._run(TEACHER, self.teacher_config, 0, folder)
            teacher = Line(TEACHER, [run])
        lines = []
        for name, config in request.runs.items():
            folder = Path(folder_name(name))
            runs = self._seeds(name, config, request.seeds, folder, teacher=teacher)
            lines.append(Line(name, runs))
        return PlannedTable("", lines, teacher)

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
        labels = [entry[0] for entry in entries]
        for label, config in added.items():
            name = folder_name(label)
            if label in labels:
                raise ExperimentError(
                    f"--run {label} would be a second line of that name; expected "
                    "another name."
                )
            if name in map(folder_name, methods):
                raise ExperimentError(
                    f"--run {label} would share a folder with the method {name}; "
                    "expected another name."
                )
            entries.append((label, name, config, request.seeds, "", {}))
        lines, teachers = [], []
        for label, name, config, seeds, command, changes in entries:
            teacher = self.teacher(name, config)
            folder = Path(group, folder_name(name))
            runs = self._seeds(name, config, seeds, folder, group, teacher, changes)
            lines.append(Line(label, runs, command))
            teachers.append(teacher)
        used = dict.fromkeys(run.seed for line in lines for run in line.runs)
        seeds = request.methods.get(VANILLA) or list(used) or request.seeds
        alone = self._alone(pair, seeds)
        return PlannedTable(group, [alone, *lines], next(filter(None, teachers), None))

    def _alone(self, pair: str, seeds: Sequence[int]) -> Line:
        """The student alone, trained once for all pairs that share it."""
        config = student_config(self.request.dataset, pair)
        assert config is not None  # methods_by_pair() asks for it
        stem = config.stem
        runs = self._seeds(VANILLA, str(config), seeds, Path(VANILLA, stem), stem)
        label = f"student alone, {self._network(stem)}"
        return Line(label, runs, self._command(VANILLA, pair, seeds))

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
        after = teacher.runs[0] if teacher else None
        checkpoint = after.checkpoint if after else self.checkpoint
        if checkpoint is None:
            self._require_teacher(name, config)
        shared: Dict[str, Any] = dict(
            teacher=checkpoint, after=after, group=group, options=options or {}
        )
        folder = self.request.work_dir / folder
        return [
            self._run(name, config, seed, folder / f"seed_{seed}", **shared)
            for seed in seeds
        ]

    @staticmethod
    def _require_teacher(name: str, config: str) -> None:
        """Refuse a distillation whose teacher is not there and will not be trained."""
        own = beside_configs(read_config(config, name).model.get("teacher_ckpt") or "")
        if own and "://" not in own and not Path(own).is_file():
            raise ExperimentError(
                f"There is no teacher_ckpt {own} for {config}; expected the file, or "
                "--teacher with a checkpoint or with the config that trains it."
            )

    def _run(
        self,
        name: str,
        config: str,
        seed: int,
        folder: Path,
        kind: Type[Run] = Run,
        **more: Any,
    ) -> Run:
        if folder not in self.runs:
            settings = self.request.settings
            self.runs[folder] = kind(name, config, seed, folder, settings, **more)
        return self.runs[folder]

    def teacher(self, name: str, config: str) -> Optional[Line]:
        """The teacher of a config, see :func:`teacher_of`."""
        request, model = self.request, read_config(config, name).model
        source = self.teacher_config or model.get("teacher_config")
        if "teacher_ckpt" not in model or source is None:
            return None
        own, group = beside_configs(model.teacher_ckpt or ""), Path(source).stem
        folder = request.work_dir / "teachers" / group
        label = f"teacher, {self._network(group)}"
        trained = None
        if has_config(source):
            trained = self._run(TEACHER, source, 0, folder, group=group)
        # Once begun, the teacher stays the one that is trained here.
        begun = trained is not None and trained.config_file.is_file()
        tested = self.checkpoint
        if request.teacher is None and not begun and own and Path(own).is_file():
            tested = Path(own)
        if tested is not None and request.settings.val_share:
            return None  # it has seen the images that are held out
        if tested is not None:
            folder = folder.with_name(f"{group}_test")
            more: Dict[str, Any] = dict(tested=tested, group=group)
            test = self._run(TEACHER, source, 0, folder, TeacherTest, **more)
            return Line(label, [test], f"pckd test {source} {tested}")
        if trained is not None:
            command = ["pckd", "train", source]
            command += request.settings.amp_option()
            command += [
                "--cfg-options",
                "randomness.seed=0",
                *request.settings.option_list(),
            ]
            # What it is trained on, or how, no command line of that tool says.
            other = request.settings.val_share or request.settings.gpus_per_run > 1
            return Line(label, [trained], "" if other else shlex.join(command))
        if own and "://" in own:
            return None
        raise ExperimentError(
            f"{config}: there is neither its teacher_ckpt {own} nor its "
            f"teacher_config {source}; expected one of them."
        )

    def _network(self, stem: str) -> str:
        """The network that a config's name tells."""
        return stem.removeprefix(f"{self.request.dataset}_")

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
        command += settings.amp_option() + settings.val_option()
        command += settings.gpus_option() + settings.share_option()
        if request.settings.options:
            command += ["--cfg-options", *request.settings.option_list()]
        return shlex.join(command)
