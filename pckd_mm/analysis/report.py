"""Report of a comparison of methods over seeds: tables, pictures and words."""

import json
from pathlib import Path
from typing import Any, Collection, Dict, List, Optional, Sequence

from .figures import plot_curves, plot_preview
from .methods import Method, Score, Table
from .metric import Metric
from .tables import (
    Row,
    capital,
    caption,
    command_list,
    format_table,
    summarise,
    table_cells,
)


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
        rows = summarise(table)
        entries.append(_table_entry(table, rows))
        headline = [f"## {table.name}"] if table.name else []
        block = [*headline, format_table(table_cells(rows, table.metric))]
        shown += block
        parts += [*block, caption(table)]
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
            **_score_entry(row.score),
            n=row.n,
            gain=row.gain,
            published=row.published,
            command=row.command,
            runs=_run_entries(method, table.metric),
            **{metric.slug: _score_entry(s) for metric, s in row.further.items()},
        )
        for method, row in zip(table.everything, rows, strict=True)
    ]
    teacher = entries.pop(0) if table.teacher else None
    return dict(
        name=table.name, metric=table.metric.name, teacher=teacher, methods=entries
    )


def _score_entry(score: Score) -> dict:
    return dict(mean=score.mean, std=score.std, best=score.best)


def _run_entries(method: Method, metric: Metric) -> List[dict]:
    """The runs of a method as report.json has them."""
    entries = []
    for seed, curve in method.curves.items():
        notes = method.notes.get(seed, {})
        best = None if "tested" in notes else max(curve.values())
        further = {
            other.slug: curves[seed]
            for other, curves in method.further.items()
            if seed in curves
        }
        final = curve[max(curve)]
        entries.append(
            dict(
                seed=seed,
                final=final,
                best=best,
                **notes,
                **{metric.slug: curve},
                **further,
            )
        )
    return entries


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
    headline = f"{capital(metric.kind)} after each {validated}epoch"
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
