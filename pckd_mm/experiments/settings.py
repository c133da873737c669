"""What the runs of an experiment share."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

from pckd_mm.utils.speed_arguments import SpeedArguments

__all__ = ["Settings"]


@dataclass(frozen=True)
class Settings:
    """What the runs of an experiment share.

    Args:
        root (Path): The repository, whose commit is noted.
        options (dict): Settings that override those of every config.
        speed (SpeedArguments): What makes them fast. Defaults to nothing.
        val_share (float, optional): Share of the training images that is held out to
            validate on, in place of the test set. Defaults to None.
        gpus_per_run (int): GPUs of a run, each with a process. Defaults to 1.
        share_teacher (int): How many students may share the teacher's forward pass;
            0 for a teacher in each run. Defaults to 0.
        track (tuple[str]): Trackers that each run writes for; what a run is does not
            depend on it. Defaults to none.
        skip_broken (bool): Whether runs go on without files that are broken. Defaults
            to False.
    """

    root: Path
    options: Dict[str, Any] = field(default_factory=dict)
    speed: SpeedArguments = field(default_factory=SpeedArguments)
    val_share: Optional[float] = None
    gpus_per_run: int = 1
    share_teacher: int = 0
    track: Tuple[str, ...] = ()
    skip_broken: bool = False

    def option_list(self) -> List[str]:
        """The options as on a command line."""
        return [f"{key}={value}" for key, value in self.options.items()]

    def speed_option(self) -> List[str]:
        """What makes them fast, as on a command line."""
        return self.speed.command_line()

    def gpus_option(self) -> List[str]:
        """What gives a run several GPUs, as on a command line."""
        several = self.gpus_per_run > 1
        return ["--gpus-per-run", str(self.gpus_per_run)] if several else []

    def share_option(self) -> List[str]:
        """What lets runs share a teacher's pass, as on a command line."""
        size = self.share_teacher
        return ["--share-teacher", str(size)] if size else []

    def val_option(self) -> List[str]:
        """What holds training images out, as on a command line."""
        return ["--val-share", str(self.val_share)] if self.val_share else []

    def broken_option(self) -> List[str]:
        """What leaves broken files out, as on a command line."""
        return ["--skip-broken"] if self.skip_broken else []

    def track_option(self) -> List[str]:
        """What makes runs write for trackers, as on a command line."""
        return ["--track", *self.track] if self.track else []
