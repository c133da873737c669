"""Report of a comparison of methods over seeds: tables, pictures and words."""

import json
from pathlib import Path
from typing import Any, Collection, Dict, List, Optional, Sequence

from pckd_mm.utils.files import write_whole

from .methods import Method, Score, Table
from .metric import Metric
from .page import Section, html_page
from .pictures import Picture, draw_pictures
from .tables import Row, command_list, format_table, summarise


def write_report(
    folder: Path,
    title: str,
    tables: Sequence[Table],
    notes: Sequence[str] = (),
    facts: Optional[Dict[str, Any]] = None,
    draw: Optional[Collection[str]] = None,
    appendix: Sequence[Picture] = (),
    about: str = "What was compared",
) -> str:
    """Write a comparison as ``report.md``, ``.json`` and ``.html``, and its pictures.

    The HTML has the pictures inside, and what a look into the networks found.

    Args:
        folder (Path): Where to write.
        title (str): Headline of the report.
        tables (Sequence[Table]): The tables, at least one.
        notes (Sequence[str]): Paragraphs that explain the comparison.
        facts (dict, optional): What was run on what, such as command and commit.
        draw (Collection[str], optional): Names of the tables whose pictures are drawn
            anew even where they are there; None for all.
        appendix (Sequence[Picture]): Further pictures, which are there already, behind
            the tables and theirs.
        about (str): Headline of the notes. Defaults to that of a comparison.

    Returns:
        str: The tables, without a line break at the end.

    Raises:
        ImportError: Where matplotlib is missing.
    """
    facts = facts or {}
    folder.mkdir(parents=True, exist_ok=True)
    sections = [
        Section(
            table,
            summarise(table),
            draw_pictures(folder, table, draw is None or table.name in draw),
        )
        for table in tables
    ]
    text = _markdown(title, sections, notes, facts, appendix)
    _write(folder / "report.md", text.replace("\n\n- ", "\n- "))
    page = html_page(folder, title, sections, notes, facts, appendix, about)
    _write(folder / "report.html", page)
    entries = [_table_entry(section.table, section.rows) for section in sections]
    result = dict(title=title, tables=entries, **facts)
    _write(folder / "report.json", json.dumps(result, indent=2) + "\n")
    return "\n\n".join(part for section in sections for part in _shown(section))


def lines_of(table: Dict[str, Any]) -> List[Dict[str, Any]]:
    """The lines of a table of ``report.json``, for whoever reads one back.

    Args:
        table (dict): One of its ``tables``.

    Returns:
        list[dict]: A line for each method, the teachers first.
    """
    # There was one teacher, or None, when tables could not have several.
    teachers = table.get("teachers", filter(None, [table.get("teacher")]))
    return [*teachers, *table["methods"]]


def _shown(section: Section) -> List[str]:
    """Headline and table in Markdown."""
    name = section.table.name
    return [*([f"## {name}"] if name else []), format_table(section.cells)]


def _markdown(
    title: str,
    sections: Sequence[Section],
    notes: Sequence[str],
    facts: Dict[str, Any],
    appendix: Sequence[Picture],
) -> str:
    """The report in Markdown."""
    parts = [f"# {title}"]
    for section in sections:
        name = section.table.name
        parts += [*_shown(section), section.caption]
        parts += [part for part in [command_list(section.rows)] if part]
        if not name:
            parts += notes
        for picture in section.pictures:
            parts += picture.markdown(3 if name else 2)
        if name and section is sections[-1]:
            parts += notes
    for picture in appendix:
        parts += picture.markdown()
    whole = "[report.html](report.html) is this report in one file"
    if any(section.table.inspected for section in sections):
        whole += ", with images that were previewed and categories that are confused"
    parts.append(f"{whole}.")
    if facts:
        parts += ["## Made by", *(f"- {key}: {value}" for key, value in facts.items())]
    return "\n\n".join(parts) + "\n"


def _write(path: Path, text: str) -> None:
    write_whole(str(path), text.encode())


def _table_entry(table: Table, rows: Sequence[Row]) -> dict:
    """A table as report.json has it."""
    entries: List[Dict[str, Any]] = [
        dict(
            name=row.name,
            config=method.config,
            options=method.options,
            teacher=method.teacher,
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
    number = len(table.teachers)
    entry: Dict[str, Any] = dict(
        name=table.name,
        metric=table.metric.name,
        held_out=table.held_out,
        teachers=entries[:number],
        methods=entries[number:],
    )
    if table.inspected is not None:
        entry["inspected"] = dict(
            wrong=table.inspected.wrong,
            likeness_to_teacher=table.inspected.likeness_to_teacher(),
        )
    return entry


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
