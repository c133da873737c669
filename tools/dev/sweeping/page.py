"""The results of the sweep: a JSON file, and the table of docs/networks.md."""

import json
import re
from collections import Counter
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

from .kinds import LEFT_OUT, PACKAGES
from .outcomes import RESULTS, WORKS

Rows = Dict[Tuple[str, str], Dict[str, Any]]

BEGIN, END = "<!-- begin sweep -->", "<!-- end sweep -->"
ROLES = ("student", "teacher")
_HEADING = "### "
_LONGEST = 400  # characters of a reason


def read(path: Optional[Path]) -> Rows:
    """Results of earlier trials, by kind and role."""
    if path is None or not path.is_file():
        return {}
    rows = json.loads(path.read_text(encoding="utf-8"))
    return {(row["kind"], row["role"]): row for row in rows}


def write_rows(path: Path, rows: Rows) -> None:
    """Write all results."""
    text = json.dumps([rows[key] for key in sorted(rows)], indent=1)
    path.write_text(text + "\n", encoding="utf-8")


def tables(rows: Rows) -> Dict[str, str]:
    """Numbers, a table and the reasons of each library.

    Args:
        rows (dict): Results by kind and role.

    Returns:
        dict[str, str]: Markdown, by library.
    """
    found = {}
    for library, package in PACKAGES.items():
        ids = sorted({kind for kind, _ in rows if kind.startswith(f"{library}/")})
        if not ids:
            continue
        lines = ["| kind | network | as student | as teacher |", "|---|---|---|---|"]
        lines += [_line(rows, kind) for kind in ids]
        heading = f"{_HEADING}{library} {_version(package)}".rstrip()
        parts = [heading, _counts(rows, ids), "\n".join(lines)]
        if library in LEFT_OUT:
            parts.append(_not_tried(LEFT_OUT[library]))
        found[library] = "\n\n".join(parts)
    return found


def _written(text: str) -> Dict[str, str]:
    """The tables that are there, by library."""
    parts = re.split(f"^(?={_HEADING})", text, flags=re.MULTILINE)
    return {part.split()[1]: part.strip() for part in parts if part.strip()}


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _counts(rows: Rows, ids: List[str]) -> str:
    said = []
    for role in ROLES:
        tally = Counter(
            rows[kind, role]["result"] for kind in ids if (kind, role) in rows
        )
        numbers = [f"{name} {tally[name]}" for name in RESULTS if tally[name]]
        if numbers:
            said.append(f"As {role}: {', '.join(numbers)}.")
    return f"{len(ids)} kinds. " + " ".join(said)


def _not_tried(left_out: Dict[str, str]) -> str:
    """The folders of configs without a kind, by reason."""
    reasons: Dict[str, List[str]] = {}
    for folder, reason in left_out.items():
        reasons.setdefault(reason, []).append(folder)
    lines = [f"- {reason}: {', '.join(names)}" for reason, names in reasons.items()]
    return "\n".join(["Folders of configs that are not tried:", "", *lines])


def _line(rows: Rows, kind: str) -> str:
    cells = []
    for role in ROLES:
        row = rows.get((kind, role))
        cells.append("-" if row is None else _cell(row))
    of_teacher = cells[0].replace("The student", "The teacher")
    if cells[1] in (cells[0], of_teacher) and cells[0] not in (WORKS, "-"):
        cells[1] = "the same"
    source = next(rows[kind, role]["source"] for role in ROLES if (kind, role) in rows)
    return f"| {kind.split('/', 1)[1]} | {source} | {cells[0]} | {cells[1]} |"


def _cell(row: Dict[str, Any]) -> str:
    if row["result"] == WORKS:
        return WORKS
    detail = " ".join(row["detail"].split())
    if len(detail) > _LONGEST:
        detail = detail[:_LONGEST].rsplit(" ", 1)[0] + " ..."
    detail = detail.replace("|", r"\|").replace("<", r"\<")
    return f"{row['result']}: {detail}".rstrip(": ")


def write(path: Path, rows: Rows) -> None:
    """Put the tables between the markers of the page.

    Those of libraries without a result stay.

    Args:
        path (Path): The page.
        rows (dict): Results by kind and role.

    Raises:
        ValueError: Where the page has no markers.
    """
    text = path.read_text(encoding="utf-8")
    if text.count(BEGIN) != 1 or text.count(END) != 1:
        raise ValueError(
            f"{path} has not one {BEGIN} and one {END}; expected both, around the "
            "generated tables."
        )
    before, rest = text.split(BEGIN)
    there, after = rest.split(END)
    found = {**_written(there), **tables(rows)}
    middle = "\n\n".join(found[library] for library in PACKAGES if library in found)
    path.write_text(f"{before}{BEGIN}\n\n{middle}\n\n{END}{after}", encoding="utf-8")
