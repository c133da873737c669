"""What --skip-broken makes of a config."""

from typing import Any, Dict, Iterator

from mmengine.config import Config, ConfigDict

from pckd_mm.datasets import CheckedImages
from pckd_mm.engine.guards import add_hook
from pckd_mm.registry import DATASETS
from pckd_mm.utils.nested_datasets import (
    inner_datasets,
    is_held_out,
    nested_datasets,
)

__all__ = ["leave_out_of_parts", "skip_broken_files"]

# What may differ between parts of one data set.
_OF_THE_PART = (
    *("pipeline", "test_mode", "filter_cfg"),
    *("skip_broken", "leave_out_broken"),
)


def _held_out(dataset: ConfigDict) -> Iterator[ConfigDict]:
    """The data sets within wrappers, of which a part is taken."""
    for each in filter(is_held_out, nested_datasets(dataset)):
        yield from inner_datasets(each)


def _files_of(dataset: ConfigDict) -> Dict[str, Any]:
    """The settings that say what files a data set reads."""
    return {name: v for name, v in dataset.items() if name not in _OF_THE_PART}


def skip_broken_files(cfg: Config) -> None:
    """Train without the files that are broken, and collect what was skipped.

    Where images are held out of the training's to validate on, both parts are of the
    files that are whole. Other validation data stay as they are.

    Args:
        cfg (Config): Config of a run, changed in place: ``skip_broken`` of the data
            sets of ``train_dataloader``, ``leave_out_broken`` of those of which a part
            is held out, in all data loaders, and ``default_hooks.broken_files``.

    Raises:
        ValueError: For a data set that cannot skip files.
    """
    datasets = list(inner_datasets(cfg.train_dataloader.dataset))
    for dataset in datasets:
        kind = DATASETS.class_of(dataset.type)
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
    leave_out_of_parts(cfg)
    add_hook(cfg, "broken_files")


def leave_out_of_parts(cfg: Config) -> None:
    """Make the parts of a data set of the files that are whole, wherever it is read.

    Args:
        cfg (Config): Config of a run, changed in place: ``leave_out_broken`` of the
            data sets of which a part is held out of the training's.
    """
    in_parts = list(map(_files_of, _held_out(cfg.train_dataloader.dataset)))
    for name in ("train_dataloader", "val_dataloader", "test_dataloader"):
        loader = cfg.get(name)
        for dataset in _held_out(loader.dataset) if loader else ():
            if _files_of(dataset) in in_parts:
                dataset.leave_out_broken = True
