"""Table, pictures and report of a comparison of methods over seeds."""

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean, stdev
from typing import Any, Dict, List, Optional, Sequence, Tuple

import numpy as np

Curve = Dict[int, float]


@dataclass
class Method:
    """Runs of one method.

    Args:
        name (str): Name of the method.
        curves (dict[int, dict[int, float]]): Accuracy in percent after each epoch, of
            the run of each seed.
        previews (dict[int, list[dict]]): Records of the preview of each seed's run;
            empty for a method without preview.
    """

    name: str
    curves: Dict[int, Curve]
    previews: Dict[int, List[dict]] = field(default_factory=dict)

    @property
    def finals(self) -> List[float]:
        """list[float]: Accuracy after the last epoch of each run."""
        return [curve[max(curve)] for curve in self.curves.values()]


@dataclass
class Row:
    """One line of the table.

    Args:
        name (str): Name of the method.
        mean (float): Mean of the final accuracies.
        std (float, optional): Their sample standard deviation; None for one seed.
        gain (float, optional): Mean over that of the baseline; None for the baseline.
    """

    name: str
    mean: float
    std: Optional[float]
    gain: Optional[float]


def summarise(
    methods: Sequence[Method], baseline: str, teacher: Optional[Method] = None
) -> List[Row]:
    """Mean, spread and gain of the accuracy after the last epoch.

    Args:
        methods (Sequence[Method]): The methods.
        baseline (str): Name of the method that gains are over.
        teacher (Method, optional): The teacher, as the first line.

    Returns:
        list[Row]: A line for each method.
    """
    reference = next(mean(m.finals) for m in methods if m.name == baseline)
    rows = []
    for method in [*([teacher] if teacher else []), *methods]:
        finals = method.finals
        rows.append(
            Row(
                method.name,
                mean(finals),
                stdev(finals) if len(finals) > 1 else None,
                None if method.name == baseline else mean(finals) - reference,
            )
        )
    return rows


def markdown_table(rows: Sequence[Row]) -> str:
    """Write the table in Markdown, with columns in line for a terminal.

    Args:
        rows (Sequence[Row]): Its lines.

    Returns:
        str: The table, without a line break at the end.
    """
    cells = [("method", "top-1 mean +- std", "gain over the student alone")]
    for row in rows:
        std = "-" if row.std is None else f"{row.std:.2f}"
        gain = "-" if row.gain is None else f"{row.gain:+.2f}"
        cells.append((row.name, f"{row.mean:.2f} +- {std}", gain))
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [
        "| " + " | ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True))
        for line in cells
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths))
    return "\n".join(line + ("|" if "--|" in line else " |") for line in lines)


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


def _new_figure(columns: int, widths: Optional[Sequence[float]] = None):
    """Figure and axes side by side, without matplotlib's global state."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(
            "The pictures are drawn by matplotlib, which is not installed: "
            "pip install matplotlib"
        ) from error
    widths = widths or [1] * columns
    figure = Figure(figsize=(4.6 * sum(widths), 3.8), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, columns, width_ratios=widths, squeeze=False)[0]
    for axis in axes:
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(alpha=0.25)
        axis.set_xlabel("epoch")
    return figure, axes


def _draw_spread(axis, curves: Sequence[Curve], label: str, color: str) -> None:
    steps, middle, deviation = spread(curves)
    axis.plot(steps, middle, color=color, label=label, linewidth=1.5)
    axis.fill_between(
        steps,
        middle - deviation,
        middle + deviation,
        color=color,
        alpha=0.2,
        linewidth=0,
    )


def plot_accuracy(
    path: Path, methods: Sequence[Method], teacher: Optional[Method] = None
) -> None:
    """Draw the accuracy over epochs: the whole run, and its last part closer.

    Args:
        path (Path): The picture.
        methods (Sequence[Method]): The methods; the first is drawn in grey.
        teacher (Method, optional): The teacher, whose last accuracy is drawn.

    Raises:
        ImportError: Where matplotlib is missing.
    """
    figure, (whole, last) = _new_figure(2)
    for index, method in enumerate(methods):
        color = "0.35" if index == 0 else f"C{(index - 1) % 10}"
        for axis in (whole, last):
            _draw_spread(axis, list(method.curves.values()), method.name, color)
    if teacher is not None:
        for axis in (whole, last):
            axis.axhline(
                mean(teacher.finals),
                color="0.35",
                linestyle="--",
                linewidth=1,
                label=f"{teacher.name}, last epoch",
            )
    several = any(len(method.curves) > 1 for method in methods)
    whole.set_ylabel("top-1 accuracy (%)")
    whole.set_title("Mean and standard deviation over seeds" if several else "One seed")
    handles, labels = whole.get_legend_handles_labels()
    whole.legend(handles, labels, loc="lower right", frameon=False)

    epochs = max(max(curve) for m in methods for curve in m.curves.values())
    begin = 1 + math.floor(0.7 * epochs)
    low, high = [], [mean(teacher.finals)] if teacher is not None else []
    for method in methods:
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

    figure, (threshold, share, *weights) = _new_figure(
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
    methods: Sequence[Method],
    teacher: Optional[Method] = None,
    notes: Sequence[str] = (),
    facts: Optional[Dict[str, Any]] = None,
) -> str:
    """Write ``report.md``, ``report.json`` and the pictures of a comparison.

    Args:
        folder (Path): Where to write.
        title (str): Headline of the report.
        methods (Sequence[Method]): The methods, the student alone first.
        teacher (Method, optional): The teacher.
        notes (Sequence[str]): Paragraphs that explain the comparison.
        facts (dict, optional): What was run on what, such as command and commit.

    Returns:
        str: The table.

    Raises:
        ImportError: Where matplotlib is missing.
    """
    facts = facts or {}
    rows = summarise(methods, methods[0].name, teacher)
    table = markdown_table(rows)
    previewing = [method for method in methods if any(method.previews.values())]

    folder.mkdir(parents=True, exist_ok=True)
    plot_accuracy(folder / "accuracy.png", methods, teacher)
    if previewing:
        plot_preview(folder / "preview.png", previewing)

    seeds = sorted({seed for method in methods for seed in method.curves})
    epochs = sorted({max(c) for method in methods for c in method.curves.values()})
    last = " or ".join(map(str, epochs))
    parts = [
        f"# {title}",
        table,
        f"Top-1 accuracy in percent on the test set after the last epoch ({last}), "
        "never the best one; mean and sample standard deviation over the "
        f"{'seeds' if len(seeds) > 1 else 'seed'} {', '.join(map(str, seeds))}.",
        *notes,
        "## Accuracy after each epoch",
        "![Accuracy after each epoch](accuracy.png)",
    ]
    if previewing:
        parts += [
            "## What the preview did",
            "Images up to the threshold, the loss relative to the mean of the batch, "
            "count in full. Harder ones are previewed, with a weight below 1; the "
            "threshold grows, and ever fewer are.",
            "![Threshold, share of previewed images, weights](preview.png)",
        ]
    if facts:
        parts += ["## Made by", *(f"- {key}: {value}" for key, value in facts.items())]
    text = "\n\n".join(parts) + "\n"
    (folder / "report.md").write_text(text.replace("\n\n- ", "\n- "), encoding="utf-8")

    def entry(method: Method, row: Row) -> dict:
        return dict(
            name=row.name,
            mean=row.mean,
            std=row.std,
            gain=row.gain,
            runs=[
                dict(seed=seed, final=curve[max(curve)], accuracy=curve)
                for seed, curve in method.curves.items()
            ],
        )

    everything = [*([teacher] if teacher else []), *methods]
    entries = [entry(*pair) for pair in zip(everything, rows, strict=True)]
    result = dict(
        title=title,
        teacher=entries.pop(0) if teacher else None,
        methods=entries,
        **facts,
    )
    (folder / "report.json").write_text(json.dumps(result, indent=2) + "\n")
    return table
