"""Checkpoints that are whole, whenever the run is cut off."""

import os.path as osp
import re
from collections import deque
from pathlib import Path
from typing import Deque, Dict, Optional, Union

from mmengine.dist import all_gather_object, is_main_process
from mmengine.fileio import BaseStorageBackend, LocalBackend, register_backend
from mmengine.hooks import CheckpointHook
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop, Runner

from pckd_mm.engine.loops import done_and_all
from pckd_mm.registry import HOOKS
from pckd_mm.utils.checkpoint import naming_where_resume_goes_on, newest_checkpoint
from pckd_mm.utils.files import remove_unfinished, write_whole

_WHOLE = "pckd_mm.whole_local"
# In the message hub, which a checkpoint holds: the checkpoint that it takes the place
# of, and the epoch (iteration) of the latest validation that was done before it.
_OUTDATED, _VALIDATED = "outdated_ckpt", "last_validated"


@register_backend(_WHOLE)
class WholeLocalBackend(LocalBackend):
    """Local files that get their names when they are whole and on the disk."""

    def put(self, obj: bytes, filepath: Union[str, Path]) -> None:
        """Write a file, see :func:`pckd_mm.utils.files.write_whole`."""
        write_whole(str(filepath), obj)

    def put_text(
        self, obj: str, filepath: Union[str, Path], encoding: str = "utf-8"
    ) -> None:
        """Write a text, see :func:`pckd_mm.utils.files.write_whole`."""
        write_whole(str(filepath), obj.encode(encoding))


@HOOKS.register_module()
class WholeCheckpointHook(CheckpointHook):
    """MMEngine's hook, with nothing lost when a run is killed or the disk is full.

    - A checkpoint, and the file ``last_checkpoint``, gets its name when it is whole and
      on the disk.
    - An older one, or the one that was best before, is removed when the new one is
      there. So ``max_keep_ckpts=2`` leaves one to go on from should the newest get
      damaged, and needs space for three.
    - A file that cannot be written ends the run with a sentence that says what to do.
    - What a killed run left unfinished is removed at the next start.
    - A validation that was cut off is made up for when the run is resumed, so that no
      metric, best checkpoint or step of a scheduler that goes by a metric is missing.
    - A work dir may be moved: no file at its former place is touched.

    Arguments are those of ``CheckpointHook``. Remote storages, and
    ``file_client_args``, are written to as MMEngine does it.
    """

    # Behind VERY_LOW: a model is validated as the other hooks prepare it for training.
    priority = 95
    # Set by MMEngine's, in before_train.
    file_backend: BaseStorageBackend
    keep_ckpt_ids: Deque[int]

    def before_train(self, runner: Runner) -> None:
        """Clear up behind a run that was cut off, and make up for its validation."""
        super().before_train(runner)
        if is_main_process():
            remove_unfinished(runner.work_dir)
            if not runner._resume:
                _tell_of_earlier(runner)
        if type(self.file_backend) is LocalBackend and self.file_client_args is None:
            self.backend_args = dict(backend=_WHOLE)
            self.file_backend = WholeLocalBackend()
            if is_main_process():
                remove_unfinished(self.out_dir)
        if not self.save_optimizer:
            runner.logger.warning(
                "Checkpoints without the optimizer (save_optimizer=False) are saved: "
                "--resume does not go on from them."
            )
        self._take_over(runner)
        _require_same_place(runner)
        if runner.iter > 0 and self._lacks_validation(runner):
            runner.logger.info("Validating, since the run may have been cut off in it.")
            runner.val_loop.run()

    def _take_over(self, runner: Runner) -> None:
        """Know the resumed run's files, of this folder and by their usual names only.

        What a checkpoint names gets removed or written beside, and it may be hostile.
        """
        info = runner.message_hub.runtime_info
        for name, path in list(info.items()):
            if name.startswith(("last_ckpt", "best_ckpt", _OUTDATED)):
                runner.message_hub.update_info(name, self._here(path))
        self._best = {key: self._here(path) for key, path in self._best.items()}
        self.last_ckpt = info.get("last_ckpt")
        if self.max_keep_ckpts > 0:
            numbers = [step for step in self.keep_ckpt_ids if type(step) is int]
            self.keep_ckpt_ids = deque(numbers, self.max_keep_ckpts)
        self._remove(info.get(_OUTDATED))

    def _lacks_validation(self, runner: Runner) -> bool:
        """Whether the loop would have validated between the checkpoint and now."""
        loop = runner.train_loop
        if not isinstance(loop, (EpochBasedTrainLoop, IterBasedTrainLoop)):
            return False
        place, end = done_and_all(runner)
        loop._decide_current_val_interval()
        return (
            runner.val_loop is not None
            and place >= max(loop.val_begin, 1)
            and (place % loop.val_interval == 0 or place == end)
            and runner.message_hub.runtime_info.get(_VALIDATED) != place
        )

    def after_val_epoch(self, runner: Runner, metrics: dict) -> None:
        """Note the validation, and save the best checkpoint."""
        runner.message_hub.update_info(_VALIDATED, done_and_all(runner)[0])
        super().after_val_epoch(runner, metrics)

    def _save_checkpoint(self, runner: Runner) -> None:
        with naming_where_resume_goes_on(runner.work_dir):
            super()._save_checkpoint(runner)

    def _save_checkpoint_with_step(self, runner: Runner, step: int, meta: dict) -> None:
        # MMEngine's own method removes the outdated checkpoint before it saves.
        hub = runner.message_hub
        if self.max_keep_ckpts > 0 and step not in list(self.keep_ckpt_ids)[-1:]:
            outdated = None
            if len(self.keep_ckpt_ids) == self.max_keep_ckpts:
                outdated = self._path(self.keep_ckpt_ids.popleft())
            self.keep_ckpt_ids.append(step)
            hub.update_info("keep_ckpt_ids", list(self.keep_ckpt_ids))
            hub.update_info(_OUTDATED, outdated)
        self.last_ckpt = self._path(step)
        hub.update_info("last_ckpt", self.last_ckpt)
        runner.save_checkpoint(
            self.out_dir,
            self.filename_tmpl.format(step),
            self.file_client_args,
            save_optimizer=self.save_optimizer,
            save_param_scheduler=self.save_param_scheduler,
            meta=meta,
            by_epoch=self.by_epoch,
            backend_args=self.backend_args,
            **self.args,
        )
        if is_main_process():
            note = osp.join(runner.work_dir, "last_checkpoint")
            write_whole(note, self.last_ckpt.encode())
        self._remove(hub.runtime_info.get(_OUTDATED))

    def _save_best_checkpoint(self, runner: Runner, metrics: dict) -> None:
        # MMEngine's own method removes the former ones, as far as it knows them, before
        # it saves.
        before = self._best
        self._best = dict.fromkeys(before)
        with naming_where_resume_goes_on(runner.work_dir):
            super()._save_best_checkpoint(runner, metrics)
        after = self._best
        self._best = {key: after[key] or path for key, path in before.items()}
        for key, path in before.items():
            if after[key] not in (None, path):
                self._remove(path)

    @property
    def _best(self) -> Dict[str, Optional[str]]:
        """Paths of the best checkpoints by metric, wherever MMEngine has them."""
        if not self.save_best:
            return {}
        if len(self.key_indicators) == 1:
            return {"": self.best_ckpt_path}
        return dict(self.best_ckpt_path_dict)

    @_best.setter
    def _best(self, paths: Dict[str, Optional[str]]) -> None:
        if list(paths) == [""]:
            self.best_ckpt_path = paths[""]
        elif paths:
            self.best_ckpt_path_dict = paths

    def _here(self, path: Optional[str]) -> Optional[str]:
        """The path of a file of the resumed run in the folder of this one."""
        if not isinstance(path, str):
            return None
        name = path.rsplit("/", 1)[-1]  # whatever the storage
        usual = r"\d+".join(map(re.escape, self.filename_tmpl.split("{}")))
        if not re.fullmatch(rf"(best_.+_)?{usual}", name):
            return None
        return self.file_backend.join_path(self.out_dir, name)

    def _path(self, step: int) -> str:
        return self.file_backend.join_path(
            self.out_dir, self.filename_tmpl.format(step)
        )

    def _remove(self, path: Optional[str]) -> None:
        if path is not None and is_main_process() and self.file_backend.isfile(path):
            self.file_backend.remove(path)


def _tell_of_earlier(runner: Runner) -> None:
    """Say that a run begins anew where another one has saved, which it writes over."""
    earlier = newest_checkpoint(runner.work_dir)
    if earlier is not None:
        runner.logger.warning(
            f"{runner.work_dir} has checkpoints of an earlier run, such as "
            f"{osp.basename(earlier)}, and this one begins anew: it writes over those "
            "of its names. Until it has saved one, --resume goes on from theirs. To "
            "keep them, give another --work-dir."
        )


def _require_same_place(runner: Runner) -> None:
    """Each process chooses what it goes on from, by the files that it sees."""
    places = all_gather_object((runner.epoch, runner.iter))
    if len(set(places)) > 1:
        raise RuntimeError(
            f"The processes resumed in (epoch, iteration) {places}; expected the same "
            f"of all: let {runner.work_dir} be on a file system that they share, or "
            "name the checkpoint, --resume PATH."
        )
