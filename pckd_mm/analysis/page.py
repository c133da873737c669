"""A report as one HTML file that needs nothing beside it."""

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Sequence

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from pckd_mm.utils.data_uri import data_uri

from .methods import Table
from .pictures import Picture
from .tables import Row, caption, table_cells

__all__ = ["Section", "html_page"]

TEMPLATES = Path(__file__).parent / "templates"


@dataclass
class Section:
    """A table of a report with what stands around it.

    Args:
        table (Table): The table.
        rows (list[Row]): Its lines.
        pictures (list[Picture]): Its pictures.
    """

    table: Table
    rows: List[Row]
    pictures: List[Picture]

    @property
    def cells(self) -> List[List[str]]:
        """list[list[str]]: The cells of its lines, the headline first."""
        return table_cells(self.rows, self.table.metric, self.table.of_seeds)

    @property
    def caption(self) -> str:
        """str: What its numbers are."""
        return caption(self.table)


def html_page(
    folder: Path,
    title: str,
    sections: Sequence[Section],
    notes: Sequence[str],
    facts: Dict[str, Any],
    appendix: Sequence[Picture],
    about: str,
) -> str:
    """Write a report in HTML, with its pictures inside.

    Args:
        folder (Path): The report's folder, which has the pictures' files.
        title (str): Its title.
        sections (Sequence[Section]): Its tables.
        notes (Sequence[str]): Paragraphs that say what was compared.
        facts (dict): What was run on what.
        appendix (Sequence[Picture]): Further pictures.
        about (str): Headline of the notes.

    Returns:
        str: The page.
    """

    def inlined(picture: Picture) -> Dict[str, Any]:
        content = (folder / picture.file).read_bytes()
        width, height = struct.unpack(">II", content[16:24])  # of a PNG file
        return dict(uri=data_uri(content), width=width, height=height)

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["inlined"] = inlined
    return environment.get_template("report.html.jinja").render(
        title=title,
        sections=sections,
        notes=notes,
        facts=facts,
        appendix=appendix,
        about=about,
    )
