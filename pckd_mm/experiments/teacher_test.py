"""The test of a teacher that is there already, as a process in a folder of its own."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Optional

from pckd_mm.analysis import Metric

from .digest import digest
from .run import Run


@dataclass(eq=False)
class TeacherTest(Run):
    """The test of a teacher's checkpoint that is there already.

    Args:
        tested (Path): The checkpoint; all others as those of :class:`Run`.
    """

    tested: Path = Path()
    split = "test"
    trains = False
    processes = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        self.epochs = 1

    @property
    def checkpoint(self) -> Path:
        """Path: The checkpoint."""
        return self.tested

    @property
    def made_from(self) -> str:
        """str: What is tested with which config."""
        return f"{self.tested}, tested with {self.config}"

    def text(self) -> str:
        """What ``FOLDER.py`` holds; the same text means the same test."""
        digested = digest(str(self.tested))
        return f"# {self}, test of {digested}\n{self.settled}"

    def command(self) -> List[str]:
        """Command line of the process, behind ``python``."""
        command = ["-m", "pckd_mm", "test", str(self.config_file), str(self.tested)]
        out = str(self.folder / "metrics.json")
        return [*command, "--work-dir", str(self.folder), "--out", out]

    def curve(self, metric: Optional[Metric] = None) -> Dict[int, float]:
        """A metric in percent, as that of a single epoch."""
        metric = metric or self.metric
        path = self.folder / "metrics.json"
        values = json.loads(path.read_text()) if path.is_file() else {}
        return {1: metric.factor * values[metric.key]} if metric.key in values else {}

    def precision(self) -> str:
        """What the test computes in: no optimizer has a part in it."""
        return "float32"

    def made_with(self) -> Dict[str, Any]:
        """What the test is made with."""
        return {**super().made_with(), "tested": str(self.tested)}
