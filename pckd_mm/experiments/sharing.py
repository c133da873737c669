"""Students that share the teacher's forward pass: which, and how they are started."""

import socket
from contextlib import ExitStack
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, List, Mapping, Optional, Sequence, cast

from mmengine.config import Config, ConfigDict

from pckd_mm.utils.class_name import class_name
from pckd_mm.utils.config import loop_name, model_of
from pckd_mm.utils.handout import TEACHER_LOG

from .hooks import hook_kind, hooks_of
from .job import Job
from .settings import Settings

if TYPE_CHECKING:
    from .run import Run

__all__ = ["Sharing", "TeacherRun", "is_shared", "share_teacher", "shared_part"]

HOOK = "shared_teacher"
# Folder of what the teachers' processes log.
SHARED = "shared_teacher"
# Order of the images and views are the same for all students, whatever their seeds.
SEED = 0
# What trains the student alone, and may differ between students.
_OWN_OF_WRAPPER = ("optimizer", "constructor", "paramwise_cfg", "clip_grad")
_OF_TEACHER = (
    *("teacher", "teacher_ckpt", "teacher_config", "teacher_input_size"),
    *("swap_teacher_channels", "teacher_module_inplace"),
)
# Hooks of a config that have nothing to do with the training images, or are the same in
# the teacher's process.
_STUDENTS_OWN = (
    *("EMAHook", "ExportStudentHook", "LossShareHook"),
    *("PreviewRecordHook", "SampleLabelsHook"),
)
_OF_ANY_RUN = (
    *("", "CheckpointHook", "DeferredRuntimeInfoHook"),
    *("PreflightHook", "ReseedHook", "VisualizationHook"),
)
# Hooks that make the teacher's process what the students' would be.
_KEPT_HOOKS = (
    *("num_views", "preflight", "reseed"),
    *("runtime_info", "sampler_seed", "speed_up", "broken_files"),
)
# MMEngine's own, which it adds where they are not turned off.
_NO_HOOKS = ("checkpoint", "logger", "param_scheduler", "timer")


def share_teacher(cfg: Config) -> None:
    """Let a student get its batches from a process that runs the teacher.

    Args:
        cfg (Config): Config of a distillation; changed in place.

    Raises:
        ValueError: For one whose teacher's pass cannot be shared.
    """
    from pckd_mm.engine.guards import DEFAULT_HOOKS  # takes seconds

    model = cfg.model
    kind = _kind(model)
    if kind != "MultiViewDistill":
        raise ValueError(
            f"--share-teacher found a {kind}; expected a MultiViewDistill of "
            "classifiers, whose teacher sees nothing of the student's: leave "
            "--share-teacher out."
        )
    maker = _preprocessor(cfg)
    several = model.get("num_views") or 1
    if _kind(maker) != "RotatedViewsDataPreprocessor" and several == 1:
        raise ValueError(
            f"--share-teacher found the data_preprocessor {_kind(maker)}; expected "
            "pckd_mm.RotatedViewsDataPreprocessor, which makes the views that "
            "students share."
        )
    if maker.get("batch_augments") or model.architecture.get("train_cfg"):
        raise ValueError(
            "--share-teacher found images that are mixed (batch_augments, or train_cfg "
            "of the student); expected none, since their views are shared: leave one "
            "of both out."
        )
    if model.distiller.get("distill_deliveries"):
        raise ValueError(
            "--share-teacher found distill_deliveries, which a student and its teacher "
            "exchange in a step; expected none: leave one of both out."
        )
    loop = loop_name(cfg.train_cfg)
    if loop != "EpochBasedTrainLoop":
        raise ValueError(
            f"--share-teacher found the training loop {loop}; expected "
            "EpochBasedTrainLoop: leave --share-teacher out."
        )
    known = {*_STUDENTS_OWN, *_OF_ANY_RUN, *map(class_name, DEFAULT_HOOKS.values())}
    for kind in map(hook_kind, hooks_of(cfg)):
        if kind not in known:
            raise ValueError(
                f"--share-teacher found the hook {kind}, which may change or read the "
                "training images, and these come from another process; expected those "
                f"of any run, and of others {', '.join(_STUDENTS_OWN)}: leave one of "
                "both out."
            )
    hooks = dict(cfg.get("default_hooks") or {})
    hooks[HOOK] = dict(type="pckd_mm.SharedTeacherHook")
    cfg.default_hooks = hooks


def _kind(part: Mapping) -> str:
    return class_name(part.get("type") or "ClsDataPreprocessor")


def _preprocessor(cfg: Config) -> Mapping:
    model = model_of(cfg)
    own = model.architecture.get("data_preprocessor")  # where there is no other
    return model.get("data_preprocessor") or own or {}


def is_shared(cfg: Config) -> bool:
    """Whether another process runs the teacher, see :func:`share_teacher`.

    Args:
        cfg (Config): Config of a run.

    Returns:
        bool: Whether it does.
    """
    return HOOK in (cfg.get("default_hooks") or {})


def shared_part(cfg: Config) -> Optional[str]:
    """What students must have in common to share a pass.

    Args:
        cfg (Config): Config of a run.

    Returns:
        str, optional: Their data, views, teacher, epochs and precision; None for a run
        that does not share.
    """
    if not is_shared(cfg):
        return None
    wrapper = {k: v for k, v in cfg.optim_wrapper.items() if k not in _OWN_OF_WRAPPER}
    views = {k: v for k, v in _preprocessor(cfg).items() if k != "num_views"}
    part = dict(
        teacher={name: cfg.model.get(name) for name in _OF_TEACHER},
        views=views,
        data=cfg.train_dataloader,
        epochs=cfg.train_cfg.max_epochs,
        wrapper=wrapper,
        speed_up=cfg.default_hooks.get("speed_up"),
    )
    return Config(deepcopy(part)).pretty_text


def teacher_config(students: Sequence["Run"]) -> Config:
    """Config of the process that runs the teacher.

    Args:
        students (Sequence[Run]): The runs that it serves.

    Returns:
        Config: That of the one with most views, with another loop and few hooks.
    """
    most = max(students, key=lambda run: run.cfg.model.get("num_views") or 1)
    cfg = deepcopy(most.cfg)
    cfg.randomness.seed = SEED
    for split in ("val", "test"):
        for part in ("dataloader", "evaluator", "cfg"):
            cfg.pop(f"{split}_{part}", None)
    kept = {k: hook for k, hook in cfg.default_hooks.items() if k in _KEPT_HOOKS}
    cfg.default_hooks = {**dict.fromkeys(_NO_HOOKS), **kept}
    cfg.pop("custom_hooks", None)
    cfg.train_cfg = ConfigDict(
        type="pckd_mm.TeacherLoop",
        max_epochs=cfg.train_cfg.max_epochs,
        students=[str(run.config_file) for run in students],
    )
    return cfg


@dataclass(eq=False)
class TeacherRun(Job):
    """The process that runs the teacher for some runs, which it starts with itself.

    Args:
        folder (Path): Where it logs.
        settings (Settings): What it shares with the runs.
        students (list[Run]): The runs, which are prepared.
    """

    verb = "run"

    folder: Path
    settings: Settings
    students: List["Run"]

    def __str__(self) -> str:
        return f"the teacher of {', '.join(map(str, self.students))}"

    def text(self) -> str:
        """What ``FOLDER.py`` holds."""
        return teacher_config(self.students).pretty_text

    def command(self) -> List[str]:
        """Command line of the process, behind ``python``."""
        command = ["-m", "pckd_mm", "train", str(self.config_file)]
        command += ["--work-dir", str(self.folder)]
        # It alone reads the training images, for its students.
        return command + self.settings.speed_option() + self.settings.broken_option()

    def outcome(self) -> Optional[str]:
        """What came of it, in words: it has no result of its own."""
        return "done"

    def start(
        self,
        threads: Optional[int] = None,
        place: Optional[Mapping[str, str]] = None,
        sockets: Sequence[socket.socket] = (),
    ) -> None:
        """Start the process and those of the runs, each connected to it."""
        place = {**(place or {}), TEACHER_LOG: str(self.log)}
        if threads is not None:  # of the place, which all of them share
            threads = max(1, threads // (len(self.students) + 1))
        with ExitStack() as stack:  # so that each end is in one process alone
            pairs = [socket.socketpair() for _ in self.students]
            for end in sum(pairs, ()):
                stack.enter_context(end)
            super().start(threads, place, [ours for ours, _ in pairs])
            for run, (_, theirs) in zip(self.students, pairs, strict=True):
                run.start(threads, place, [theirs])


class Sharing:
    """Which runs are started together.

    Args:
        size (int): Students that share a pass, at most.
    """

    def __init__(self, size: int) -> None:
        self.size = size

    def group(self, run: Job, others: Sequence[Job]) -> List[Job]:
        """A run and those of others that may be started with it.

        Args:
            run (Job): The run.
            others (Sequence[Job]): Runs that may be started.

        Returns:
            list[Job]: The run first, and none more where it shares nothing.
        """
        part = _part(run)
        if part is None:
            return [run]
        return [run, *(o for o in others if o is not run and _part(o) == part)]

    @staticmethod
    def lead(runs: Sequence[Job]) -> Job:
        """What is started for some runs of a group, which are prepared.

        Args:
            runs (Sequence[Job]): The runs.

        Returns:
            Job: The run itself where it shares nothing.
        """
        first = runs[0]
        if _part(first) is None:
            return first
        name = f"{first.folder.parent.name}_{first.folder.name}"
        folder = first.folder.parent.parent / SHARED / name
        students = cast("List[Run]", list(runs))  # nothing else shares
        return TeacherRun(folder, first.settings, students)


def _part(run: Job) -> Optional[str]:
    """What a run must have in common with others; None if it shares nothing."""
    return shared_part(run.cfg) if hasattr(run, "cfg") else None
