"""As many crops of an image as the model has views."""

from typing import Iterator

from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch.utils.data import Dataset

from pckd_mm.datasets import RandomResizedCropViews
from pckd_mm.registry import HOOKS
from pckd_mm.utils.nested_datasets import nested_datasets
from pckd_mm.utils.wrappers import unwrap


def crops_of(dataset: Dataset) -> Iterator[RandomResizedCropViews]:
    """The transforms of a data set, and of those it wraps, that crop views.

    Args:
        dataset (Dataset): A training set.

    Yields:
        RandomResizedCropViews: Each of them.
    """
    for each in nested_datasets(dataset):
        for transform in getattr(getattr(each, "pipeline", None), "transforms", []):
            if isinstance(transform, RandomResizedCropViews):
                yield transform


@HOOKS.register_module()
class NumViewsHook(Hook):
    """Let the data loader crop an image as often as the model asks for views.

    It sets ``num_views`` of each :class:`pckd_mm.datasets.RandomResizedCropViews` whose
    config does not say it, and of those that MMPretrain's ``SwitchRecipeHook`` puts in.
    """

    priority = "LOW"  # behind that hook

    def before_train(self, runner: Runner) -> None:
        """Set the number, for whoever looks at the data before the first step."""
        self.before_train_epoch(runner)

    def before_train_epoch(self, runner: Runner) -> None:
        """Set the number, before workers are started."""
        preprocessor = unwrap(runner.model).data_preprocessor
        for crops in crops_of(runner.train_dataloader.dataset):
            if crops.follows_model:
                crops.num_views = getattr(preprocessor, "num_views", 1)
