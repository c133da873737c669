"""The teacher of each run: which, and whether it is trained or tested."""

import shlex
from pathlib import Path
from typing import Any, Dict, Mapping, Optional, Tuple, Type

from mmengine.config import ConfigDict

from pckd_mm.utils.checkpoint import zoo_model
from pckd_mm.utils.shipped import beside_configs, find_config

from .catalogue import has_config
from .configs import changed_config
from .job import ExperimentError, config_file_of
from .planned import Line
from .request import Request
from .run import TEACHER, TEACHER_CKPT, Run
from .settings import Settings
from .teacher_test import TeacherTest

__all__ = ["Teachers", "is_elsewhere"]


def is_elsewhere(checkpoint: str) -> bool:
    """Whether a checkpoint is no file of this machine, so that each run fetches it.

    Args:
        checkpoint (str): A ``teacher_ckpt``.

    Returns:
        bool: True for an address and for a model of MMPretrain's zoo.
    """
    if "://" in checkpoint:
        return True
    may_be_a_name = bool(checkpoint) and not Path(checkpoint).suffix
    return may_be_a_name and zoo_model(checkpoint) is not None


class Teachers:
    """Gives the teacher of each config, trained or tested once.

    It is, in this order, the checkpoint or the config that the user named, the
    checkpoint that a setting asks for, what was begun in the work dir, the config's
    teacher_ckpt where that file is, and what is trained with its teacher_config.

    Args:
        request (Request): What all runs share.
        settings (Settings, optional): What teachers are trained with. Defaults to None,
            those of the request.

    Raises:
        ExperimentError: Where the checkpoint that the user named is not there.
    """

    def __init__(self, request: Request, settings: Optional[Settings] = None) -> None:
        self.request = request
        self.settings = settings or request.settings
        teacher = request.teacher
        self.checkpoint: Optional[Path] = None
        if teacher is not None and teacher.endswith(".pth"):
            self.checkpoint = Path(teacher)
            if not self.checkpoint.is_file():
                raise ExperimentError(
                    f"There is no teacher {teacher}; expected a checkpoint, or a "
                    "config to train it with."
                )
        self.config = None if self.checkpoint else teacher
        self._runs: Dict[Path, Run] = {}
        # The config and the checkpoint of the teacher in each folder.
        self._folders: Dict[Path, Tuple[Path, Optional[Path]]] = {}

    def of(
        self, name: str, config: str, options: Optional[Mapping[str, Any]] = None
    ) -> Optional[Line]:
        """The teacher of a config.

        Args:
            name (str): What needs it, for messages.
            config (str): Path of the config.
            options (Mapping, optional): Settings that override those of the config and
                those that all runs share.

        Returns:
            Line, optional: The teacher; None for a config without one or whose teacher
            brings its weights, and where a checkpoint is there and images are held
            out, which it has seen.

        Raises:
            ExperimentError: Where there is nothing to make it from.
        """
        request, settings = self.request, self.settings
        model = self._model(name, config, options)
        source = self.config or model.get("teacher_config")
        brings_weights = request.teacher is None and "teacher_ckpt" not in model
        if "architecture" not in model or source is None or brings_weights:
            return None
        own, group = beside_configs(model.get("teacher_ckpt") or ""), Path(source).stem
        is_asked_for = bool(self._changes(options).get(TEACHER_CKPT))
        if is_asked_for and request.teacher is None:
            self.require(name, config, options)
        can_be_trained = has_config(source)
        # Once begun, the teacher stays the one that is trained here.
        begun = can_be_trained and config_file_of(self._folder(source, group)).is_file()
        tested = self.checkpoint
        if request.teacher is None and (is_asked_for or not begun):
            tested = Path(own) if own and Path(own).is_file() else None
        if tested is not None and settings.val_share:
            return None  # it has seen the images that are held out
        label = f"teacher, {request.network(group)}"
        if tested is not None:
            test = self._run(TeacherTest, source, f"{group}_test", group, tested)
            return Line(label, [test], f"pckd test {source} {tested}")
        if request.teacher is None and is_elsewhere(own):
            if is_asked_for or not begun:
                return None
        if can_be_trained:
            trained = self._run(Run, source, group, group)
            command = ["pckd", "train", source, *settings.speed_option()]
            command += settings.broken_option()
            command += ["--cfg-options", "randomness.seed=0", *settings.option_list()]
            # What it is trained on, or how, no command line of that tool says.
            other = settings.val_share or settings.gpus_per_run > 1
            return Line(label, [trained], "" if other else shlex.join(command))
        raise ExperimentError(
            f"{config}: there is neither its teacher_ckpt {own} nor its "
            f"teacher_config {source}; expected one of them."
        )

    def test_with(self, config: str) -> Optional[Line]:
        """The test of the checkpoint that the user named.

        Args:
            config (str): Path of the config that tests it.

        Returns:
            Line, optional: The test; None where no checkpoint was named, and where
            images are held out, which it has seen.
        """
        if self.checkpoint is None or self.settings.val_share:
            return None
        stem = Path(config).stem
        test = self._run(TeacherTest, config, stem, "", self.checkpoint)
        return Line(TEACHER, [test], f"pckd test {config} {self.checkpoint}")

    def require(
        self, name: str, config: str, options: Optional[Mapping[str, Any]] = None
    ) -> None:
        """Refuse a distillation whose teacher is not there and will not be trained.

        Args:
            name, config, options: As in :meth:`of`.

        Raises:
            ExperimentError: For one.
        """
        model = self._model(name, config, options)
        own = beside_configs(model.get("teacher_ckpt") or "")
        if own and not Path(own).is_file() and not is_elsewhere(own):
            raise ExperimentError(
                f"There is no teacher_ckpt {own} for {config}; expected the file, or "
                "--teacher with a checkpoint or with the config that trains it."
            )

    def _model(
        self, name: str, config: str, options: Optional[Mapping[str, Any]]
    ) -> ConfigDict:
        """The model of a config, all settings merged in."""
        return changed_config(config, name, self._changes(options)).model

    def _changes(self, options: Optional[Mapping[str, Any]]) -> Dict[str, Any]:
        """What overrides the settings of a config."""
        return {**self.request.settings.options, **(options or {})}

    def _run(
        self,
        kind: Type[Run],
        config: str,
        stem: str,
        group: str,
        tested: Optional[Path] = None,
    ) -> Run:
        """The run of a teacher, made once."""
        folder = self._folder(config, stem, tested)
        if folder not in self._runs:
            more: Dict[str, Any] = {} if tested is None else {"tested": tested}
            run = kind(TEACHER, config, 0, folder, self.settings, group=group, **more)
            self._runs[folder] = run
        return self._runs[folder]

    def _folder(self, config: str, stem: str, tested: Optional[Path] = None) -> Path:
        """The first folder of a name that no other teacher has."""
        # One file may be named in several ways.
        file = find_config(config) if has_config(config) else config
        what = (Path(file).absolute(), tested and tested.resolve())
        folder, number = self.request.work_dir / "teachers" / stem, 1
        while self._folders.setdefault(folder, what) != what:
            number += 1
            folder = folder.with_name(f"{stem}_{number}")
        return folder
