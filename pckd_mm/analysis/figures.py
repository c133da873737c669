"""Pictures of a comparison of methods over seeds."""

import math
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING, Any, Dict, List, Optional, Sequence, Tuple

import numpy as np

from pckd_mm.utils.loss_terms import STUDENT

from .curves import Curve
from .methods import Method
from .metric import TOP1, Metric

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


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


def new_figure(width: float, height: float) -> "Figure":
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


def _curve_axes(
    columns: int, widths: Optional[Sequence[float]] = None
) -> Tuple["Figure", Any]:
    """Figure and axes side by side, over epochs."""
    widths = widths or [1] * columns
    figure = new_figure(4.6 * sum(widths), 3.8)
    from matplotlib.ticker import MaxNLocator

    axes = figure.subplots(1, columns, width_ratios=widths, squeeze=False)[0]
    for axis in axes:
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(alpha=0.25)
        axis.set_xlabel("epoch")
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    return figure, axes


def _draw_spread(axis: "Axes", curves: Sequence[Curve], label: str, color: str) -> None:
    steps, middle, deviation = spread(curves)
    # Not every epoch need be validated.
    marker = "." if len(steps) < max(steps[-1], 2) else None
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
    teachers: Sequence[Method] = (),
    metric: Metric = TOP1,
    step: str = "epoch",
    of_seeds: bool = True,
) -> None:
    """Draw the metric over epochs: the whole run, and its last part closer.

    Args:
        path (Path): The picture.
        methods (Sequence[Method]): The methods; the first is drawn in grey, one
            without a finished run not at all.
        teachers (Sequence[Method]): The teachers, whose last values are drawn.
        metric (Metric): What the curves are of. Defaults to top-1.
        step (str): What they are over. Defaults to 'epoch'.
        of_seeds (bool): Whether methods have several runs. Defaults to True.

    Raises:
        ImportError: Where matplotlib is missing.
    """
    figure, (whole, last) = _curve_axes(2)
    for axis in (whole, last):
        axis.set_xlabel(step)
    for index, method in enumerate(methods):
        if not method.curves:
            continue
        color = "0.35" if index == 0 else f"C{(index - 1) % 10}"
        for axis in (whole, last):
            _draw_spread(axis, list(method.curves.values()), method.name, color)
    shown = [method for method in methods if method.curves]
    teachers = [teacher for teacher in teachers if teacher.curves]
    for place, teacher in enumerate(teachers):
        for axis in (whole, last):
            axis.axhline(
                mean(teacher.finals),
                color="0.35",
                linestyle=("--", ":", "-.")[place % 3],
                linewidth=1,
                label=f"{teacher.name}, last epoch",
            )
    several = any(len(method.curves) > 1 for method in shown)
    whole.set_ylabel(f"{metric.label}{metric.sign}")
    title = "Mean and standard deviation over seeds" if several else "One seed"
    whole.set_title(title if of_seeds else "The whole training")
    handles, labels = whole.get_legend_handles_labels()
    size = "medium" if len(labels) < 7 else "x-small"
    whole.legend(handles, labels, loc="lower right", frameon=False, fontsize=size)

    epochs = max(max(curve) for m in shown for curve in m.curves.values())
    begin = 1 + math.floor(0.7 * epochs)
    low, high = [], [mean(teacher.finals) for teacher in teachers]
    for method in shown:
        steps, middle, deviation = spread(list(method.curves.values()))
        late = steps >= min(begin, steps[-1])
        low.extend(middle[late] - deviation[late])
        high.extend(middle[late] + deviation[late])
    margin = 0.05 * (max(high) - min(low)) + 0.05
    last.set_ylim(min(low) - margin, max(high) + margin)
    last.set_xlim(begin, max(epochs, begin + 1))
    last.set_title(f"From {step} {begin} on")
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


def plot_losses(path: Path, methods: Sequence[Method]) -> None:
    """Draw the share of each loss in the sum and in the gradient, and its direction.

    Args:
        path (Path): The picture.
        methods (Sequence[Method]): Methods with losses; of each the first seed's are
            drawn, in a row.

    Raises:
        ImportError: Where matplotlib is missing.
    """
    figure = new_figure(12.6, 3.2 * len(methods))
    from matplotlib.patches import Patch

    rows = figure.subplots(len(methods), 3, squeeze=False)
    terms = losses_of(methods)
    colors = _colors_of(terms)
    for row, method in zip(rows, methods, strict=True):
        losses = next(iter(method.losses.values()))
        name = f", {method.name}" if len(methods) > 1 else ""
        for axis in row:
            axis.spines[["top", "right"]].set_visible(False)
            axis.set_xlabel("step")
        _draw_shares(row[0], losses.shares(), colors, f"Share in the sum{name}")
        _draw_shares(row[1], losses.gradient, colors, f"Share in the gradient{name}")
        title = f"Direction{name}"
        others = {k: v for k, v in losses.cosines.items() if k != STUDENT}
        if not others:
            _draw_nothing(row[2], title)
            continue
        row[2].set_title(f"{title}: cosine with 'student'")
        row[2].axhline(0, color="0.6", linewidth=0.8)
        row[2].set_ylim(-1, 1)
        for term, curve in others.items():
            row[2].plot(list(curve), list(curve.values()), ".-", color=colors[term])
    handles = [Patch(color=color, alpha=0.85) for color in colors.values()]
    figure.legend(handles, list(colors), loc="outside right center", frameon=False)
    figure.savefig(path)


def _colors_of(terms: Sequence[str]) -> Dict[str, str]:
    """A colour for each loss, the same in every picture for those of PCKD."""
    known = [STUDENT, "loss_kd", "loss_cc", "loss_ca", "loss_fa"]
    order = [*known, *(term for term in terms if term not in known)]
    return {term: f"C{order.index(term) % 10}" for term in terms}


def _draw_nothing(axis: "Axes", title: str) -> None:
    axis.set_title(f"{title}: not measured")
    axis.set_axis_off()


def _draw_shares(
    axis: "Axes", shares: Dict[str, Curve], colors: Dict[str, str], title: str
) -> None:
    """Draw areas that add up to all."""
    steps = sorted({step for curve in shares.values() for step in curve})
    if not steps:
        _draw_nothing(axis, title)
        return
    axis.set_title(f"{title} (%)")
    axis.set_ylim(0, 100)
    there = [term for term in colors if term in shares]
    values = [[100 * shares[t].get(s, 0.0) for s in steps] for t in there]
    if len(steps) == 1:  # an area needs two
        steps, values = [0, steps[0]], [[v[0], v[0]] for v in values]
    shown = [colors[term] for term in there]
    axis.stackplot(steps, values, labels=there, colors=shown, alpha=0.85)
    axis.set_xlim(steps[0], steps[-1])


def losses_of(methods: Sequence[Method]) -> List[str]:
    """Names of the losses of some methods' first seeds, the student's own first."""
    first = [next(iter(method.losses.values())) for method in methods]
    return list(dict.fromkeys(name for losses in first for name in losses.values))
