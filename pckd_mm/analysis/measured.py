"""Accuracies that this project measured, as ``docs/measured.yml`` holds them."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import mean, stdev
from typing import Any, Dict, List, Optional, Sequence, Union

import yaml

from .metric import TOP1

HEADER = (
    "# Measured by this project: top-1 in percent after the last epoch, by seed.\n"
    "# tools/dev/write_results.py --add REPORT.json adds what compare.py trained and\n"
    "# renews the tables; a run with options of its own (transfer) is entered by\n"
    "# hand, with its name and options.\n"
)


@dataclass
class Measurement:
    """Runs of one config that were made alike.

    Args:
        config (str): Path of the config, from the root of the repository.
        top1 (dict[int, float]): Accuracy in percent after the last epoch, by seed.
        command (str): What was called.
        commit (str): Commit of this repository.
        hardware (str): What it ran on.
        software (str): Versions of what it ran with.
        precision (str): Such as 'float32' or 'bfloat16 autocast'.
        date (str): Day of the last run, YYYY-MM-DD.
        options (list[str]): Settings that override those of the config.
        name (str): What the options make of the config; empty without any.
    """

    config: str
    top1: Dict[int, float]
    command: str
    commit: str
    hardware: str
    software: str
    precision: str
    date: str
    options: List[str] = field(default_factory=list)
    name: str = ""

    @property
    def key(self) -> tuple:
        """tuple: What tells it from others."""
        return (self.config, tuple(self.options))

    @property
    def mean(self) -> float:
        """float: Mean over seeds, in percent."""
        return mean(self.top1.values())

    @property
    def std(self) -> Optional[float]:
        """float, optional: Sample standard deviation over seeds; None for one."""
        return stdev(self.top1.values()) if len(self.top1) > 1 else None

    def __str__(self) -> str:
        spread = "" if self.std is None else f" +- {self.std:.2f}"
        return f"{self.mean:.2f}{spread}"


def read_measured(path: Union[str, Path]) -> List[Measurement]:
    """Read measurements.

    Args:
        path (str | Path): The YAML file.

    Returns:
        list[Measurement]: Its entries.

    Raises:
        ValueError: Where an entry is incomplete or is there twice.
    """
    entries: List[Measurement] = []
    for raw in yaml.safe_load(Path(path).read_text(encoding="utf-8")) or []:
        try:
            entry = Measurement(**raw)
        except TypeError as error:
            raise ValueError(
                f"{path}: the entry of {raw.get('config')} is not whole ({error}); "
                "expected the fields of pckd_mm.analysis.measured.Measurement."
            ) from None
        if not entry.top1 or any(not 0 <= v <= 100 for v in entry.top1.values()):
            raise ValueError(
                f"{path}: top1 of {entry.config} is {entry.top1}; expected a "
                "percentage for each seed."
            )
        if entry.key in [other.key for other in entries]:
            raise ValueError(
                f"{path} has {entry.config} {entry.options} twice; expected one entry."
            )
        entries.append(entry)
    return entries


def write_measured(path: Union[str, Path], entries: Sequence[Measurement]) -> None:
    """Write measurements, in the order of their configs.

    Args:
        path (str | Path): The YAML file.
        entries (Sequence[Measurement]): The measurements.
    """
    rows = []
    for entry in sorted(entries, key=lambda entry: entry.key):
        row = {key: value for key, value in asdict(entry).items() if value}
        row["top1"] = {seed: entry.top1[seed] for seed in sorted(entry.top1)}
        rows.append(row)
    text = yaml.safe_dump(rows, sort_keys=False, allow_unicode=True, width=88)
    Path(path).write_text(HEADER + text, encoding="utf-8")


def from_report(report: Dict[str, Any]) -> List[Measurement]:
    """Take the measurements out of a report of tools/compare.py.

    Args:
        report (dict): What its ``report.json`` holds.

    Returns:
        list[Measurement]: An entry for each config with a finished run; tests of a
        teacher that was there before are none.

    Raises:
        ValueError: Where the configs were not trained as they are, or are compared by
            another metric than top-1.
    """
    if report.get("options"):
        raise ValueError(
            f"The report is of configs with the settings {report['options']}; expected "
            "one of plain configs."
        )
    for table in report["tables"]:
        metric = table.get("metric", TOP1.name)
        if metric != TOP1.name:
            raise ValueError(f"The report is of {metric}; expected one of {TOP1.name}.")
    # A student of two pairs, or one that is a teacher too, is in several tables.
    rows: Dict[str, dict] = {}
    runs: Dict[str, Dict[int, dict]] = {}
    for table in report["tables"]:
        for row in [*filter(None, [table["teacher"]]), *table["methods"]]:
            rows.setdefault(row["config"], row)
            for run in row["runs"]:
                if "tested" not in run:
                    runs.setdefault(row["config"], {})[run["seed"]] = run

    def values(config: str, key: str) -> str:
        of_runs = (run.get(key) for run in runs[config].values())
        return ", ".join(sorted({v or report.get(key) or "unknown" for v in of_runs}))

    return [
        Measurement(
            config=config,
            top1={seed: round(run["final"], 2) for seed, run in by_seed.items()},
            command=rows[config]["command"] or report["command"],
            **{
                key: values(config, key)
                for key in ("commit", "hardware", "software", "precision")
            },
            date=max(run.get("date", "unknown") for run in by_seed.values()),
        )
        for config, by_seed in runs.items()
    ]


def merge(old: Sequence[Measurement], new: Sequence[Measurement]) -> List[Measurement]:
    """Add measurements; one takes the place of an older one with no other seeds.

    Args:
        old (Sequence[Measurement]): What is there.
        new (Sequence[Measurement]): What is added.

    Returns:
        list[Measurement]: All of them.

    Raises:
        ValueError: Where seeds that are there would be lost.
    """
    entries = {entry.key: entry for entry in old}
    for entry in new:
        before = entries.get(entry.key)
        lost = set(before.top1) - set(entry.top1) if before else set()
        if lost:
            raise ValueError(
                f"{entry.config} was measured with the seeds {sorted(before.top1)}, "
                f"and {sorted(entry.top1)} would take their place; expected all of the "
                "former: take the old entry out by hand if it no longer counts."
            )
        entries[entry.key] = entry
    return list(entries.values())
