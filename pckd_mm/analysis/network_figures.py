"""Pictures of what is in trained classifiers."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, List, Sequence, Tuple

import numpy as np

from .feature_map import FeatureMap
from .figures import new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Categories whose names fit beside a matrix.
_NAMED = 25


def _panels(total: int, most: int, width: float, height: float) -> Tuple["Figure", Any]:
    """A figure and its axes, one for each network."""
    columns = min(most, total)
    rows = math.ceil(total / columns)
    figure = new_figure(width * columns + 0.6, height * rows)
    axes = figure.subplots(rows, columns, squeeze=False).flatten()
    for axis in axes[total:]:
        axis.set_visible(False)
    return figure, axes[:total]


def plot_centers(
    path: Path, matrices: Dict[str, np.ndarray], likeness: Dict[str, float]
) -> None:
    """Draw correlations between the category centers of networks side by side.

    Args:
        path (Path): The picture.
        matrices (dict[str, np.ndarray]): A matrix of shape (C, C) for each network.
        likeness (dict[str, float]): How alike those of a network are to its teacher's,
            for its title; not every network need have one.

    Raises:
        ImportError: Where matplotlib is missing.
    """
    figure, axes = _panels(len(matrices), 4, 2.9, 3.1)
    beside = [matrix[~np.eye(len(matrix), dtype=bool)] for matrix in matrices.values()]
    limit = max(np.percentile(np.abs(values), 99.5) for values in beside)
    for axis, (name, matrix) in zip(axes, matrices.items(), strict=True):
        # A center's correlation with itself is 1, and would be all that is seen.
        shown = np.ma.array(matrix, mask=np.eye(len(matrix), dtype=bool))
        drawn = axis.imshow(shown, cmap="RdBu_r", vmin=-limit, vmax=limit)
        axis.set_xticks([])
        axis.set_yticks([])
        title = name
        if name in likeness:
            title += f"\nlike the teacher: {likeness[name]:.3f}"
        axis.set_title(title, fontsize="medium")
    figure.colorbar(drawn, ax=axes.tolist(), label="correlation", shrink=0.8)
    figure.savefig(path)


def plot_features(
    path: Path, maps: Dict[str, FeatureMap], categories: Sequence[str]
) -> None:
    """Draw features of networks in a plane, a colour for each category.

    Args:
        path (Path): The picture.
        maps (dict[str, FeatureMap]): The points of each network.
        categories (Sequence[str]): Names of the categories.

    Raises:
        ImportError: Where matplotlib is missing.
    """
    figure, axes = _panels(len(maps), 3, 3.6, 3.7)
    for axis, (name, found) in zip(axes, maps.items(), strict=True):
        for index, category in enumerate(np.unique(found.labels).tolist()):
            x, y = found.points[found.labels == category].T
            label = str(categories[category])
            axis.scatter(x, y, s=9, color=f"C{index % 10}", label=label, linewidths=0)
        axis.set_xticks([])
        axis.set_yticks([])
        axis.set_title(f"{name}\nsilhouette {found.silhouette:.3f}", fontsize="medium")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(
        handles,
        [label.replace("$", r"\$") for label in labels],
        loc="outside right center",
        frameon=False,
        markerscale=2,
    )
    figure.savefig(path)


def plot_confusion(
    path: Path, matrices: Dict[str, np.ndarray], categories: Sequence[str]
) -> None:
    """Draw confusion matrices, in shares of each category's images.

    Args:
        path (Path): The picture.
        matrices (dict[str, np.ndarray]): Counts of each network, shape (C, C).
        categories (Sequence[str]): Names of the categories.

    Raises:
        ImportError: Where matplotlib is missing.
    """
    from matplotlib.colors import LogNorm

    named = len(categories) <= _NAMED
    side = 3.4 if not named else 2.6 + 0.16 * len(categories)
    figure, axes = _panels(len(matrices), 3, side, side)
    for axis, (name, counts) in zip(axes, matrices.items(), strict=True):
        shares = 100 * counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        drawn = axis.imshow(
            np.ma.masked_equal(shares, 0),
            norm=LogNorm(vmin=1, vmax=100),
            cmap="viridis_r",
            interpolation="nearest",
        )
        places: List[int] = list(range(len(categories))) if named else []
        names = [str(c).replace("$", r"\$") for c in categories] if named else []
        axis.set_xticks(places, names, rotation=90, fontsize=7)
        axis.set_yticks(places, names, fontsize=7)
        axis.set_xlabel("taken for")
        axis.set_ylabel("category")
        axis.set_title(name, fontsize="medium")
    bar = figure.colorbar(drawn, ax=axes.tolist(), shrink=0.8)
    bar.set_label("images of the category (%)")
    bar.ax.set_yticks([1, 10, 100], ["1", "10", "100"])
    figure.savefig(path)
