"""What a search found: a table, a picture, and the winner as a config."""

import json
import math
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence

import optuna

from pckd_mm.analysis.figures import new_figure
from pckd_mm.analysis.tables import format_table
from pckd_mm.utils.files import write_whole

from .space import Range, distributions
from .trials import FAILED, Trial

__all__ = ["Found", "importances", "write_report"]

# Fewer trials say nothing about what mattered.
_FEWEST = 4


@dataclass
class Found:
    """A search so far.

    Args:
        ranges (Sequence[Range]): What is searched.
        trials (Sequence[Trial]): All trials.
        metric (str): What ``value`` of a trial is, in words.
    """

    ranges: Sequence[Range]
    trials: Sequence[Trial]
    metric: str

    @property
    def best(self) -> Optional[Trial]:
        """Trial, optional: The best one of those that were trained to their end."""
        finished = [
            (value, trial)
            for trial in self.trials
            if trial.is_finished and (value := trial.value) is not None
        ]
        return max(finished, key=itemgetter(0))[1] if finished else None

    @property
    def first(self) -> Optional[Trial]:
        """Trial, optional: That of the config's values, if it was trained."""
        first = self.trials[0] if self.trials else None
        return first if first is not None and first.is_finished else None

    def ordered(self) -> List[Trial]:
        """The trials: finished ones by their value, then those that came furthest."""

        def rank(trial: Trial) -> tuple:
            curve = trial.curve()
            value = curve[max(curve)] if curve else -math.inf
            failed = trial.ended == FAILED
            return trial.is_finished, not failed, max(curve, default=0), value

        return sorted(self.trials, key=rank, reverse=True)

    def table(self) -> str:
        """The trials in Markdown."""
        names = [entry.name for entry in self.ranges]
        cells = [["trial", *names, self.metric, "how it ended"]]
        for trial in self.ordered():
            number = f"{trial.number}" + (" (as in the config)" * (trial.number == 0))
            value = "-" if trial.value is None else f"{trial.value:.2f}"
            values = [f"{trial.values[name]}" for name in names]
            cells.append([number, *values, value, trial.state()])
        return format_table(cells)


def importances(found: Found) -> Dict[str, float]:
    """How much of the differences between trials each setting explains.

    By Optuna's fANOVA (Hutter et al., ICML 2014), at the last epoch that all trials
    reached, so that those which were stopped count too.

    Args:
        found (Found): The search.

    Returns:
        dict[str, float]: Shares that sum to 1, the largest first; empty where there are
        too few trials, or they do not differ.
    """
    curves = {t.number: t.curve() for t in found.trials if t.ended != FAILED}
    reached = [max(curve) for curve in curves.values() if curve]
    if len(reached) < _FEWEST:
        return {}
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize")
    for trial in found.trials:
        curve = curves.get(trial.number)
        if curve:
            epoch = max((e for e in curve if e <= min(reached)), default=min(curve))
            study.add_trial(
                optuna.trial.create_trial(
                    params=trial.values,
                    distributions=distributions(found.ranges),
                    value=curve[epoch],
                )
            )
    if len({trial.value for trial in study.trials}) < 2:
        return {}
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
    return optuna.importance.get_param_importances(study, evaluator=evaluator)


def write_report(
    folder: Path,
    title: str,
    found: Found,
    caption: str,
    next_steps: Sequence[str],
    facts: Dict[str, Any],
) -> str:
    """Write a search as ``report.md`` and ``report.json``, and its picture.

    Args:
        folder (Path): Where to write.
        title (str): Headline.
        found (Found): The search.
        caption (str): What the values are.
        next_steps (Sequence[str]): Commands and what they are for, in Markdown.
        facts (dict): What was run on what.

    Returns:
        str: The table.
    """
    table, shares = found.table(), importances(found)
    parts = [f"# {title}", table, caption]
    if shares:
        _draw(folder / "what_mattered.png", found, shares)
        in_words = ", ".join(f"{name} {100 * s:.0f} %" for name, s in shares.items())
        parts += [
            "## What mattered",
            f"![importances](what_mattered.png)\n\nHow much of the differences between "
            f"the trials each setting explains (fANOVA, of Optuna): {in_words}. "
            "Measured at the last epoch that all trials reached.",
        ]
    if next_steps:
        parts += ["## What to do next", *next_steps]
    parts += ["## Made by", "\n".join(f"- {key}: {v}" for key, v in facts.items())]
    write_whole(str(folder / "report.md"), ("\n\n".join(parts) + "\n").encode())
    entries = [
        dict(
            number=trial.number,
            values=trial.values,
            value=trial.value,
            finished=trial.is_finished,
            ended=trial.ended,
            curve=trial.curve(),
        )
        for trial in found.trials
    ]
    best = found.best
    result = dict(
        title=title,
        metric=found.metric,
        best=None if best is None else best.number,
        importances=shares,
        trials=entries,
        **facts,
    )
    write_whole(
        str(folder / "report.json"), (json.dumps(result, indent=2) + "\n").encode()
    )
    return table


def _draw(path: Path, found: Found, shares: Dict[str, float]) -> None:
    """Bars of what mattered, and the value of each trial over each setting."""
    figure = new_figure(3 * (1 + len(shares)), 3)
    axes = figure.subplots(1, 1 + len(shares))
    bars, *scatters = axes
    names = list(shares)[::-1]
    bars.barh(names, [100 * shares[name] for name in names], color="tab:blue")
    bars.set_xlabel("share of the differences, %")
    by_name = {entry.name: entry for entry in found.ranges}
    kinds = [(True, "trained to the end", "tab:blue"), (False, "stopped", "0.7")]
    for axis, name in zip(scatters, shares, strict=True):
        for finished, label, color in kinds:
            points = [
                (trial.values[name], trial.value)
                for trial in found.trials
                if trial.is_finished is finished and trial.value is not None
            ]
            xs = [x for x, _ in points]
            ys = [y for _, y in points]
            if by_name[name].choices:
                xs = list(map(str, xs))
            axis.scatter(xs, ys, s=14, color=color, label=label)
        entry = by_name[name]
        if not entry.choices and entry.log:
            axis.set_xscale("log")
        axis.set_xlabel(name)
    scatters[0].set_ylabel(found.metric)
    scatters[0].legend(fontsize="small")
    figure.savefig(path)
