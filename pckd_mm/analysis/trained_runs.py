"""Runs of a training as their folders have them."""

import os.path as osp
from dataclasses import dataclass
from pathlib import Path
from typing import List, Optional, Sequence

from mmengine.config import Config

from pckd_mm.utils.checkpoint import newest_checkpoint
from pckd_mm.utils.config import load_config, loop_name
from pckd_mm.utils.methods import run_detects

from .curves import read_losses, read_metric, read_preview, validation_keys
from .methods import Method
from .metric import Metric, metric_of

__all__ = ["TrainedRun", "find_runs"]


@dataclass
class TrainedRun:
    """A run of ``pckd train``, finished or not.

    Args:
        name (str): What it is called in a report.
        folder (Path): Its work dir.
        config (Path): Its config, as the run itself wrote it.
        cfg (Config): What that says.
        metric (Metric): What it is measured by.
        checkpoint (Path, optional): Its last checkpoint; None before the first.
    """

    name: str
    folder: Path
    config: Path
    cfg: Config
    metric: Metric
    checkpoint: Optional[Path]

    @property
    def distils(self) -> bool:
        """bool: Whether a student learns from a teacher."""
        return "architecture" in self.cfg.model

    @property
    def step(self) -> str:
        """str: What its training counts: epochs, or iterations."""
        loop = loop_name(self.cfg.get("train_cfg") or {})
        return "iteration" if loop == "IterBasedTrainLoop" else "epoch"

    @property
    def detects(self) -> bool:
        """bool: Whether its network is a detector."""
        return run_detects(self.cfg)

    def method(self) -> Method:
        """Read back what its log has."""
        previews = read_preview(self.folder)
        mine = read_metric(self.folder, self.metric)
        further = {
            metric: {0: curve}
            for metric in self.metric.beside
            if (curve := read_metric(self.folder, metric))
        }
        return Method(
            self.name,
            {0: mine} if mine else {},
            {0: previews} if previews else {},
            config=str(self.config),
            further=further,
            losses={0: read_losses(self.folder)},
        )


def find_runs(folders: Sequence[Path]) -> List[TrainedRun]:
    """The runs in some folders.

    Args:
        folders (Sequence[Path]): Their work dirs.

    Returns:
        list[TrainedRun]: The runs, named by what their paths differ in.

    Raises:
        FileNotFoundError: For a folder that is not there, or of no run.
    """
    folders = list({Path(osp.abspath(folder)): folder for folder in folders}.values())
    paths = [Path(osp.abspath(folder)) for folder in folders]
    runs = []
    for name, path, folder in zip(_names(paths), paths, folders, strict=True):
        config = _config_of(path, folder)
        cfg = load_config(config)
        checkpoint = _checkpoint_of(path)
        runs.append(
            TrainedRun(name, path, config, cfg, _metric_of(cfg, path), checkpoint)
        )
    return runs


def _names(paths: Sequence[Path]) -> List[str]:
    """Short names that differ."""
    if len(paths) == 1:
        return ["/".join(paths[0].parts[-2:])]
    common = osp.commonpath([path.parent for path in paths])
    return [path.relative_to(common).as_posix() for path in paths]


def _config_of(path: Path, folder: Path) -> Path:
    """The config of a run's latest start."""
    if not path.is_dir():
        raise FileNotFoundError(
            f"There is no folder {folder}; expected the work dir of a run, such as "
            "work_dirs/pckd/NAME."
        )
    found = sorted(path.glob("*/vis_data/config.py"))
    # A test has a config as well, which may be of other data.
    trained = [file for file in found if file.with_name("scalars.json").is_file()]
    found = trained or found
    if not found:
        inside = sorted(p.parents[2] for p in path.rglob("vis_data/config.py"))
        hint = "give that of a run"
        if inside:
            hint += f", such as {osp.join(folder, inside[0].relative_to(path))}"
        if (path / "report.html").is_file():
            page = osp.join(folder, "report.html")
            hint += f"; the report of this comparison is {page}"
        raise FileNotFoundError(
            f"The folder {folder} has no config that a run wrote; expected its work "
            f"dir: {hint}."
        )
    return found[-1]


def _checkpoint_of(path: Path) -> Optional[Path]:
    """The last checkpoint, also where the folder was moved."""
    found = newest_checkpoint(str(path))
    return Path(found) if found and "://" not in found else None


def _metric_of(cfg: Config, path: Path) -> Metric:
    """What the run is measured by: what tables know, else the first that it logged."""
    try:
        return metric_of(cfg)
    except ValueError:
        key = next(iter(validation_keys(path)), "validation")
        return Metric(key, key, key, "validation", unit="")
