"""Tables of a comparison of methods over seeds."""

from dataclasses import dataclass, field
from typing import Dict, List, Optional, Sequence

from .methods import Score, Table, format_number
from .metric import TOP1, Metric


@dataclass
class Row:
    """One line of the table.

    Args:
        name (str): Name of the method.
        score (Score): Its values of the main metric.
        gain (float, optional): Mean of the last epochs over that of the baseline; None
            for the baseline.
        n (int): Number of runs, one a seed.
        published (float, optional): Published value; None where there is none.
        command (str): What gives this line.
        further (dict[Metric, Score]): Its values of the metrics beside the main one.
        teacher (str): What it learns from; empty where all learn from one teacher.
    """

    name: str
    score: Score
    gain: Optional[float]
    n: int = 1
    published: Optional[float] = None
    command: str = ""
    further: Dict[Metric, Score] = field(default_factory=dict)
    teacher: str = ""


def summarise(table: Table) -> List[Row]:
    """Mean, spread and gain after the last epoch, and the best epoch.

    Args:
        table (Table): The table; gains are over its first method.

    Returns:
        list[Row]: A line for each method, the teachers first.
    """
    baseline = table.methods[0]
    reference = baseline.score().mean
    named = [method.teacher for method in table.methods if method.teacher]
    several = len({*named, *(teacher.name for teacher in table.teachers)}) > 1
    rows = []
    for method in table.everything:
        score = method.score()
        gain = None
        if method is not baseline and score.mean is not None and reference is not None:
            gain = score.mean - reference
        rows.append(
            Row(
                method.name,
                score,
                gain,
                len(score.finals),
                method.published,
                method.command,
                {metric: method.score(metric) for metric in table.further},
                method.teacher if several else "",
            )
        )
    return rows


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


def table_cells(
    rows: Sequence[Row], metric: Metric = TOP1, of_seeds: bool = True
) -> List[List[str]]:
    """Write the numbers of a table.

    Args:
        rows (Sequence[Row]): Its lines. Where no line has a teacher, a published value
            or a command, that column is left out; of commands only their number is
            shown.
        metric (Metric): What the numbers are. Defaults to top-1.
        of_seeds (bool): Whether a line has several runs. Defaults to True.

    Returns:
        list[list[str]]: The cells of its lines, the headline first.
    """
    columns = [["method" if of_seeds else "run", *(row.name for row in rows)]]
    if any(row.teacher for row in rows):
        columns.append(["learns from", *(row.teacher or "-" for row in rows)])
    best = "best epoch" if of_seeds else f"{metric.name}, best epoch"
    columns += _columns_of(metric, best, [row.score for row in rows], of_seeds)
    for further in rows[0].further:
        scores = [row.further[further] for row in rows]
        columns += _columns_of(further, f"{further.name} best", scores, of_seeds)
    if of_seeds:
        columns += [
            ["n", *(str(row.n) for row in rows)],
            ["gain", *(format_number(row.gain, "+.2f") for row in rows)],
        ]
    if any(row.published is not None for row in rows):
        columns.append(["published", *(format_number(row.published) for row in rows)])
    if any(row.command for row in rows):
        numbers = (f"[{k}]" if row.command else "-" for k, row in enumerate(rows, 1))
        columns.append(["command", *numbers])
    return [list(line) for line in zip(*columns, strict=True)]


def _columns_of(
    metric: Metric, best: str, scores: Sequence[Score], of_seeds: bool
) -> List[List[str]]:
    """The columns of a metric, the last epoch and the best."""
    last = [f"{metric.name}, last epoch", *(format_number(s.mean) for s in scores)]
    if of_seeds:
        last = [f"{metric.name} last, mean +- std", *map(str, scores)]
    return [
        last,
        [best, *(format_number(score.best) for score in scores)],
    ]


def caption(table: Table) -> str:
    """Say what the numbers of a table are.

    Args:
        table (Table): The table.

    Returns:
        str: Some sentences.
    """
    curves = [curve for m in table.methods for curve in m.curves.values()]
    if not curves:
        if not table.of_seeds:
            return "No validation is in the log."
        return "No run is finished yet."
    if not table.of_seeds:
        return (
            f"{capital(table.metric.label)}{table.metric.in_unit} on {table.images}, "
            f"after the last {table.step} that was validated and after the best one."
        )
    epochs = " or ".join(map(str, sorted({max(curve) for curve in curves})))
    seeds = {
        method.name: ", ".join(map(str, sorted(method.curves)))
        for method in table.methods
        if method.curves
    }
    images = table.images
    if table.held_out is not None:
        images = f"{100 * table.held_out:g} % of the training images, held out,"
    text = (
        f"{capital(table.metric.label)}{table.metric.in_unit} on {images} after the "
        f"last epoch ({epochs}); mean and sample standard deviation over n seeds: "
    )
    if len(set(seeds.values())) == 1:
        text += f"{next(iter(seeds.values()))}."
    else:
        text += "; ".join(f"{name} {mine}" for name, mine in seeds.items()) + "."
    for metric in table.further:
        text += f" {metric.name} is the {metric.label}."
    text += (
        f" The gain is that of the last epoch over {table.methods[0].name}. The best "
        "epoch is the mean over seeds of each run's best validated epoch. "
    )
    if table.held_out is not None:
        return (
            f"{text}It is chosen on these images themselves, and no gain is of it. A "
            "teacher that was there before has seen these images."
        )
    return (
        f"{text}It is chosen on {images}, too: it is there to compare with published "
        "values, which often are of the best epoch, and no gain is of it."
    )


def command_list(rows: Sequence[Row]) -> str:
    """The commands that the table refers to.

    Args:
        rows (Sequence[Row]): Lines of the table.

    Returns:
        str: A block of shell commands, each behind its number; empty without any.
    """
    lines = [f"{row.command}  # [{k}]" for k, row in enumerate(rows, 1) if row.command]
    return "\n".join(["```sh", *lines, "```"]) if lines else ""


def capital(text: str) -> str:
    """The text as it begins a sentence."""
    return text[0].upper() + text[1:]
