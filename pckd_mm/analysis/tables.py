"""Tables of a comparison of methods over seeds."""

from dataclasses import dataclass, field
from statistics import mean, stdev
from typing import Dict, List, Optional, Sequence

from .metric import TOP1, Metric

Curve = Dict[int, float]


@dataclass
class Method:
    """Finished runs of one method.

    Args:
        name (str): Name of the method in table and pictures.
        curves (dict[int, dict[int, float]]): The metric in percent after each epoch
            that was validated, of the run of each seed; empty before any is finished.
        previews (dict[int, list[dict]]): Records of the preview of each seed's run;
            empty for a method without preview.
        notes (dict[int, dict]): What else is known of each seed's run, such as its
            commit.
        config (str): Path of the config; empty where unknown.
        command (str): What gives this line of the table; empty where unknown.
        published (float, optional): The metric in percent that is published for this
            very setting.
    """

    name: str
    curves: Dict[int, Curve]
    previews: Dict[int, List[dict]] = field(default_factory=dict)
    notes: Dict[int, dict] = field(default_factory=dict)
    config: str = ""
    command: str = ""
    published: Optional[float] = None

    @property
    def finals(self) -> List[float]:
        """list[float]: The metric after the last epoch of each run."""
        return [curve[max(curve)] for curve in self.curves.values()]


@dataclass
class Table:
    """Methods that are compared with each other.

    Args:
        methods (list[Method]): The methods, the student alone first.
        teacher (Method, optional): The teacher.
        name (str): Name of the pair of networks; empty for the only table.
        metric (Metric): What they are compared by. Defaults to top-1.
    """

    methods: List[Method]
    teacher: Optional[Method] = None
    name: str = ""
    metric: Metric = TOP1

    @property
    def everything(self) -> List[Method]:
        """list[Method]: The teacher, if there is one, and the methods."""
        return [*([self.teacher] if self.teacher else []), *self.methods]

    def picture(self, kind: str) -> str:
        """Name of the file of one of its pictures.

        Args:
            kind (str): What it shows: 'preview', or the metric's ``slug``.

        Returns:
            str: The name.
        """
        return f"{kind}_{self.name}.png" if self.name else f"{kind}.png"


@dataclass
class Row:
    """One line of the table.

    Args:
        name (str): Name of the method.
        mean (float, optional): Mean of the final values; None without a run.
        std (float, optional): Their sample standard deviation; None for one seed.
        gain (float, optional): Mean over that of the baseline; None for the baseline.
        n (int): Number of runs, one a seed.
        published (float, optional): Published value; None where there is none.
        command (str): What gives this line.
    """

    name: str
    mean: Optional[float]
    std: Optional[float]
    gain: Optional[float]
    n: int = 1
    published: Optional[float] = None
    command: str = ""


def summarise(
    methods: Sequence[Method], baseline: str, teacher: Optional[Method] = None
) -> List[Row]:
    """Mean, spread and gain of the metric after the last epoch.

    Args:
        methods (Sequence[Method]): The methods.
        baseline (str): Name of the method that gains are over.
        teacher (Method, optional): The teacher, as the first line.

    Returns:
        list[Row]: A line for each method.
    """
    reference = next(m.finals for m in methods if m.name == baseline)
    rows = []
    for method in [*([teacher] if teacher else []), *methods]:
        finals = method.finals
        has_gain = method.name != baseline and finals and reference
        rows.append(
            Row(
                method.name,
                mean(finals) if finals else None,
                stdev(finals) if len(finals) > 1 else None,
                mean(finals) - mean(reference) if has_gain else None,
                len(finals),
                method.published,
                method.command,
            )
        )
    return rows


def format_number(value: Optional[float], form: str = ".2f") -> str:
    """Write a number, or a dash for one that is not known.

    Args:
        value (float, optional): The number.
        form (str): How to write it. Defaults to two decimals.

    Returns:
        str: The number or '-'.
    """
    return "-" if value is None else format(value, form)


def format_table(cells: Sequence[Sequence[str]]) -> str:
    """Write a table in Markdown, with columns in line for a terminal.

    Args:
        cells (Sequence[Sequence[str]]): Its lines, the headline first.

    Returns:
        str: The table, without a line break at the end.
    """
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [
        "| " + " | ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)) + " |"
        for line in cells
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)


def markdown_table(rows: Sequence[Row], metric: Metric = TOP1) -> str:
    """Write the table in Markdown, with columns in line for a terminal.

    Args:
        rows (Sequence[Row]): Its lines. Where no line has a published value or no
            command, that column is left out; of commands only their number is shown.
        metric (Metric): What the numbers are. Defaults to top-1.

    Returns:
        str: The table, without a line break at the end.
    """
    columns = {"method": [row.name for row in rows]}
    columns[f"{metric.name} mean +- std"] = [
        "-" if row.mean is None else f"{row.mean:.2f} +- {format_number(row.std)}"
        for row in rows
    ]
    columns["n"] = [str(row.n) for row in rows]
    columns["gain over the student alone"] = [
        format_number(row.gain, "+.2f") for row in rows
    ]
    if any(row.published is not None for row in rows):
        columns["published"] = [format_number(row.published) for row in rows]
    if any(row.command for row in rows):
        numbers = [f"[{k}]" if row.command else "-" for k, row in enumerate(rows, 1)]
        columns["command"] = numbers
    lines = zip(*columns.values(), strict=True)
    return format_table([list(columns), *(list(line) for line in lines)])


def command_list(rows: Sequence[Row]) -> str:
    """The commands that :func:`markdown_table` refers to.

    Args:
        rows (Sequence[Row]): Lines of the table.

    Returns:
        str: A block of shell commands, each behind its number; empty without any.
    """
    lines = [f"{row.command}  # [{k}]" for k, row in enumerate(rows, 1) if row.command]
    return "\n".join(["```sh", *lines, "```"]) if lines else ""
