"""Tables of steps and contrast on a GPU, of what tools/benchmarks/gpu.sh measured."""

import json
import re
from pathlib import Path
from typing import Any, Dict, List, Sequence

from pckd_mm.analysis import format_number, format_table

RECORD = Path("docs") / "speed_gpu.json"
# Columns: title, key of a step's result, format.
STEP = (
    ("plain ms", "plain_ms", ".1f"),
    ("floor ms", "floor_ms", ".1f"),
    ("project ms", "project_ms", ".1f"),
    ("KD ms", "kd_ms", ".1f"),
    ("plain / project", "plain_over_project", ".2f"),
    ("project / floor", "project_over_floor", ".3f"),
    ("own work", "own_share", ".1%"),
    ("arithmetic ms", "arithmetic_ms", ".1f"),
)
CONTRAST = (
    ("anchors", "anchors", "d"),
    ("dense ms", "dense_ms", ".1f"),
    ("blocks ms", "blocks_ms", ".1f"),
    ("blocks / dense", "blocks_over_dense", ".2f"),
    ("blocks, peak MiB", "blocks_peak_mb", ".0f"),
)


class SpeedTables:
    """The generated tables of speed on a GPU.

    Args:
        root (Path): Root of the repository.
    """

    def __init__(self, root: Path) -> None:
        self.path = root / RECORD
        self.parts: Dict[str, dict] = json.loads(self.path.read_text("utf-8"))

    def add(self, path: Path) -> None:
        """Take the result of a part, in a file that is called by its name.

        Args:
            path (Path): What ``tools/benchmarks/gpu.sh`` wrote.

        Raises:
            ValueError: For a file of another name, and for results of a CPU.
        """
        if path.stem not in self.parts:
            raise ValueError(
                f"{path} is no part of {RECORD}; expected one of "
                f"{', '.join(self.parts)}: leave it out."
            )
        result = json.loads(path.read_text("utf-8"))
        if re.search(r", \d+ cores?$", result["device"]):
            raise ValueError(
                f"{path} was measured on {result['device']}; expected a GPU: leave it "
                "out."
            )
        self.parts[path.stem]["result"] = result

    def write(self) -> None:
        """Record what was added."""
        self.path.write_text(json.dumps(self.parts, indent=2) + "\n", "utf-8")

    def _steps(self) -> str:
        titles = [title for title, *_ in STEP]
        lines = [["pair", "images", "options", *titles, "device", "commit"]]
        for part in self.parts.values():
            if "pair" not in part:
                continue
            found = _of_step(part["result"] or {})
            cells = [part["pair"], part["images"], part["options"]]
            cells += _cells(found, STEP)
            cells += [found.get("device", "-"), (found.get("commit") or "-")[:7]]
            lines.append(cells)
        return format_table(lines)

    def _contrast(self) -> str:
        result = self.parts["contrast"]["result"] or {}
        rows = result.get("rows") or [{"anchors": n} for n in (512, 2048, 65536)]
        lines = [[title for title, *_ in CONTRAST]]
        return format_table([*lines, *(_cells(row, CONTRAST) for row in rows)])

    def speed(self) -> Dict[str, str]:
        """Generated parts of docs/speed.md."""
        return {
            "speed-gpu": self._steps(),
            "contrast-gpu": self._contrast(),
        }


def _of_step(result: Dict[str, Any]) -> Dict[str, Any]:
    """A result by the names of a step's, that of a detector too."""
    if "ms" not in result:
        return result
    ms, ratios = result["ms"], result["over_plain"]
    # A detector's plain step is the floor: the student's own and the bare teacher.
    return dict(
        result,
        floor_ms=ms["plain"],
        project_ms=ms["pckd"],
        kd_ms=ms["kd"],
        project_over_floor=ratios["pckd"],
    )


def _cells(found: Dict[str, Any], columns: Sequence[tuple]) -> List[str]:
    cells = [format_number(found.get(key), form) for _, key, form in columns]
    return [cell.replace("%", " %") for cell in cells]
