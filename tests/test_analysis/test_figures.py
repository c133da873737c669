"""Pictures from numbers made by hand."""

import pytest

from pckd_mm.analysis import MAP50, Method, figures
from pckd_mm.analysis.curves import LossCurves
from pckd_mm.analysis.figures import spread
from tests.test_analysis.finished import ALONE, TEACHER


def test_spread_over_runs():
    steps, mean, deviation = spread([{1: 1.0, 2: 4.0}, {1: 3.0, 2: 4.0, 3: 5.0}])
    assert steps.tolist() == [1, 2]
    assert mean.tolist() == [2.0, 4.0]
    assert deviation.tolist() == [pytest.approx(2**0.5), 0.0]
    assert spread([{1: 1.0}])[2].tolist() == [0.0]


def axes_of(monkeypatch, *args):
    """What plot_curves draws."""
    drawn, new = [], figures.new_figure
    monkeypatch.setattr(
        figures, "new_figure", lambda *size: drawn.append(new(*size)) or drawn[-1]
    )
    figures.plot_curves(*args)
    return drawn[0].axes


def test_axes_name_the_metric_and_gaps_are_marked(tmp_path, monkeypatch):
    methods = [ALONE, Method("gaps", {0: {2: 91.0, 4: 92.0}})]
    whole, last = axes_of(monkeypatch, tmp_path / "a.png", methods, [], MAP50)
    assert whole.get_ylabel() == "mean average precision at IoU 0.5 (%)"
    assert [line.get_marker() for line in last.lines] == ["None", "."]
    assert last.lines[1].get_xdata().tolist() == [2, 4]
    monkeypatch.undo()
    teachers = [TEACHER, Method("late", {}), Method("big", {0: {3: 99.0}})]
    whole, _ = axes_of(monkeypatch, tmp_path / "b.png", [ALONE], teachers)
    assert whole.get_ylabel() == "top-1 accuracy (%)"
    lines = {line.get_label(): line for line in whole.lines}
    first, second = (lines[f"{name}, last epoch"] for name in ("teacher", "big"))
    assert (first.get_ydata()[0], second.get_ydata()[0]) == (97.5, 99.0)
    assert first.get_linestyle() != second.get_linestyle() and len(lines) == 3


def test_areas_of_the_losses(tmp_path, monkeypatch):
    drawn, new = [], figures.new_figure
    monkeypatch.setattr(
        figures, "new_figure", lambda *size: drawn.append(new(*size)) or drawn[-1]
    )
    values = dict(student={10: 1.0, 20: 3.0}, loss_kd={10: 3.0, 20: 1.0})
    shares = dict(student={1: 0.9}, loss_kd={1: 0.1})
    measured = LossCurves(values, shares, dict(student={1: 1.0}, loss_kd={1: 0.7}))
    methods = [
        Method("one", {}, losses={0: measured}),
        Method("two", {}, losses={0: LossCurves(values)}),
    ]
    figures.plot_losses(tmp_path / "losses.png", methods)
    first, gradient, direction, second, missing, none = drawn[0].axes
    assert first.get_title() == "Share in the sum, one (%)"
    assert missing.get_title() == "Share in the gradient, two: not measured"
    assert none.get_title() == "Direction, two: not measured"
    zero, line = direction.lines
    assert line.get_xydata().tolist() == [[1.0, 0.7]]
    # The upper edges of the areas: 25 and 75 percent, then all.
    lower, upper = (area.get_paths()[0].vertices for area in first.collections)
    assert {(10.0, 25.0), (20.0, 75.0)} <= set(map(tuple, lower.tolist()))
    assert {(10.0, 100.0), (20.0, 100.0)} <= set(map(tuple, upper.tolist()))
    (edge, _) = (area.get_paths()[0].vertices for area in gradient.collections)
    assert edge[:, 1].max() == 90.0
    assert len(second.collections) == 2
    assert (tmp_path / "losses.png").is_file()
