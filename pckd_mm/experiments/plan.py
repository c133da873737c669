"""From methods, pairs of networks and seeds to runs, teachers and tables."""

import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence

from pckd_mm.analysis import published
from pckd_mm.utils.shipped import beside_configs

from .catalogue import (
    CONFIGS,
    DATASET,
    VANILLA,
    all_methods,
    config_path,
    folder_name,
    has_config,
    has_method,
    method_options,
    pairs_of,
    split_method,
    student_config,
)
from .inspection import INSPECTION
from .job import ExperimentError, Settings
from .planned import Line, PlannedTable, all_jobs, all_runs
from .run import TEACHER, Run, TeacherTest, read_config

WORK_DIR = Path("work_dirs/compare")


@dataclass
class Request:
    """What is to be compared.

    Args:
        settings (Settings): What all runs share.
        methods (dict[str, list[int] | None]): Folders of configs/, with options as
            :func:`method_options` reads them, or 'all' (others than those named), each
            with seeds of its own or None.
        pairs (Sequence[str]): Pairs of networks as in the configs' names, or 'all'.
        runs (dict[str, str]): Further runs: their names and configs.
        teacher (str, optional): Config to train the teacher with, once, or its
            checkpoint (*.pth); None for that of each config.
        seeds (Sequence[int]): Seeds of what has none of its own.
        dataset (str): What the configs' names begin with.
        work_dir (Path): Folder of all runs.
        inspect (bool): Whether to look into the networks of each table.
    """

    settings: Settings
    methods: Dict[str, Optional[List[int]]] = field(default_factory=dict)
    pairs: Sequence[str] = ()
    runs: Dict[str, str] = field(default_factory=dict)
    teacher: Optional[str] = None
    seeds: Sequence[int] = (0,)
    dataset: str = DATASET
    work_dir: Path = WORK_DIR
    inspect: bool = False


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
        methods_by_pair = self._methods_by_pair()
        added = self._added_runs(list(methods_by_pair))
        return [
            self._table_of_pair(pair, methods, added[pair])
            for pair, methods in methods_by_pair.items()
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
        entries = []
        for method, seeds in methods.items():
            folder, options = split_method(method)
            label = ", ".join([published.METHODS.get(folder, folder), *options])
            command = self._command(method, pair, seeds)
            config = str(config_path(folder, group))
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
        shared = dict(teacher=checkpoint, after=after, group=group)
        shared["options"] = options or {}
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
        self, name: str, config: str, seed: int, folder: Path, kind=Run, **more
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
            more = dict(kind=TeacherTest, tested=tested, group=group)
            test = self._run(TEACHER, source, 0, folder, **more)
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

    def _methods_by_pair(self) -> Dict[str, Dict[str, Sequence[int]]]:
        """Seeds of each method of each pair."""
        request, dataset = self.request, self.request.dataset
        seeds_of = self._seeds_of_methods()
        pairs = [pair for pair in request.pairs if pair != "all"]
        if "all" in request.pairs:
            for method in seeds_of or all_methods(dataset):
                pairs += pairs_of(method, dataset)
        result: Dict[str, Dict[str, Sequence[int]]] = {}
        for pair in dict.fromkeys(pairs):
            if student_config(dataset, pair) is None:
                expected = config_path(VANILLA, f"{dataset}_STUDENT")
                raise ExperimentError(
                    f"The pair {pair} has no config of its student alone; expected "
                    f"TEACHER_STUDENT with a {expected}."
                )
            result[pair] = {}
            for method, seeds in seeds_of.items():
                path = config_path(split_method(method)[0], f"{dataset}_{pair}")
                if has_config(path):
                    result[pair][method] = seeds
                elif method in request.methods and pair in request.pairs:
                    raise ExperimentError(
                        f"There is no config {path}; expected a file."
                    )
        return result

    def _seeds_of_methods(self) -> Dict[str, Sequence[int]]:
        """Seeds of the methods that are named, and of all others where asked for."""
        request = self.request
        methods = {m: seeds or request.seeds for m, seeds in request.methods.items()}
        methods.pop(VANILLA, None)
        seeds_of_others = methods.pop("all", None)
        everything = all_methods(request.dataset)
        for method in methods:
            name, _ = split_method(method)
            if name in (VANILLA, "all"):
                raise ExperimentError(
                    f"{method}: settings of its own are for a method; expected --run "
                    "NAME=CONFIG for another student alone, or --cfg-options for all."
                )
            if not has_method(name):
                raise ExperimentError(
                    f"There is no folder {CONFIGS / name}; expected a method of "
                    f"{', '.join(everything)}."
                )
        if seeds_of_others is not None:
            for method in everything:
                methods.setdefault(method, seeds_of_others)
        folders: Dict[str, str] = {}
        for method in methods:
            other = folders.setdefault(folder_name(method), method)
            if other != method:
                raise ExperimentError(
                    f"{other} and {method} would share the folder "
                    f"{folder_name(method)}; expected one of them, or two calls with a "
                    "--work-dir each."
                )
        return methods

    def _added_runs(self, pairs: Sequence[str]) -> Dict[str, Dict[str, str]]:
        """Names and configs of the further runs of each pair."""
        added: Dict[str, Dict[str, str]] = {pair: {} for pair in pairs}
        for name, config in self.request.runs.items():
            fitting = [pair for pair in pairs if pair in Path(config).stem]
            if len(pairs) == 1:
                fitting = list(pairs)
            if not fitting:
                raise ExperimentError(
                    f"--run {name}: the name of {config} holds none of the pairs "
                    f"{', '.join(pairs)}; expected one, to know its table."
                )
            added[max(fitting, key=len)][name] = config
        return added

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
