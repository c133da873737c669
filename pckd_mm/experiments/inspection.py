"""A look into the networks of a table, once they are trained."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Dict, List, Optional, Sequence

from pckd_mm.analysis.inspection import FORM, RESULT, Inspected, read_inspection

from .digest import digest
from .job import Job
from .run import Run
from .settings import Settings

INSPECTION = "inspection"


@dataclass(eq=False)
class Inspection(Job):
    """One process that tests the networks of a table and looks into them.

    ``FOLDER.json`` beside the folder names them, with hashes of their checkpoints.

    Args:
        folder (Path): Where it is written.
        settings (Settings): What it shares with the runs.
        networks (dict[str, Run]): Names in the table and the runs that gave the
            networks, the teachers' first.
        teachers (dict[str, str]): Of names of students that of the teacher which they
            are compared with.
        group (str): What the user is told in front of its name.
    """

    verb = "made"
    made_of = "its networks have"

    folder: Path
    settings: Settings
    networks: Dict[str, Run]
    teachers: Dict[str, str] = field(default_factory=dict)
    group: str = ""

    def __str__(self) -> str:
        return f"{self.group} {INSPECTION}".strip()

    @property
    def config_file(self) -> Path:
        """Path: What is to be inspected."""
        return self.folder.with_name(f"{self.folder.name}.json")

    @property
    def needs(self) -> Sequence[Job]:
        """Sequence[Job]: The runs that give its networks."""
        return list(self.networks.values())

    def text(self) -> str:
        """What ``FOLDER.json`` holds; the same text means the same networks."""
        networks = {
            name: dict(
                config=str(run.config_file),
                checkpoint=str(run.checkpoint),
                sha256=self._sha256(name, run),
                folder=str(run.folder),
            )
            for name, run in self.networks.items()
        }
        request = dict(form=FORM, teachers=self.teachers, networks=networks)
        return json.dumps(request, indent=2) + "\n"

    def _sha256(self, name: str, run: Run) -> str:
        """The hash of a network; of one that is gone since that which it had."""
        path, before = str(run.checkpoint), {}
        is_gone = not run.is_left and not run.checkpoint.is_file()
        if is_gone and self.config_file.is_file():
            request = json.loads(self.config_file.read_text(encoding="utf-8"))
            before = request["networks"].get(name, {})
        return before.get("sha256") or digest(path)

    def what_counts(self, text: str) -> str:
        """A text without paths: work dirs may be moved, and hashes tell networks."""
        request = json.loads(text)
        for network in request["networks"].values():
            for path in ("config", "checkpoint", "folder"):
                network.pop(path, None)
        return json.dumps(request)

    def command(self) -> List[str]:
        """Command line of the process, behind ``python``."""
        module = "pckd_mm.analysis.inspect_networks"
        return ["-m", module, str(self.config_file), str(self.folder)]

    def outcome(self) -> Optional[str]:
        """Of how many networks it is."""
        if not (self.folder / RESULT).is_file():
            return None
        return f"of {len(self.networks)} networks"

    def found(self) -> Optional[Inspected]:
        """What was found; None before it is finished, and where networks changed."""
        return None if self.is_left else read_inspection(self.folder)
