"""Values that this project measured, as ``docs/measured.yml`` holds them."""

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from statistics import mean, stdev
from typing import Any, Dict, List, Mapping, Sequence, Union

import yaml

from .metric import MAP50, TOP1, Metric

# What runs are compared by, by the name of its field.
METRICS = {"top1": TOP1, "map50": MAP50}
# The option of values that are of training images, held out, and not of the test set.
VAL_SHARE = "val_share"
BY_SEED = (*METRICS, "best", "ap")
# Between what is told of seeds that were measured in several calls.
JOINT = "; "
HEADER = (
    "# Measured by this project, in percent, by seed. top1 (map50, mAP@0.5, of a\n"
    "# detector) is after the last epoch; best, where it was recorded, after the best\n"
    "# epoch, chosen on the test set; ap is AP (0.5:0.95) after the last epoch.\n"
    "# tools/dev/write_results.py --add REPORT.json adds what compare.py trained and\n"
    "# renews the tables; a run with options of its own (transfer) is entered by\n"
    "# hand, with its name and options.\n"
)


def over_seeds(values: Mapping[int, float]) -> str:
    """Write values of several seeds as one.

    Args:
        values (Mapping[int, float]): A value for each seed.

    Returns:
        str: Such as '71.00 +- 1.41', mean and sample standard deviation; '50.00' of
        one seed, '-' of none.
    """
    if not values:
        return "-"
    spread = f" +- {stdev(values.values()):.2f}" if len(values) > 1 else ""
    return f"{mean(values.values()):.2f}{spread}"


@dataclass(kw_only=True)
class Measurement:
    """Runs of one config that were made alike.

    Args:
        config (str): Path of the config, from the root of the repository.
        top1 (dict[int, float]): Accuracy in percent after the last epoch, by seed.
        map50 (dict[int, float]): Of a detector, mAP@0.5 in percent instead.
        best (dict[int, float]): The same metric after the best epoch of each run;
            empty where it was not recorded.
        ap (dict[int, float]): Of a detector, AP (0.5:0.95) in percent after the last
            epoch; empty where it was not recorded.
        command (str): What was called.
        commit (str): Commit of this repository.
        hardware (str): What it ran on.
        software (str): Versions of what it ran with.
        precision (str): Such as 'float32' or 'bfloat16 autocast'.
        date (str): Day of the last run, YYYY-MM-DD.
        options (list[str]): Settings that override those of the config, and what else
            sets its runs apart from those of the plain config, such as "fast".
        name (str): What the options make of the config; empty without any.
    """

    config: str
    top1: Dict[int, float] = field(default_factory=dict)
    map50: Dict[int, float] = field(default_factory=dict)
    best: Dict[int, float] = field(default_factory=dict)
    ap: Dict[int, float] = field(default_factory=dict)
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
    def metric(self) -> Metric:
        """Metric: What its runs are compared by."""
        return METRICS["map50" if self.map50 else "top1"]

    @property
    def last(self) -> Dict[int, float]:
        """dict[int, float]: That metric after the last epoch, by seed."""
        return self.map50 or self.top1

    @property
    def mean(self) -> float:
        """float: Mean of the last epochs over seeds, in percent."""
        return mean(self.last.values())

    def check(self) -> None:
        """Refuse values that cannot be.

        Raises:
            ValueError: Where there is one.
        """
        if bool(self.top1) == bool(self.map50):
            raise ValueError(
                f"{self.config} has top1 {self.top1} and map50 {self.map50}; expected "
                "values by seed in one of them."
            )
        for key in BY_SEED:
            values = getattr(self, key)
            if any(not 0 <= value <= 100 for value in values.values()):
                raise ValueError(
                    f"{key} of {self.config} is {values}; expected a percentage for "
                    "each seed."
                )
            if values and set(values) != set(self.last):
                raise ValueError(
                    f"{key} of {self.config} has the seeds {sorted(values)}; expected "
                    f"{sorted(self.last)}, those of the last epoch."
                )
        if self.ap and not self.map50:
            raise ValueError(
                f"{self.config} has ap and no map50; expected both, of a detector."
            )
        for seed, best in self.best.items():
            if best < self.last[seed]:
                raise ValueError(
                    f"{self.config}, seed {seed}: the best epoch has {best}, the last "
                    f"{self.last[seed]}; expected a best one that is not below it."
                )


def read_measured(path: Union[str, Path]) -> List[Measurement]:
    """Read measurements.

    Args:
        path (str | Path): The YAML file.

    Returns:
        list[Measurement]: Its entries.

    Raises:
        ValueError: Where an entry is incomplete, cannot be, or is there twice.
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
        try:
            entry.check()
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None
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
        for key in BY_SEED:
            if key in row:
                row[key] = dict(sorted(row[key].items()))
        rows.append(row)
    text = yaml.safe_dump(rows, sort_keys=False, allow_unicode=True, width=88)
    Path(path).write_text(HEADER + text, encoding="utf-8")


def merge(old: Sequence[Measurement], new: Sequence[Measurement]) -> List[Measurement]:
    """Add measurements.

    One that has all seeds of an older one takes its place. One that lacks some is
    joined with it, and both commands and commits are named; where it has no new seed,
    the older one stays as it is.

    Args:
        old (Sequence[Measurement]): What is there.
        new (Sequence[Measurement]): What is added.

    Returns:
        list[Measurement]: All of them.

    Raises:
        ValueError: Where two that are joined are not alike in metric, precision and
            hardware, or differ in a value of a seed.
    """
    entries = {entry.key: entry for entry in old}
    for entry in new:
        before = entries.get(entry.key)
        if before and set(before.last) - set(entry.last):
            entry = _join(before, entry)
        entries[entry.key] = entry
    return list(entries.values())


def _join(before: Measurement, entry: Measurement) -> Measurement:
    """Two measurements of a config, the former with seeds of its own, as one."""
    alike = {
        "metric": (before.metric.name, entry.metric.name),
        "precision": (before.precision, entry.precision),
        "hardware": (before.hardware, entry.hardware),
    }
    for name, (was, found) in alike.items():
        if was != found:
            raise ValueError(
                f"The {name} of {entry.config} was {was} with the seeds "
                f"{sorted(before.last)}, and is {found} with {sorted(entry.last)}; "
                "expected the same: measure all seeds alike."
            )
    for name in BY_SEED:
        old, new = getattr(before, name), getattr(entry, name)
        for seed in sorted(set(old) & set(new)):
            if old[seed] != new[seed]:
                raise ValueError(
                    f"{name} of {entry.config} was {old[seed]} with seed {seed}, and "
                    f"is {new[seed]}; expected the same value, or a report with all of "
                    f"the seeds {sorted(before.last)}, which takes the place of the "
                    "old entry."
                )
    if set(entry.last) <= set(before.last):
        return before
    both: Dict[str, Any] = {}
    for name in BY_SEED:
        parts = getattr(before, name), getattr(entry, name)
        both[name] = {**parts[0], **parts[1]} if all(parts) else {}
    for name in ("command", "commit", "software"):
        texts = [*getattr(before, name).split(JOINT), getattr(entry, name)]
        both[name] = JOINT.join(dict.fromkeys(texts))
    return replace(entry, **both, date=max(before.date, entry.date))
