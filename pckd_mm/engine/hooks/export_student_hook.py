"""The student alone beside each checkpoint."""

import contextlib
import glob
import os
import os.path as osp
from typing import Any, Dict, List, Optional

from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.runner import Runner

from pckd_mm.models.classifiers import how_it_loads
from pckd_mm.registry import HOOKS
from pckd_mm.utils.checkpoint import (
    HOW_IT_LOADS,
    export_student,
    naming_where_resume_goes_on,
    student_beside,
)
from pckd_mm.utils.wrappers import unwrap


def _saved(runner: Runner) -> List[str]:
    """What CheckpointHook notes that it saved."""
    return [
        path
        for name, path in runner.message_hub.runtime_info.items()
        if name.startswith(("last_ckpt", "best_ckpt")) and isinstance(path, str)
    ]


@HOOKS.register_module()
class ExportStudentHook(Hook):
    """Write ``epoch_N_student.pth`` beside each ``epoch_N.pth`` of a distillation.

    It holds what :func:`pckd_mm.utils.checkpoint.export_student` writes: the weights
    that the checkpoint has for testing (with an EMA, the averaged ones) under the
    names of the plain network. It goes when its checkpoint goes. A student that a run
    was cut off before is written when it is resumed.
    """

    # Behind WholeCheckpointHook.
    priority = "LOWEST"

    def __init__(self) -> None:
        self._exported: Dict[str, float] = {}

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Note how a student of timm, Hugging Face or torchvision is loaded there."""
        model = unwrap(runner.model)
        found = how_it_loads(getattr(model, "student", model))
        if found is not None:
            checkpoint["meta"][HOW_IT_LOADS] = found

    @master_only
    def before_train(self, runner: Runner) -> None:
        """Take the students of a run that is resumed as its own."""
        folders = {runner.work_dir, *map(osp.dirname, _saved(runner))}
        patterns = (osp.join(glob.escape(folder), "*.pth") for folder in folders)
        for path in [path for pattern in patterns for path in glob.glob(pattern)]:
            student = student_beside(path)
            # An older one is of what was there before the checkpoint.
            if osp.isfile(student) and osp.getmtime(student) >= osp.getmtime(path):
                self._exported[path] = osp.getmtime(path)
        if runner.iter > 0:
            outdated = runner.message_hub.runtime_info.get("outdated_ckpt")
            if outdated is not None:
                self._exported[outdated] = 0.0
            self._export(runner)

    def after_train_iter(self, runner: Runner, batch_idx: int, **kwargs: Any) -> None:
        self._export(runner)

    def after_train_epoch(self, runner: Runner) -> None:
        self._export(runner)

    def after_val_epoch(
        self, runner: Runner, metrics: Optional[Dict[str, float]] = None
    ) -> None:
        self._export(runner)

    @master_only
    def _export(self, runner: Runner) -> None:
        for path in _saved(runner):
            if not osp.isfile(path) or self._exported.get(path) == osp.getmtime(path):
                continue
            with naming_where_resume_goes_on(runner.work_dir):
                found = export_student(path, student_beside(path))
            if found is not None and not self._exported:
                print_log(f"{student_beside(path)}: {found}", logger="current")
            self._exported[path] = osp.getmtime(path)
        for path in [path for path in self._exported if not osp.isfile(path)]:
            del self._exported[path]
            with contextlib.suppress(FileNotFoundError):
                os.remove(student_beside(path))
