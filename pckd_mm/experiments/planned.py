"""Tables before their runs are trained."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import List, Optional, Sequence

from pckd_mm.analysis import (
    TOP1,
    Method,
    Table,
    published,
    read_losses,
    read_preview,
    validated_on,
)
from pckd_mm.analysis.inspection import compared_with
from pckd_mm.analysis.methods import name_of_teacher

from .inspection import Inspection
from .job import ExperimentError, Job
from .run import Run
from .settings import Settings


@dataclass
class Line:
    """A line of a table and its runs, which have one config.

    Args:
        name (str): Name of the method in the table.
        runs (list[Run]): A run for each seed.
        command (str): What gives this line; empty where no command does so alone.
    """

    name: str
    runs: List[Run]
    command: str = ""

    @property
    def published(self) -> Optional[float]:
        """float, optional: The published value of this very setting."""
        run = self.runs[0]
        epochs = run.cfg.train_cfg.max_epochs
        changed = run.options or run.settings.options or run.settings.val_share
        changed = changed or run.processes > 1  # the batch is so many times as large
        if changed or epochs != published.EPOCHS:
            return None
        return published.published_of(run.config)

    def method(self, teacher: str = "") -> Method:
        """Read back what is finished.

        Args:
            teacher (str): What it learns from. Defaults to '', of a student alone.

        Returns:
            Method: The line with values.
        """
        done = [run for run in self.runs if not run.is_left]
        previews = {run.seed: read_preview(run.folder) for run in done}
        further = {
            metric: {run.seed: c for run in done if (c := run.curve(metric))}
            for metric in self.runs[0].metric.beside
        }
        return Method(
            self.name,
            {run.seed: run.curve() for run in done},
            {seed: records for seed, records in previews.items() if records},
            {run.seed: {**run.note(), **run.what_sets_it_apart()} for run in done},
            self.runs[0].config,
            self.command,
            self.published,
            {metric: curves for metric, curves in further.items() if curves},
            [f"{key}={value}" for key, value in self.runs[0].options.items()],
            {run.seed: read_losses(run.folder) for run in done if run.distils},
            teacher,
        )


@dataclass
class PlannedTable:
    """A table before its runs are trained.

    Args:
        name (str): Name of the table; empty for the only one.
        lines (list[Line]): Its lines, the student alone first.
        teachers (list[Line]): The teachers.
        inspection (Inspection, optional): The look into its networks.
    """

    name: str
    lines: List[Line]
    teachers: List[Line] = field(default_factory=list)
    inspection: Optional[Inspection] = None

    def runs(self) -> List[Run]:
        """Its runs, the teacher's first, then seed by seed."""
        students = [run for line in self.lines for run in line.runs]
        teachers = [run for line in self.teachers for run in line.runs]
        teachers += [run.after for run in students if run.after is not None]
        seeds = dict.fromkeys(run.seed for run in students)
        by_seed = [run for seed in seeds for run in students if run.seed == seed]
        return list(dict.fromkeys([*teachers, *by_seed]))

    def learns_from(self) -> List[str]:
        """What the students of each line learn from.

        Returns:
            list[str]: The name of the teacher's line; where it has none what
            :func:`pckd_mm.analysis.methods.name_of_teacher` says.
        """
        names = {line.runs[0]: line.name for line in self.teachers}
        found = []
        for line in self.lines:
            run = line.runs[0]
            if run.after is not None:
                found.append(names[run.after])
            else:
                found.append(name_of_teacher(run.cfg, run.config))
        return found

    def table(self) -> Table:
        """Read back what is finished."""
        teachers = [line.method() for line in self.teachers]
        methods = [
            line.method(teacher)
            for line, teacher in zip(self.lines, self.learns_from(), strict=True)
        ]
        inspected = self.inspection.found() if self.inspection else None
        first = self.lines[0].runs[0]  # a teacher may be tested on other images
        held_out = first.settings.val_share
        images = validated_on(first.cfg)
        return Table(
            methods, teachers, self.name, first.metric, inspected, held_out, images
        )

    def inspected_by(self, settings: Settings, folder: Path) -> "PlannedTable":
        """The table with a look into the networks of the first seeds.

        Args:
            settings (Settings): What all runs share.
            folder (Path): Where it is written.

        Returns:
            PlannedTable: The table.

        Raises:
            ExperimentError: Where they are no classifiers of images.
        """
        lines = [*self.teachers, *self.lines]
        networks = {line.name: line.runs[0] for line in lines}
        for run in networks.values():
            if run.metric is not TOP1:
                raise ExperimentError(
                    f"--inspect found {run.config}, which is measured by "
                    f"{run.metric.name}; expected classifiers of images: leave "
                    "--inspect out."
                )
        learns_from = zip(self.lines, self.learns_from(), strict=True)
        teachers = compared_with(
            [line.name for line in self.teachers],
            {line.name: teacher for line, teacher in learns_from},
        )
        inspection = Inspection(folder, settings, networks, teachers, self.name)
        return replace(self, inspection=inspection)


def all_runs(tables: Sequence[PlannedTable]) -> List[Run]:
    """Each run of some tables once, table by table."""
    return list(dict.fromkeys(run for table in tables for run in table.runs()))


def left_of(runs: Sequence[Run], fresh: bool = False) -> List[Run]:
    """The runs that are to be trained.

    Args:
        runs (Sequence[Run]): Runs.
        fresh (bool): Whether finished ones are repeated. Defaults to False.
    """
    return [run for run in runs if fresh or run.is_left]


def all_jobs(tables: Sequence[PlannedTable]) -> List[Job]:
    """The runs of some tables, then what looks into their networks."""
    inspections = [table.inspection for table in tables if table.inspection]
    return [*all_runs(tables), *inspections]
