"""The broken files that training goes on without."""

import os.path as osp
from typing import Dict, List, Optional

from mmengine.dist import all_gather_object, get_rank, is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner

from pckd_mm.datasets import CheckedImages
from pckd_mm.registry import HOOKS
from pckd_mm.utils.files import write_whole
from pckd_mm.utils.nested_datasets import inner_datasets
from pckd_mm.utils.printable import printable

# Files that are named in the log one by one.
_NAMED = 20


@HOOKS.register_module()
class BrokenFilesHook(Hook):
    """Count and list the files that ``skip_broken`` of a data set has skipped.

    The log names each of the first 20 when it is met. After each epoch it has their
    number, and ``broken_files.txt`` in the work dir a line for each file that any
    process has met so far: its path, a tab, and what is wrong with it. Between epochs
    checkpoints bring it up to date, with what the main process has met. A process that
    ends the run lists its own, in ``broken_files_rank1.txt`` where it has rank 1.

    Args:
        most (float): Share of the training images above which the run ends, since the
            data set itself is broken then. Defaults to 0.1.

    Raises:
        ValueError: For a share that is none.
    """

    priority = "NORMAL"

    def __init__(self, most: float = 0.1) -> None:
        if not 0 <= most <= 1:
            raise ValueError(
                f"BrokenFilesHook found most={most}; expected a share, 0 to 1."
            )
        self.most = most
        self.found: Dict[str, str] = {}
        self._sets: List[CheckedImages] = []
        self._images = 0

    def before_train(self, runner: Runner) -> None:
        """Note what the data sets have skipped when they were made.

        Raises:
            ValueError: Where too many files are broken.
        """
        sets = inner_datasets(runner.train_dataloader.dataset)
        self._sets = [each for each in sets if isinstance(each, CheckedImages)]
        # Of a part of a data set, the broken files of all of it were left out.
        self._images = sum(each.examined or len(each) for each in self._sets)
        for each in self._sets:
            self._add(runner, each.broken_files)

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Optional[dict] = None,
        outputs: Optional[dict] = None,
    ) -> None:
        """Note what was skipped for the batch.

        Raises:
            ValueError: Where too many files are broken.
        """
        # Samples come from worker processes; data sets in memory skip in this one.
        for sample in (data_batch or {}).get("data_samples", ()):
            self._add(runner, sample.get("broken_files") or {})

    def after_train_epoch(self, runner: Runner) -> None:
        """Write the files that all processes have met.

        Raises:
            ValueError: Where too many files are broken.
        """
        for of_process in all_gather_object(self.found):
            self._add(runner, of_process)
        if self.found:
            if is_main_process():
                self._write(runner)
            # MMEngine's logger shows a warning that is repeated only once.
            runner.logger.info(
                f"{len(self.found)} broken files were skipped so far, "
                f"{len(self.found) / max(self._images, 1):.2%} of {self._images} "
                f"images: {self._path(runner)} lists them."
            )

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Write the files that are known; in the main process alone."""
        if self.found:
            self._write(runner)

    def _add(self, runner: Runner, broken: Dict[str, str]) -> None:
        new = {path: why for path, why in broken.items() if path not in self.found}
        for why in list(new.values())[: max(0, _NAMED - len(self.found))]:
            runner.logger.warning(f"Skipped a broken file: {why}")
        self.found.update(new)
        if new and len(self.found) > self.most * self._images:
            self._write(runner)
            raise ValueError(
                f"{len(self.found)} of {self._images} training images are broken, "
                f"such as: {next(iter(new.values()))} Expected no more than "
                f"{self.most:.0%} of them: mend the data set, for which "
                f"{self._path(runner)} lists them, or raise most of BrokenFilesHook."
            )

    def _path(self, runner: Runner) -> str:
        rank = "" if is_main_process() else f"_rank{get_rank()}"
        return osp.join(runner.work_dir, f"broken_files{rank}.txt")

    def _write(self, runner: Runner) -> None:
        lines = (
            f"{printable(path)}\t{why}\n" for path, why in sorted(self.found.items())
        )
        write_whole(self._path(runner), "".join(lines).encode())
