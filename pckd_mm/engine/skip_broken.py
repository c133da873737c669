"""What --skip-broken makes of a config."""

from typing import Iterator

from mmengine.config import Config, ConfigDict

from pckd_mm.datasets import CheckedImages
from pckd_mm.engine.guards import add_hook
from pckd_mm.registry import DATASETS

__all__ = ["skip_broken_files"]


def _innermost(dataset: ConfigDict) -> Iterator[ConfigDict]:
    """The data sets within wrappers such as ``RepeatDataset``."""
    inner = dataset.get(
        "datasets", [dataset["dataset"]] if "dataset" in dataset else []
    )
    if not inner:
        yield dataset
    for each in inner:
        yield from _innermost(each)


def skip_broken_files(cfg: Config) -> None:
    """Train without the files that are broken, and collect what was skipped.

    Args:
        cfg (Config): Config of a run, changed in place: ``skip_broken`` of the data
            sets of ``train_dataloader``, and ``default_hooks.broken_files``.

    Raises:
        ValueError: For a data set that cannot skip files.
    """
    datasets = list(_innermost(cfg.train_dataloader.dataset))
    for dataset in datasets:
        kind = dataset.type
        if isinstance(kind, str):
            kind = DATASETS.get(kind)
        if not (isinstance(kind, type) and issubclass(kind, CheckedImages)):
            raise ValueError(
                f"--skip-broken found the data set {dataset.type} in train_dataloader, "
                "which skips no files; expected one of image files that does, such as "
                "pckd_mm.CheckedCustomDataset, CheckedImageNet, CheckedVOCDataset, "
                "CheckedCocoDataset or TinyImageNet: take that one, or leave "
                "--skip-broken out."
            )
    for dataset in datasets:
        dataset.skip_broken = True
    add_hook(cfg, "broken_files", "pckd_mm.BrokenFilesHook")
