"""What a report of ``pckd compare`` has for ``docs/measured.yml``."""

from typing import Any, Dict, List, Mapping

from pckd_mm.utils.commits import all_of

from .measured import METRICS, VAL_SHARE, Measurement
from .metric import AP, TOP1
from .report import lines_of


def from_report(report: Dict[str, Any]) -> List[Measurement]:
    """Take the measurements out of a report of ``pckd compare``.

    Args:
        report (dict): What its ``report.json`` holds.

    Returns:
        list[Measurement]: An entry for each config with a finished run; tests of a
        teacher that was there before are none.

    Raises:
        ValueError: Where the configs were not trained as they are, or the report does
            not say which were, or they are compared by another metric than those of
            :data:`measured.METRICS`.
    """
    if report.get("options"):
        raise ValueError(
            f"The report is of configs with the settings {report['options']}; expected "
            "one of plain configs."
        )
    if report.get("gpus_per_run"):
        raise ValueError(
            f"The report is of runs on {report['gpus_per_run']} GPUs each, with as "
            "many times the batch; expected one of configs as they are."
        )
    _require_apart(report)
    # A student of two pairs, or one that is a teacher too, is in several tables.
    rows: Dict[tuple, dict] = {}
    runs: Dict[tuple, Dict[int, dict]] = {}
    fields: Dict[tuple, str] = {}
    for table in report["tables"]:
        kind = _field_of(table.get("metric", TOP1.name))
        held_out = table.get("held_out")
        shared = [f"{VAL_SHARE}={held_out}"] if held_out else []
        for row in lines_of(table):
            for run in row["runs"]:
                if "tested" in run:
                    continue
                apart = run.get("apart", ())
                key = row["config"], (*row.get("options", ()), *shared, *apart)
                rows.setdefault(key, row)
                fields[key] = kind
                runs.setdefault(key, {})[run["seed"]] = run

    def values(of_row: tuple, key: str) -> str:
        of_runs = (run.get(key) for run in runs[of_row].values())
        found = {value or report.get(key) or "unknown" for value in of_runs}
        if key == "commit":
            found = all_of(found)
        return ", ".join(sorted(found))

    def measurement(key: tuple, by_seed: Dict[int, dict]) -> Measurement:
        facts: Dict[str, Any] = {
            name: values(key, name)
            for name in ("commit", "hardware", "software", "precision")
        }
        return Measurement(
            config=key[0],
            command=rows[key]["command"] or report["command"],
            date=max(run.get("date", "unknown") for run in by_seed.values()),
            options=list(key[1]),
            name=rows[key]["name"] if key[1] else "",
            **_by_seed(fields[key], by_seed),
            **facts,
        )

    return [measurement(key, by_seed) for key, by_seed in runs.items()]


def _require_apart(report: Dict[str, Any]) -> None:
    """Refuse an old report that has runs to set apart, and does not say which."""
    had = [key for key in ("share_teacher", "speed") if report.get(key)]
    # Those with several teachers have it of each run.
    if had and any("teachers" not in table for table in report["tables"]):
        told = " and ".join(f"{key} {report[key]}" for key in had)
        raise ValueError(
            f"The report is of runs with {told}, and does not say of which; expected "
            "one that does: call the same command again, which writes it anew."
        )


def _field_of(metric: str) -> str:
    """The field that holds a report's metric."""
    names = {metric.name: key for key, metric in METRICS.items()}
    if metric not in names:
        raise ValueError(f"The report is of {metric}; expected {' or '.join(names)}.")
    return names[metric]


def _by_seed(key: str, runs: Mapping[int, dict]) -> Dict[str, Any]:
    """Values of the runs of a config, those of all runs or none of a kind."""
    curves: Dict[int, Any] = {s: run.get(METRICS[key].slug) for s, run in runs.items()}
    aps: Dict[int, Any] = {seed: run.get(AP.slug) for seed, run in runs.items()}
    # Of JSON, whose keys are strings.
    values = {key: {seed: run["final"] for seed, run in runs.items()}}
    if all(curves.values()):
        values["best"] = {seed: max(curve.values()) for seed, curve in curves.items()}
    if all(aps.values()):
        values["ap"] = {seed: curve[max(curve, key=int)] for seed, curve in aps.items()}
    return {
        key: {seed: round(value, 2) for seed, value in by_seed.items()}
        for key, by_seed in values.items()
    }
