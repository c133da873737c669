"""Table, pictures and report of a comparison of methods over seeds."""

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean, stdev
from typing import Any, Collection, Dict, List, Optional, Sequence, Tuple

import numpy as np

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


def spread(curves: Sequence[Curve]) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean and standard deviation over runs, at the steps that all of them have.

    Args:
        curves (Sequence[dict[int, float]]): A value for each step, of each run.

    Returns:
        tuple[ndarray, ndarray, ndarray]: Steps, means and sample standard deviations
        (0 for a single run), each of shape (steps,).
    """
    steps = sorted(set.intersection(*(set(curve) for curve in curves)))
    values = np.array([[curve[step] for step in steps] for curve in curves])
    deviation = np.zeros(len(steps))
    if len(curves) > 1:
        deviation = values.std(axis=0, ddof=1)
    return np.array(steps), values.mean(axis=0), deviation


def new_figure(width: float, height: float):
    """An empty figure, without matplotlib's global state.

    Args:
        width (float): Width, inches of 120 pixels.
        height (float): Height, inches.

    Returns:
        matplotlib.figure.Figure: The figure.

    Raises:
        ImportError: Where matplotlib is missing.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(
            "The pictures are drawn by matplotlib, which is not installed: "
            "pip install matplotlib"
        ) from error
    figure = Figure(figsize=(width, height), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _curve_axes(columns: int, widths: Optional[Sequence[float]] = None):
    """Figure and axes side by side, over epochs."""
    widths = widths or [1] * columns
    figure = new_figure(4.6 * sum(widths), 3.8)
    axes = figure.subplots(1, columns, width_ratios=widths, squeeze=False)[0]
    for axis in axes:
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(alpha=0.25)
        axis.set_xlabel("epoch")
    return figure, axes


def _draw_spread(axis, curves: Sequence[Curve], label: str, color: str) -> None:
    steps, middle, deviation = spread(curves)
    # Not every epoch need be validated.
    marker = "." if len(steps) < steps[-1] else None
    axis.plot(steps, middle, color=color, label=label, linewidth=1.5, marker=marker)
    axis.fill_between(
        steps,
        middle - deviation,
        middle + deviation,
        color=color,
        alpha=0.2,
        linewidth=0,
    )


def plot_curves(
    path: Path,
    methods: Sequence[Method],
    teacher: Optional[Method] = None,
    metric: Metric = TOP1,
) -> None:
    """Draw the metric over epochs: the whole run, and its last part closer.

    Args:
        path (Path): The picture.
        methods (Sequence[Method]): The methods; the first is drawn in grey, one
            without a finished run not at all.
        teacher (Method, optional): The teacher, whose last value is drawn.
        metric (Metric): What the curves are of. Defaults to top-1.

    Raises:
        ImportError: Where matplotlib is missing.
    """
    figure, (whole, last) = _curve_axes(2)
    for index, method in enumerate(methods):
        if not method.curves:
            continue
        color = "0.35" if index == 0 else f"C{(index - 1) % 10}"
        for axis in (whole, last):
            _draw_spread(axis, list(method.curves.values()), method.name, color)
    shown = [method for method in methods if method.curves]
    if teacher is not None and not teacher.curves:
        teacher = None
    if teacher is not None:
        for axis in (whole, last):
            axis.axhline(
                mean(teacher.finals),
                color="0.35",
                linestyle="--",
                linewidth=1,
                label=f"{teacher.name}, last epoch",
            )
    several = any(len(method.curves) > 1 for method in shown)
    whole.set_ylabel(f"{metric.label} (%)")
    whole.set_title("Mean and standard deviation over seeds" if several else "One seed")
    handles, labels = whole.get_legend_handles_labels()
    size = "medium" if len(labels) < 7 else "x-small"
    whole.legend(handles, labels, loc="lower right", frameon=False, fontsize=size)

    epochs = max(max(curve) for m in shown for curve in m.curves.values())
    begin = 1 + math.floor(0.7 * epochs)
    low, high = [], [mean(teacher.finals)] if teacher is not None else []
    for method in shown:
        steps, middle, deviation = spread(list(method.curves.values()))
        late = steps >= begin
        low.extend(middle[late] - deviation[late])
        high.extend(middle[late] + deviation[late])
    margin = 0.05 * (max(high) - min(low)) + 0.05
    last.set_ylim(min(low) - margin, max(high) + margin)
    last.set_xlim(begin, max(epochs, begin + 1))
    last.set_title(f"From epoch {begin} on")
    figure.savefig(path)


def plot_preview(path: Path, methods: Sequence[Method]) -> None:
    """Draw the preview's curriculum: threshold, share of previewed images, weights.

    Args:
        path (Path): The picture.
        methods (Sequence[Method]): Methods with a preview.

    Raises:
        ImportError: Where matplotlib is missing.
    """
    from matplotlib.colors import LogNorm

    figure, (threshold, share, *weights) = _curve_axes(
        2 + len(methods), [0.9, 0.9, *[1.2] * len(methods)]
    )
    for index, method in enumerate(methods):
        for axis, key in ((threshold, "threshold"), (share, "share")):
            factor = 100 if key == "share" else 1
            curves = [
                {record["epoch"]: factor * record[key] for record in records}
                for records in method.previews.values()
            ]
            _draw_spread(axis, curves, method.name, f"C{index % 10}")
    threshold.set_title("Threshold")
    threshold.set_ylabel("difficulty that still counts in full")
    share.set_title("Previewed images")
    share.set_ylabel("share of the training images (%)")
    share.set_ylim(bottom=0)
    if len(methods) > 1:
        share.legend(frameon=False)

    for axis, method in zip(weights, methods, strict=True):
        epochs, shares = _weight_shares(list(method.previews.values()))
        shown = axis.pcolormesh(
            np.append(epochs, epochs[-1] + 1) - 0.5,
            np.linspace(0, 1, len(shares) + 1),
            np.ma.masked_equal(100 * shares, 0),
            norm=LogNorm(vmin=0.1, vmax=100),
            cmap="viridis_r",
        )
        axis.grid(False)
        axis.set_ylabel("preview weight")
        name = f" of {method.name}" if len(methods) > 1 else ""
        axis.set_title(f"Weights{name}")
        bar = figure.colorbar(shown, ax=axis, label="images in the bin (%)")
        bar.ax.set_yticks([0.1, 1, 10, 100], ["0.1", "1", "10", "100"])
    figure.savefig(path)


def _weight_shares(previews: Sequence[List[dict]]) -> Tuple[np.ndarray, np.ndarray]:
    """Epochs, and the share of images in each bin of weights in each of them."""
    counts: Dict[int, np.ndarray] = {}
    for records in previews:
        for record in records:
            histogram = np.asarray(record["histogram"], dtype=float)
            counts[record["epoch"]] = counts.get(record["epoch"], 0) + histogram
    epochs = np.array(sorted(counts))
    table = np.stack([counts[epoch] for epoch in epochs.tolist()], axis=1)
    return epochs, table / table.sum(axis=0)


def write_report(
    folder: Path,
    title: str,
    tables: Sequence[Table],
    notes: Sequence[str] = (),
    facts: Optional[Dict[str, Any]] = None,
    draw: Optional[Collection[str]] = None,
    appendix: Sequence[str] = (),
) -> str:
    """Write ``report.md``, ``report.json`` and the pictures of a comparison.

    Args:
        folder (Path): Where to write.
        title (str): Headline of the report.
        tables (Sequence[Table]): The tables, at least one.
        notes (Sequence[str]): Paragraphs that explain the comparison.
        facts (dict, optional): What was run on what, such as command and commit.
        draw (Collection[str], optional): Names of the tables whose pictures are drawn
            anew even where they are there; None for all.
        appendix (Sequence[str]): Further parts, behind the tables and their pictures.

    Returns:
        str: The tables, without a line break at the end.

    Raises:
        ImportError: Where matplotlib is missing.
    """
    facts = facts or {}
    folder.mkdir(parents=True, exist_ok=True)
    parts, shown, entries = [f"# {title}"], [], []
    for table in tables:
        rows = summarise(table.methods, table.methods[0].name, table.teacher)
        entries.append(_table_entry(table, rows))
        headline = [f"## {table.name}"] if table.name else []
        block = [*headline, markdown_table(rows, table.metric)]
        shown += block
        parts += [*block, _caption(table)]
        parts += [part for part in [command_list(rows)] if part]
        if not table.name:
            parts += notes
        parts += _pictures(folder, table, draw is None or table.name in draw)
        if table.name and table is tables[-1]:
            parts += notes
    parts += appendix
    if facts:
        parts += ["## Made by", *(f"- {key}: {value}" for key, value in facts.items())]
    text = "\n\n".join(parts) + "\n"
    _write(folder / "report.md", text.replace("\n\n- ", "\n- "))
    result = dict(title=title, tables=entries, **facts)
    _write(folder / "report.json", json.dumps(result, indent=2) + "\n")
    return "\n\n".join(shown)


def _write(path: Path, text: str) -> None:
    """Write a file that is never seen in part."""
    part = path.with_name(f"{path.name}.tmp")
    part.write_text(text, encoding="utf-8")
    part.replace(path)


def _table_entry(table: Table, rows: Sequence[Row]) -> dict:
    """A table as report.json has it."""
    entries = [
        dict(
            name=row.name,
            config=method.config,
            mean=row.mean,
            std=row.std,
            n=row.n,
            gain=row.gain,
            published=row.published,
            command=row.command,
            runs=[
                dict(
                    seed=seed,
                    final=curve[max(curve)],
                    **method.notes.get(seed, {}),
                    **{table.metric.slug: curve},
                )
                for seed, curve in method.curves.items()
            ],
        )
        for method, row in zip(table.everything, rows, strict=True)
    ]
    teacher = entries.pop(0) if table.teacher else None
    return dict(
        name=table.name, metric=table.metric.name, teacher=teacher, methods=entries
    )


def _caption(table: Table) -> str:
    """What the numbers of a table are."""
    curves = [curve for m in table.methods for curve in m.curves.values()]
    if not curves:
        return "No run is finished yet."
    epochs = " or ".join(map(str, sorted({max(curve) for curve in curves})))
    seeds = {
        method.name: ", ".join(map(str, sorted(method.curves)))
        for method in table.methods
        if method.curves
    }
    text = (
        f"{_capital(table.metric.label)} in percent on the test set after the last "
        f"epoch ({epochs}), never the best one; mean and sample standard deviation "
        "over n seeds: "
    )
    if len(set(seeds.values())) == 1:
        return f"{text}{next(iter(seeds.values()))}."
    return text + "; ".join(f"{name} {mine}" for name, mine in seeds.items()) + "."


def _capital(text: str) -> str:
    """The text with a capital in front."""
    return text[0].upper() + text[1:]


def _pictures(folder: Path, table: Table, draw: bool) -> List[str]:
    """Draw a table's pictures; the parts of the report that show them."""
    if not any(method.curves for method in table.methods):
        return []
    level = "###" if table.name else "##"
    metric = table.metric
    name = table.picture(metric.slug)
    if draw or not (folder / name).is_file():
        plot_curves(folder / name, table.methods, table.teacher, metric)
    curves = [c for m in table.everything for c in m.curves.values()]
    validated = "validated " if any(len(c) < max(c) for c in curves) else ""
    headline = f"{_capital(metric.kind)} after each {validated}epoch"
    parts = [f"{level} {headline}", f"![{headline}]({name})"]
    previewing = [method for method in table.methods if any(method.previews.values())]
    if not previewing:
        return parts
    name = table.picture("preview")
    if draw or not (folder / name).is_file():
        plot_preview(folder / name, previewing)
    return [
        *parts,
        f"{level} What the preview did",
        "Images up to the threshold, the loss relative to the mean of the batch, count "
        "in full. Harder ones are previewed, with a weight below 1; the threshold "
        "grows, and ever fewer are.",
        f"![Threshold, share of previewed images, weights]({name})",
    ]
