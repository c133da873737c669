"""Trackers of experiments beside the local log: ``--track tensorboard wandb mlflow``.

Each writes into the run's work dir and touches no network. Whoever wants a server says
so by the tracker's own variable of the environment: ``WANDB_MODE=online``, or
``MLFLOW_TRACKING_URI``.
"""

import argparse
import importlib.util
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

from mmengine.config import Config

from pckd_mm.utils.class_name import class_name

__all__ = [
    "TRACKERS",
    "add_track_option",
    "check_trackers",
    "names_of_run",
    "use_trackers",
]

_LOCAL = dict(type="LocalVisBackend")


@dataclass(frozen=True)
class Place:
    """Where a run writes, and what it is called.

    Args:
        folder (Path): Its work dir.
        project (str): What it belongs to.
        run (str): Its name in there.
        resumes (bool): Whether it goes on with what is in its work dir.
    """

    folder: Path
    project: str
    run: str
    resumes: bool


@dataclass(frozen=True)
class Tracker:
    """A tracker of experiments.

    Args:
        packages (tuple[str]): What must be importable.
        plain (str): MMEngine's backend of it, which a config may have already.
        backend (callable): Gives the backend's config for a place.
        look (str): How to look at what it wrote; ``{0}`` is the work dir.
    """

    packages: Tuple[str, ...]
    plain: str
    backend: Callable[[Place], Dict[str, Any]]
    look: str


def _newest(folder: Path, pattern: str) -> Optional[Path]:
    """The newest of what matches; names begin with the time that they were made at."""
    return max(folder.glob(pattern), default=None, key=lambda path: path.name)


def _tensorboard(place: Place) -> Dict[str, Any]:
    folder = place.folder / "tensorboard"
    before = _newest(folder, "*") if place.resumes else None
    # A folder for each run that is not resumed, which TensorBoard shows side by side.
    own = before or folder / time.strftime("%Y%m%d_%H%M%S")
    return dict(type="pckd_mm.TensorBoardTracker", save_dir=str(own))


def _wandb(place: Place) -> Dict[str, Any]:
    mode = os.environ.get("WANDB_MODE", "offline")
    # The output of the run is in its log; W&B would replace stdout to read along.
    settings = dict(silent=True, console="off")
    if mode == "offline":
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
    start = dict(
        project=place.project,
        name=place.run,
        mode=mode,
        dir=str(place.folder),
        settings=settings,
    )
    before = None
    if place.resumes:
        before = _newest(place.folder / "wandb", "*run-*-*")
    if before is not None:
        # The folder is called offline-run-TIME-ID. One more of this ID is the same run
        # for the server that both are handed to.
        start.update(id=before.name.rpartition("-")[2], resume="allow")
    return dict(
        type="pckd_mm.WandbTracker", save_dir=str(place.folder), init_kwargs=start
    )


def _mlflow(place: Place) -> Dict[str, Any]:
    # It would report over the network which of its functions are called, and print each
    # step of making its database.
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
    folder = place.folder.absolute() / "mlflow"
    uri = os.environ.get("MLFLOW_TRACKING_URI")
    local = dict(
        tracking_uri=f"sqlite:///{folder / 'mlflow.db'}",
        artifact_location=(folder / "artifacts").as_uri(),
    )
    return dict(
        type="pckd_mm.MLflowTracker",
        save_dir=str(folder),
        exp_name=place.project,
        run_name=place.run,
        resume=place.resumes,
        **(local if uri is None else dict(tracking_uri=uri)),
    )


TRACKERS: Dict[str, Tracker] = {
    "tensorboard": Tracker(
        ("tensorboard",),
        "TensorboardVisBackend",
        _tensorboard,
        "tensorboard --logdir {0}/tensorboard",
    ),
    "wandb": Tracker(
        ("wandb",),
        "WandbVisBackend",
        _wandb,
        "wandb sync {0}/wandb/offline-run-*",
    ),
    "mlflow": Tracker(
        ("mlflow", "sqlalchemy", "alembic"),
        "MLflowVisBackend",
        _mlflow,
        "mlflow ui --backend-store-uri sqlite:///{0}/mlflow/mlflow.db",
    ),
}


def _tracker(name: str) -> str:
    """A tracker's name, as argparse reads it."""
    if name not in TRACKERS:
        raise argparse.ArgumentTypeError(
            f"there is no tracker {name}; expected some of {', '.join(TRACKERS)}, and "
            "behind the config"
        )
    return name


def add_track_option(parser: argparse.ArgumentParser) -> None:
    """Add ``--track``.

    Args:
        parser (ArgumentParser): Of a subcommand that trains.
    """
    parser.add_argument(
        "--track",
        nargs="+",
        default=[],
        type=_tracker,
        metavar="TRACKER",
        help="write losses and metrics for these trackers too, into the work dir and "
        f"without network: {', '.join(TRACKERS)}; write it behind the config",
    )


def names_of_run(cfg: Config) -> Tuple[str, str]:
    """What a tracker calls a run.

    Args:
        cfg (Config): Its config, with its work dir.

    Returns:
        tuple[str, str]: The project and the run. ``configs/kd/NAME.py`` is run "kd" of
        project NAME, so that the methods of a pair are side by side. A run of ``pckd
        compare``, whose config lies beside its folder, is METHOD/seed_0 of the folder
        that all methods are in. ``experiment_name`` of the config is the project's
        name where it has one.
    """
    folder = Path(cfg.work_dir).absolute()
    source = Path(cfg.filename).absolute() if cfg.filename else folder
    if source == folder.with_name(f"{folder.name}.py"):
        project, run = folder.parent.parent.name, f"{folder.parent.name}/{folder.name}"
    else:
        project, run = source.stem, source.parent.name
    return cfg.get("experiment_name") or project, run


def check_trackers(names: Sequence[str]) -> None:
    """Refuse trackers whose packages are missing.

    Args:
        names (Sequence[str]): Names of :data:`TRACKERS`.

    Raises:
        ValueError: Names the package, and what brings it.
    """
    for name in names:
        for package in TRACKERS[name].packages:
            if importlib.util.find_spec(package) is None:
                raise ValueError(
                    f"--track {name} needs the package {package}, which is not "
                    "installed: pip install 'pckd_mm[trackers]'."
                )


def use_trackers(cfg: Config, names: Sequence[str]) -> List[str]:
    """Add trackers to a config, beside the local log.

    Args:
        cfg (Config): Config of a run, changed in place: its ``visualizer``. Its
            ``work_dir`` and ``resume`` are settled.
        names (Sequence[str]): Names of :data:`TRACKERS`. One that the config has
            already, as MMEngine's own, stays as it is there.

    Returns:
        list[str]: For each, how to look at what it writes.

    Raises:
        ValueError: Where the package of one is missing.
    """
    check_trackers(names)
    if not names:
        return []
    visualizer = dict(cfg.get("visualizer") or dict(type="mmengine.Visualizer"))
    backends = list(visualizer.get("vis_backends") or [_LOCAL])
    there = {class_name(each.get("type")) for each in backends}
    place = Place(Path(cfg.work_dir), *names_of_run(cfg), bool(cfg.get("resume")))
    chosen = [TRACKERS[name] for name in dict.fromkeys(names)]
    for each in chosen:
        backend = each.backend(place)
        if not {each.plain, class_name(backend["type"])} & there:
            backends.append(backend)
    cfg.visualizer = {**visualizer, "vis_backends": backends}
    return [each.look.format(cfg.work_dir) for each in chosen]
